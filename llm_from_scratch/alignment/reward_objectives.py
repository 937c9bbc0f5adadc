"""Training a reward model: comparisons as examples, and the objectives that read them.

A comparison of two is {"chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask"}, prompt and answer in one row of
ids, and may have "margin" or "preference" beside it. A ranking of K is {"answer0_ids", "answer0_mask", …}, best first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..data.examples import collate
from ..training.objectives import Batch, rows_of
from ..training.workers import resolve_threads
from .rewards import reward_all_pairs_loss, reward_pair_loss, reward_ranking_loss
from .sampled_answers import in_chunks


def pair_example(chosen: Sequence[int], rejected: Sequence[int], **beside: float) -> dict[str, Any]:
    """An example of two answers, prompt included; beside: margin= or preference=, in every example or in none.

    ValueError for a row of no token, and for equal ones, which say nothing.

    >>> sorted(pair_example([5, 6], [5, 7, 8], margin=1.0))
    ['chosen_ids', 'chosen_mask', 'margin', 'rejected_ids', 'rejected_mask']
    """
    if list(chosen) == list(rejected):
        raise ValueError(f"both answers of the pair are the same {len(chosen)} tokens: neither is the better one")
    example: dict[str, Any] = {name: np.float32(value) for name, value in beside.items()}
    for name, ids in (("chosen", chosen), ("rejected", rejected)):
        example |= _row(name, ids)
    return example


def ranking_example(answers: Sequence[Sequence[int]], places: int) -> dict[str, Any]:
    """An example of up to `places` answers, best first, prompt included in each.

    >>> sorted(ranking_example([[5, 6], [5, 7, 8]], places=3))[-2:]
    ['answer2_ids', 'answer2_mask']
    """
    if not 2 <= len(answers) <= places:
        raise ValueError(f"a ranking here has 2 to {places} answers, got {len(answers)}")
    example: dict[str, Any] = {}
    for place, ids in enumerate(answers):
        example |= _row(f"answer{place}", ids)
    for place in range(len(answers), places):
        example |= {f"answer{place}_ids": np.zeros(1, np.int64), f"answer{place}_mask": np.zeros(1, bool)}
    return example


class RewardPairs:
    """The objective of comparisons of two, `reward_pair_loss`; it counts pairs, and the model is a `RewardModel`."""

    __name__ = "RewardPairs"

    def count(self, batch: Batch) -> float:
        """The comparisons in a batch."""
        return rows_of(batch)

    def __call__(
        self, model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        chosen, rejected = (model.rewards(_answer(batch, name), rng=rng) for name in ("chosen", "rejected"))
        beside = {name: batch[name] for name in ("margin", "preference") if name in batch}
        return reward_pair_loss(chosen, rejected, normaliser=normaliser, **beside)


class RewardRankings:
    """The objective of rankings, its count are the rankings. kind: "all pairs" (InstructGPT) or "places" (Starling)."""

    __name__ = "RewardRankings"

    def __init__(self, kind: str = "all pairs") -> None:
        losses = {"all pairs": reward_all_pairs_loss, "places": reward_ranking_loss}
        if kind not in losses:
            raise ValueError(f"kind must be one of {', '.join(losses)}; got {kind!r}")
        self.loss = losses[kind]

    def count(self, batch: Batch) -> float:
        """The comparisons in a batch."""
        return rows_of(batch)

    def __call__(
        self, model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        rewards, masks = [], []
        for place in range(sum(name.endswith("_ids") for name in batch)):
            answer = _answer(batch, f"answer{place}")
            there = np.any(answer["mask"], axis=1, keepdims=True)
            masks.append(there[:, 0])
            # An answer that is not there is read at its first token; the mask of the loss leaves it out.
            first = np.arange(answer["mask"].shape[1]) == 0
            rewards.append(model.rewards({**answer, "mask": answer["mask"] | (~there & first)}, rng=rng))
        return self.loss(F.stack(*rewards, axis=1), np.stack(masks, axis=1), normaliser=normaliser)


def reward_rows(model: Any, rows: Sequence[Sequence[int]], *, threads: int | None = 1) -> np.ndarray:
    """The rewards (N,) of rows of ids, prompt and answer with its end in each; without gradients."""
    examples = [_row("answer", row) for row in rows]
    order = sorted(range(len(rows)), key=lambda k: len(rows[k]))  # rows of about one length are read together
    found = np.zeros(len(rows))

    def read(part: slice) -> None:
        chosen = order[part]
        with no_grad():
            found[chosen] = model.rewards(_answer(collate([examples[k] for k in chosen]), "answer")).data

    in_chunks(len(rows), resolve_threads(threads), read)
    return found


def pair_accuracy(model: Any, batches: Iterable[Batch]) -> float:
    """The share of pairs in which the chosen answer has the larger reward; a tie counts one half."""
    leads = []
    with no_grad():
        for batch in batches:
            chosen, rejected = (model.rewards(_answer(batch, name)).data for name in ("chosen", "rejected"))
            leads.append(chosen - rejected)
    lead = np.concatenate(leads)
    return float(((lead > 0) + 0.5 * (lead == 0)).mean())


def _row(name: str, ids: Sequence[int]) -> dict[str, Any]:
    row = np.asarray(ids)
    if row.ndim != 1 or not row.size or row.dtype.kind not in "iu":
        raise ValueError(f"{name}: a row of token ids was expected, got {row.dtype}{row.shape}")
    return {f"{name}_ids": row, f"{name}_mask": np.ones(len(row), bool)}


def _answer(batch: Batch, name: str) -> dict[str, np.ndarray]:
    return {"ids": batch[f"{name}_ids"], "mask": batch[f"{name}_mask"]}
