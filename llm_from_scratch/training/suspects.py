"""Which document of a batch a spike came from: the loss and the gradient of each, beside what is usual."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from .objectives import IGNORE, Objective, value_of

LEAST_TOKENS = 4  # of a document in a row: the mean of fewer says nothing
STANDS_OUT = 6.0  # robust standard deviations from the usual mean loss
PULLS = 4.0  # times the usual gradient
_MANY = 256  # more pieces are not asked for their gradients one by one


@dataclasses.dataclass(frozen=True)
class Piece:
    """A document, or the part of one that stands in a row of a batch.

    batch: number of the micro-batch; row, first, last: where in it. document: its number in the training text, counted
    from 0, and start: the place of the piece among the tokens of that text; None where the sampler does not say.
    source: whose text that is, of a mixture.
    loss: mean over its targets; deviation: how unusual that is, in robust standard deviations. gradient: the length of
    what it adds to the gradient of the step; pull: that beside the median of the batch's pieces, both divided by
    √tokens; None where that was not asked.
    """

    batch: int
    row: int
    first: int
    last: int
    tokens: int
    loss: float
    deviation: float
    document: int | None = None
    start: int | None = None
    gradient: float | None = None
    pull: float | None = None
    source: str | None = None

    @property
    def strangeness(self) -> float:
        """How far it goes towards standing out, by its loss or by its gradient, whichever goes further."""
        if not math.isfinite(self.loss):
            return math.inf
        return max(self.deviation / STANDS_OUT, 0.0 if self.pull is None else self.pull / PULLS)

    @property
    def stands_out(self) -> bool:
        """Whether its loss or its gradient is no usual one."""
        return self.strangeness > 1.0


def pieces(model: Any, batches: list[dict[str, Any]], usual: list[dict[str, Any]]) -> list[Piece]:
    """The documents in the batches of a step, the most unusual first.

    batches, usual: as `Remembering` keeps them: those in question, and those of the steps before. The model is asked
    without dropout, and nothing of it is changed. Empty for a model or batches that have no losses token by token.
    """
    if not hasattr(model, "token_log_probabilities"):
        return []
    if any(not {"ids", "targets"} <= set(kept["batch"]) for kept in (*batches, *usual)):
        return []
    ordinary = np.array([piece.loss for piece in _losses(model, usual)])
    ordinary = ordinary[np.isfinite(ordinary)]
    found = list(_losses(model, batches))
    if ordinary.size < 8:  # a run at its beginning: the others of the batch are what is usual
        ordinary = np.array([piece.loss for piece in found if math.isfinite(piece.loss)])
    if ordinary.size:
        middle = float(np.median(ordinary))
        spread = max(1.4826 * float(np.median(np.abs(ordinary - middle))), 0.05 * abs(middle), 1e-6)
        found = [dataclasses.replace(piece, deviation=(piece.loss - middle) / spread) for piece in found]
    return sorted(found, key=lambda piece: -piece.strangeness)


def _losses(model: Any, kept: list[dict[str, Any]]) -> Iterator[Piece]:
    for number, one in enumerate(kept):
        batch = {name: np.asarray(array) for name, array in one["batch"].items()}
        with no_grad(), np.errstate(all="ignore"):
            losses = -model.token_log_probabilities(batch).data
        segments = batch.get("segments", np.zeros(batch["ids"].shape, int))
        for row, numbers in enumerate(segments):
            for segment in np.unique(numbers[numbers >= 0]):
                where = np.flatnonzero(numbers == segment)
                counted = where[batch["targets"][row, where] != IGNORE]
                if counted.size >= LEAST_TOKENS:
                    mean = float(losses[row, counted].mean())
                    yield Piece(number, row, int(where[0]), int(where[-1]) + 1, counted.size, mean, 0.0)


def placed(piece: Piece, origins: Sequence[Any]) -> Piece:
    """The piece with its place in the training text. origins: of the batch's rows, see `data.sampler.Origin`."""
    if piece.row >= len(origins):
        return piece
    row = origins[piece.row]
    return dataclasses.replace(
        piece, start=row.start + piece.first, document=row.document(piece.first), source=row.source
    )


def pulling(
    model: Any, batches: list[dict[str, Any]], found: list[Piece], objective: Objective, normaliser: float
) -> list[Piece]:
    """The pieces with their gradients, the most unusual first; as they came where there are too many to ask.

    Each is asked for alone, with its own targets. The gradients of all pieces are vectors whose sum is that of the step
    (but for dropout, which is off).
    """
    if not found or len(found) > _MANY:
        return found
    asked = []
    for piece in found:
        row = {n: np.asarray(array)[piece.row : piece.row + 1] for n, array in batches[piece.batch]["batch"].items()}
        targets = np.full_like(row["targets"], IGNORE)
        targets[:, piece.first : piece.last] = row["targets"][:, piece.first : piece.last]
        into: dict[Tensor, np.ndarray] = {}
        with np.errstate(all="ignore"):
            value_of(objective, model, {**row, "targets": targets}, normaliser).backward(into=into)
            length = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in into.values()))
        asked.append(dataclasses.replace(piece, gradient=length))
    # Gradients of n tokens that have nothing to do with each other add up to √n times one of them.
    each = [piece.gradient / math.sqrt(piece.tokens) for piece in asked]  # type: ignore[operator]
    usual = float(np.median([value for value in each if math.isfinite(value)] or [0.0]))
    if usual:
        asked = [dataclasses.replace(piece, pull=value / usual) for piece, value in zip(asked, each)]
    return sorted(asked, key=lambda piece: -piece.strangeness)
