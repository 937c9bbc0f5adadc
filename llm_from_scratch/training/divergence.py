"""What a run says when its loss or its gradient is no longer a number: where it happened, and what is left."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Diverged(ValueError):
    """The loss or the gradient is no longer a finite number. step: the one that was not taken, or was the last."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def diverged(run: Any, lr: float, norm: float, what: str = "") -> Diverged:
    """The error of a `Run` whose next step cannot be taken, or of one whose evaluation (`what`) is not a number."""
    named = list(run.model.named_parameters())
    found = run.exchange.gather(
        [
            [name for name, p in named if not np.isfinite(p.data).all()],
            [name for name, p in named if p.grad is not None and not np.isfinite(p.grad).all()],
        ]
    )
    # Of many ranks one may have lost its weights, and each may know but a share of the gradient.
    rank, weights = next(((rank, names) for rank, (names, _) in enumerate(found) if names), (0, []))
    gradients: list[str] = next((names for _, names in found if names), [])
    lost = "" if all(names for names, _ in found) else f", on rank {rank} but not on all"
    step = run.step if what else run.step + 1
    if what:
        happened = f"step {step}: {what} is {run.evaluation['loss']} (learning rate {lr:.3g})."
    else:
        what = f"the loss is {run.loss}" if not math.isfinite(run.loss) else f"the gradient's length is {norm}"
        happened = f"step {step}: {what} (learning rate {lr:.3g}); the step was not taken."
    where = ""
    if weights:
        where = f" The weights of {weights[0]} are not finite any more{lost}."
    elif gradients:
        where = f" The first gradient that is not finite is that of {gradients[0]} ({len(gradients)} in all)."
    keep = f" The last good state is {run.saved}." if run.saved else ""
    return Diverged(f"{happened}{where}{keep} Try a lower learning rate, a longer warmup or a smaller clip", step)
