"""What training minimises, as a function of a model and a batch.

A batch is a mapping from names to arrays of as many rows each. An objective says which names it wants, and of how many
things in a batch (targets, pairs, answers) it is the mean: the loop adds these counts up over shards, micro-batches and
whatever else makes up one step, and hands the total in, so that the gradient is that of one big batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast
from zlib import crc32

import numpy as np

from ..autograd import Tensor

IGNORE = -100
Batch = Mapping[str, np.ndarray]


class Objective(Protocol):
    """Called for some rows of a batch; `count` is asked for the whole batch and for the same rows."""

    def __call__(
        self, model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        """A single number: the sum over the rows of `batch`, divided by `normaliser`. rng: switches dropout on."""

    def count(self, batch: Batch) -> float:
        """How many things there are in these rows; adds up over rows. Where it is 0, the objective is not called."""


def objective(*, count: Callable[[Batch], float]) -> Callable[[Callable[..., Tensor]], Objective]:
    """Make an `Objective` of a plain function.

    Here every answer has a weight, and the loss is the weighted mean over the answers' tokens:

    >>> def weights(batch):
    ...     return float((batch["weight"][:, None] * (batch["targets"] != IGNORE)).sum())
    >>> @objective(count=weights)
    ... def weighted(model, batch, *, normaliser, rng=None):
    ...     answers = {name: batch[name] for name in ("ids", "targets")}
    ...     losses = -model.token_log_probabilities(answers, rng=rng)
    ...     return (losses * batch["weight"][:, None]).sum() / normaliser
    >>> weighted.count({"weight": np.array([0.5, 2.0]), "targets": np.array([[3, 1], [4, IGNORE]])})
    3.0

    What else it needs, such as a teacher or a frozen reference, it takes from where it is written; forward passes that
    are not to be learned from belong into `no_grad()`.
    """

    def decorate(function: Callable[..., Tensor]) -> Objective:
        function.count = count  # type: ignore[attr-defined]
        return cast(Objective, function)

    return decorate


def count_targets(batch: Batch) -> int:
    """How many entries of "targets" are not -100; ValueError or TypeError for arrays that no model takes.

    >>> count_targets({"ids": np.array([[1, 2]]), "targets": np.array([[2, -100]])})
    1
    """
    if "ids" not in batch or "targets" not in batch:
        raise ValueError(f"a batch has 'ids' and 'targets', got {sorted(batch)}")
    shape = batch["ids"].shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"ids must have the shape (batch, length), both at least 1; got {shape}")
    for name, array in batch.items():
        if name == "prefix_length":
            if array.shape != shape[:1]:
                raise ValueError(
                    f"prefix_length has the shape {array.shape}, expected one number for each of {shape[0]} rows"
                )
        elif array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}, the ids {shape}: they must be equal")
    for name in ("ids", "targets"):
        if batch[name].dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, got {batch[name].dtype}")
    return int(np.count_nonzero(batch["targets"] != IGNORE))


@objective(count=count_targets)
def next_token(model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None) -> Tensor:
    """The default: `model.loss`, the mean cross-entropy of the targets that are not -100.

    Under `no_grad`, without what layers add to it (the load of experts), so that evaluations stay comparable.
    """
    return model.loss(batch, normaliser=normaliser, rng=rng)


def check_batch(batch: Any) -> dict[str, np.ndarray]:
    """The batch as arrays of equally many rows, at least one; entries that are None are left out.

    >>> check_batch({"chosen": [[1, 2]], "rejected": [[3, 4, 5], [6, 7, 8]]})
    Traceback (most recent call last):
    ValueError: rejected has 2 rows, chosen 1: each array of a batch has one entry for each row
    """
    if not isinstance(batch, Mapping):
        raise TypeError(f"a batch is a mapping from names to arrays, got {type(batch).__name__}")
    arrays: dict[str, np.ndarray] = {}
    for name, value in batch.items():
        if value is None:
            continue
        try:
            array = np.asarray(value)
        except ValueError:
            raise ValueError(f"{name} is no array: its rows are of different lengths; pad them to one") from None
        if array.dtype == object:
            raise TypeError(f"{name} holds Python objects; an array of numbers was expected")
        if array.ndim == 0:
            raise ValueError(f"{name} is a single {array.dtype}: each array of a batch has one entry for each row")
        arrays[name] = array
    if not arrays:
        raise ValueError("the batch holds no arrays")
    first, *others = arrays
    for name in others:
        if len(arrays[name]) != len(arrays[first]):
            raise ValueError(
                f"{name} has {len(arrays[name])} rows, {first} {len(arrays[first])}: "
                "each array of a batch has one entry for each row"
            )
    if not len(arrays[first]):
        raise ValueError(f"{first} has no rows: a batch has at least 1")
    return arrays


def rows_of(batch: Batch) -> int:
    """How many rows a batch has that was checked."""
    return len(next(iter(batch.values())))


def checksum(batch: Batch, before: int = 0) -> int:
    """A number that another batch has not. before: that of the batches before it, for one number of all."""
    for name, array in sorted(batch.items()):
        before = crc32(f"{name} {array.dtype} {array.shape}".encode(), before)
        before = crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, before)
    return before


def counted(objective: Objective, batch: Batch) -> float:
    """`objective.count(batch)`, which must be a number of at least 0."""
    ask = getattr(objective, "count", None)
    if not callable(objective) or not callable(ask):
        raise TypeError(
            f"{named(objective)} is no objective: decorate a function with @objective(count=…), which says of how many "
            "things in a batch it is the mean"
        )
    count = ask(batch)
    count = count.item() if isinstance(count, (np.generic, np.ndarray)) and np.size(count) == 1 else count
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not (math.isfinite(count) and count >= 0):
        raise ValueError(f"the count of {named(objective)} must be a number of at least 0, got {count!r}")
    return count


def shards_of(objective: Objective, batch: Batch, shards: int) -> list[dict[str, np.ndarray]]:
    """The batch as at most so many pieces of consecutive rows, as equal as can be; those that count 0 are left out.

    >>> batch = {"ids": np.array([[1], [2], [3]]), "targets": np.array([[1], [2], [3]])}
    >>> [part["ids"].tolist() for part in shards_of(next_token, batch, 2)]
    [[[1]], [[2], [3]]]
    """
    rows = rows_of(batch)
    shards = min(shards, rows)
    borders = [rows * k // shards for k in range(shards + 1)]
    parts = [{name: array[low:high] for name, array in batch.items()} for low, high in zip(borders, borders[1:])]
    counts = [counted(objective, part) for part in parts]
    whole = counted(objective, batch)
    if not math.isclose(sum(counts), whole, rel_tol=1e-4):
        raise ValueError(
            f"the count of {named(objective)} does not add up over rows: {whole} for the whole batch, "
            f"{sum(counts)} for its {shards} parts together"
        )
    return [part for part, count in zip(parts, counts) if count]


def value_of(objective: Objective, model: Any, batch: Batch, normaliser: float, rng: Any = None) -> Tensor:
    """What the objective is for these rows; TypeError when that is not a single number."""
    loss = objective(model, batch, normaliser=normaliser, rng=rng)
    if not isinstance(loss, Tensor) or loss.size != 1:
        got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"{named(objective)} must return a Tensor that holds a single number, got {got}")
    return loss


def named(objective: Any) -> str:
    """What to call an objective in a message."""
    return getattr(objective, "__name__", type(objective).__name__)
