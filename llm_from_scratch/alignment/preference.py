"""What preferences are trained with: any loss on pairs as an objective, both answers in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..data.packing import IGNORE
from ..training.objectives import Batch, Objective, objective
from .references import SIDES

_NAMES = [f"{side}_{name}" for side in SIDES for name in ("ids", "targets")] + [f"reference_{side}" for side in SIDES]


def preference_objective(loss: Callable[..., Tensor], *, lengths: bool = False) -> Objective:
    """A loss on pairs (`dpo_loss`, `ipo_loss`, `hinge_loss`, their settings bound by `partial`) as an objective.

    A batch is that of `reference_pairs`, collated; the count is the number of pairs. lengths: the loss is told the
    answers' lengths, as lengths=(chosen, rejected).

    >>> from functools import partial
    >>> from llm_from_scratch.alignment import dpo_loss
    >>> aim = preference_objective(partial(dpo_loss, beta=0.1))
    """

    @objective(count=count_pairs)
    def preference(model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None) -> Tensor:
        pairs = len(batch["chosen_ids"])
        sums = pair_log_probabilities(model, batch, rng=rng)
        if not np.isfinite(sums.data).all():
            return sums.sum()  # the loop says what became of the model, with more than the loss knows
        references = [batch[f"reference_{side}"].astype(sums.dtype) for side in SIDES]
        more = {"lengths": tuple((batch[f"{side}_targets"] != IGNORE).sum(axis=1) for side in SIDES)} if lengths else {}
        return loss(sums[:pairs], sums[pairs:], *references, **more) * (pairs / normaliser)

    return preference


def pair_log_probabilities(model: Any, batch: Batch, *, rng: np.random.Generator | None = None) -> Tensor:
    """The summed log-probabilities of N chosen and then N rejected answers, (2 N,), by one forward pass."""
    both = {
        name: _stacked(batch[f"chosen_{name}"], batch[f"rejected_{name}"], filling)
        for name, filling in (("ids", 0), ("targets", IGNORE))
    }
    return model.token_log_probabilities(both, rng=rng).sum(axis=1)


def _stacked(above: np.ndarray, below: np.ndarray, filling: int) -> np.ndarray:
    """(N, T) and (N, S) -> (2 N, max(T, S)), filled up on the right: causal models see nothing of it."""
    stacked = np.full((len(above) + len(below), max(above.shape[1], below.shape[1])), filling, above.dtype)
    stacked[: len(above), : above.shape[1]] = above
    stacked[len(above) :, : below.shape[1]] = below
    return stacked


def count_pairs(batch: Mapping[str, np.ndarray]) -> int:
    """How many pairs there are; ValueError for missing names, a side without a target, or a reference not finite."""
    missing = [name for name in _NAMES if name not in batch]
    if missing:
        raise ValueError(
            f"a batch of pairs lacks {', '.join(missing)}: encode_pairs and reference_pairs make them; "
            f"got {sorted(batch)}"
        )
    for side in SIDES:
        ids, targets, reference = (batch[name] for name in (f"{side}_ids", f"{side}_targets", f"reference_{side}"))
        if ids.ndim != 2 or ids.shape != targets.shape:
            raise ValueError(f"{side}_ids {ids.shape} and {side}_targets {targets.shape} must be (pairs, length) both")
        if reference.shape != ids.shape[:1] or not np.isfinite(reference).all():
            raise ValueError(
                f"reference_{side} must be a finite number for each of {len(ids)} pairs, got {reference!r:.80}"
            )
        empty = np.flatnonzero((targets == IGNORE).all(axis=1))
        if len(empty):
            raise ValueError(f"pair {empty[0]}: the {side} answer has no target, every one is {IGNORE}")
    return len(batch["chosen_ids"])
