"""Forward and backward over a batch, divided by rows among threads.

Each thread takes some rows through the whole model and back with one BLAS thread of its own, and collects gradients in
a dictionary of its own; then they are added in a fixed order. The loss is divided by the number of targets of the
whole batch, so that the result is that of one big batch, to rounding, however the targets are spread over the rows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels.allocation import keep_freed_memory
from .workers import balanced_shares, one_blas_thread, resolve_threads, run_together

IGNORE = -100


def accumulate_gradients(
    model: Any,
    ids: np.ndarray,
    targets: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    segments: np.ndarray | None = None,
    positions: np.ndarray | None = None,
    prefix_length: np.ndarray | None = None,
    normaliser: int | None = None,
    threads: int | None = None,
    rng: np.random.Generator | None = None,
) -> float:
    """Add the gradients of the batch's loss to every parameter's `.grad`; return the loss.

    ids, targets (B, T): targets[:, t] is what position t must predict, -100 does not count. mask, segments and
    positions (B, T) and prefix_length (B,) are handed to the model. The loss is the sum over targets divided by
    `normaliser`, by default the number of targets in the batch. For several batches that make up one step, pass the
    number of all their targets, and both losses and gradients add up. rng: switches dropout on; each thread draws from
    a generator seeded by it.

    threads: at most so many, by default the available cores, never more than rows. A batch of one row runs in the
    calling thread, with all threads left to the matrix products. If any thread fails its error is raised here and every
    `.grad` is as before. Raises ValueError for wrong shapes and when there is not a single target.
    """
    keep_freed_memory()
    extras = {"mask": mask, "segments": segments, "positions": positions, "prefix_length": prefix_length}
    batch, count = check_batch({"ids": ids, "targets": targets, **{k: v for k, v in extras.items() if v is not None}})
    if normaliser is None:
        normaliser = count
    elif isinstance(normaliser, bool) or not isinstance(normaliser, (int, np.integer)) or normaliser < 1:
        raise ValueError(f"normaliser must be a whole number of at least 1 (a count of targets), got {normaliser!r}")
    if count == 0:
        raise ValueError("the batch has no target: every entry of targets is -100")
    shards = split_rows(batch, resolve_threads(threads, most=len(batch["ids"])))
    generators: list[np.random.Generator | None] = [rng]
    if rng is not None and len(shards) > 1:
        generators = [np.random.default_rng(s) for s in rng.integers(0, 2**63, size=len(shards))]
    if len(shards) == 1:
        found: dict[Tensor, np.ndarray] = {}
        loss = _forward_backward(model, shards[0], int(normaliser), generators[0], found)
        _add_to_parameters([found], 1)
        return loss
    collected: list[dict[Tensor, np.ndarray]] = [{} for _ in shards]
    if rng is None:
        generators = [None] * len(shards)
    with one_blas_thread():
        losses = run_together(
            [
                functools.partial(_forward_backward, model, shard, int(normaliser), generator, into)
                for shard, generator, into in zip(shards, generators, collected)
            ]
        )
    _add_to_parameters(collected, len(shards))
    return sum(losses)


def check_batch(batch: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], int]:
    """The batch as arrays of one shape (B, T), and its number of targets. ValueError or TypeError if it is none.

    Only prefix_length, one number a row, is (B,).

    >>> _, count = check_batch({"ids": [[1, 2]], "targets": [[2, -100]]})
    >>> count
    1
    """
    arrays = {name: np.asarray(value) for name, value in batch.items()}
    if "ids" not in arrays or "targets" not in arrays:
        raise ValueError(f"a batch has 'ids' and 'targets', got {sorted(arrays)}")
    shape = arrays["ids"].shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"ids must have the shape (batch, length), both at least 1; got {shape}")
    for name, array in arrays.items():
        if name == "prefix_length":
            if array.shape != shape[:1]:
                raise ValueError(
                    f"prefix_length has the shape {array.shape}, expected one number for each of {shape[0]} rows"
                )
        elif array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape}, the ids {shape}: they must be equal")
    for name in ("ids", "targets"):
        if arrays[name].dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, got {arrays[name].dtype}")
    return arrays, int(np.count_nonzero(arrays["targets"] != IGNORE))


def split_rows(batch: Mapping[str, np.ndarray], shards: int) -> list[dict[str, np.ndarray]]:
    """The batch as so many pieces of consecutive rows, as equal as can be, none without a target.

    >>> [part["ids"].tolist() for part in split_rows({"ids": np.array([[1], [2], [3]])}, 2)]
    [[[1]], [[2], [3]]]
    """
    rows = len(batch["ids"])
    borders = [rows * k // shards for k in range(shards + 1)]
    parts = [
        {name: array[low:high] for name, array in batch.items()}
        for low, high in zip(borders, borders[1:])
        if high > low
    ]
    if "targets" not in batch:
        return parts
    return [part for part in parts if np.any(part["targets"] != IGNORE)] or parts[:1]


def _forward_backward(
    model: Any,
    batch: dict[str, np.ndarray],
    normaliser: int,
    rng: np.random.Generator | None,
    into: dict[Tensor, np.ndarray],
) -> float:
    loss = model.loss(batch, normaliser=normaliser, rng=rng)
    value = float(loss.data)
    loss.backward(into=into)
    return value


def _add_to_parameters(collected: list[dict[Tensor, np.ndarray]], threads: int) -> None:
    """Add what the shards found to `.grad`: for each parameter first shard to last, whoever finished first."""
    params = list(dict.fromkeys(param for found in collected for param in found))

    def add(share: list[int]) -> None:
        for index in share:
            param = params[index]
            parts = [found[param] for found in collected if param in found]
            total = parts[0]
            for part in parts[1:]:
                total += part  # the arrays belong to the shards alone: adding in place needs no other memory
            if param.grad is None:
                param.grad = total
            else:
                param.grad += total

    if len(collected) == 1:
        add(list(range(len(params))))
        return
    shares = balanced_shares([param.size for param in params], threads)
    run_together([functools.partial(add, share) for share in shares])
