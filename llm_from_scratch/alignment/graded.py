"""What answers that are good or bad by themselves are trained with: KTO, C-RLFT, APA and AWR as objectives.

A batch has "ids" and "targets", (N, T) each, and what its objective asks for beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..data.packing import IGNORE
from ..scoring.likelihoods import log_likelihoods
from ..training.objectives import Batch, Objective, objective
from .apa import apa_loss, awr_loss
from .checking import positive
from .crlft import crlft_loss, token_weights
from .kto import kto_loss


class KtoObjective:
    """KTO over answers with "reference" (N,) and "desirable" (N,) of booleans; the count is the number of answers.

    mismatched: answers to other prompts, with their "reference": from so many (`estimate`) of them the KL is estimated
    before each step, by `on_step`, so that it is one number for the whole step, however the batch is divided. settings:
    those of `kto_loss`.
    """

    def __init__(self, mismatched: Sequence[Mapping[str, Any]], *, estimate: int = 16, **settings: Any) -> None:
        if not mismatched or estimate < 1:
            raise ValueError("the KL is estimated from at least 1 answer to another prompt")
        self.mismatched, self.estimate, self.settings = mismatched, estimate, settings
        self.kl = 0.0

    def on_step(self, step: int, loss: float, model: Any) -> None:
        """Estimate the KL of the model as it is now, from answers that depend on the step alone."""
        rows = [self.mismatched[(step * self.estimate + k) % len(self.mismatched)] for k in range(self.estimate)]
        self.kl = float(np.mean(log_likelihoods(model, rows) - [row["reference"] for row in rows]))

    def count(self, batch: Batch) -> int:
        """How many answers there are; ValueError for one without a target, or other shapes."""
        rows = len(count_checked(batch, "reference", "desirable"))
        if not np.isfinite(batch["reference"]).all():
            raise ValueError("the reference of an answer is not finite")
        return rows

    def __call__(self, model: Any, batch: Batch, *, normaliser: float, rng: Any = None) -> Tensor:
        """The sum of the answers' losses, with the KL of the last `on_step`, over the normaliser: a single number."""
        sums = _log_p(model, batch, rng).sum(axis=1)
        if not np.isfinite(sums.data).all():
            return sums.sum()  # the loop says what became of the model, with more than the loss knows
        loss = kto_loss(sums, batch["reference"].astype(sums.dtype), batch["desirable"], self.kl, **self.settings)
        return loss * (len(sums) / normaliser)


def crlft_objective(*, per_sequence: bool = False) -> Objective:
    """C-RLFT over answers with "weight" (N,); what is counted are their weights, per token unless `per_sequence`."""

    def count(batch: Batch) -> float:
        real = count_checked(batch, "weight")
        return float(token_weights(real, batch["weight"], per_sequence=per_sequence, empty=True).sum())

    @objective(count=count)
    def conditioned(model: Any, batch: Batch, *, normaliser: float, rng: Any = None) -> Tensor:
        log_p = _log_p(model, batch, rng)
        if not np.isfinite(log_p.data).all():
            return log_p.sum()
        real = batch["targets"] != IGNORE
        return crlft_loss(log_p, real, batch["weight"], per_sequence=per_sequence) * (count(batch) / normaliser)

    return conditioned


def apa_objective(*, scale: float) -> Objective:
    """APA over answers with "initial" and "advantages", (N, T) each; the count is the number of targets."""
    return _over_tokens(lambda log_p, batch, real: apa_loss(
        log_p, batch["initial"].astype(log_p.dtype), batch["advantages"].astype(log_p.dtype), real, scale=scale
    ), scale, "initial", "advantages")  # fmt: skip


def awr_objective(*, scale: float) -> Objective:
    """AWR over answers with "advantages" (N, T); the count is the number of targets."""
    return _over_tokens(lambda log_p, batch, real: awr_loss(
        log_p, batch["advantages"].astype(log_p.dtype), real, scale=scale
    ), scale, "advantages")  # fmt: skip


def _over_tokens(loss: Callable[..., Tensor], scale: float, *names: str) -> Objective:
    positive("scale", scale)

    def count(batch: Batch) -> int:
        return int(count_checked(batch, *names).sum())

    @objective(count=count)
    def graded(model: Any, batch: Batch, *, normaliser: float, rng: Any = None) -> Tensor:
        log_p = _log_p(model, batch, rng)
        if not np.isfinite(log_p.data).all():
            return log_p.sum()
        real = batch["targets"] != IGNORE
        return loss(log_p, batch, real) * (float(real.sum()) / normaliser)

    return graded


def count_checked(batch: Batch, *names: str) -> np.ndarray:
    """Which targets count, (N, T); ValueError for missing names, an answer without a target, or other shapes."""
    missing = [name for name in ("ids", "targets", *names) if name not in batch]
    if missing:
        raise ValueError(f"a batch of answers lacks {', '.join(missing)}; got {sorted(batch)}")
    ids, targets = batch["ids"], batch["targets"]
    if ids.ndim != 2 or ids.shape != targets.shape:
        raise ValueError(f"ids {ids.shape} and targets {targets.shape} must be (answers, length) both")
    for name in names:
        if batch[name].shape not in (ids.shape, ids.shape[:1]):
            raise ValueError(f"{name} has the shape {batch[name].shape}; the ids have {ids.shape}")
    real = targets != IGNORE
    empty = np.flatnonzero(~real.any(axis=1))
    if len(empty):
        raise ValueError(f"answer {empty[0]} has no target, every one is {IGNORE}")
    return real


def _log_p(model: Any, batch: Batch, rng: np.random.Generator | None) -> Tensor:
    return model.token_log_probabilities({name: batch[name] for name in ("ids", "targets")}, rng=rng)
