"""Forward and backward over a batch, divided by rows among threads.

Each thread takes some rows through the whole model and back with one BLAS thread of its own, and collects gradients in
a dictionary of its own; then they are added in a fixed order. The objective is divided by the count of the whole batch,
so that the result is that of one big batch, to rounding, however targets are spread over the rows.
"""

from __future__ import annotations

import functools
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels.allocation import keep_freed_memory
from .objectives import Batch, Objective, check_batch, counted, named, next_token, shards_of, value_of
from .workers import balanced_shares, one_blas_thread, resolve_threads, run_together, worth_threads


def accumulate_gradients(
    model: Any,
    batch: Mapping[str, Any] | np.ndarray | None = None,
    targets: np.ndarray | None = None,
    *,
    objective: Objective = next_token,
    normaliser: float | None = None,
    threads: int | None = None,
    rng: np.random.Generator | None = None,
    finished: Callable[[Tensor], None] | None = None,
    own: Callable[[list[Any]], list[Any]] = list,
    **arrays: np.ndarray | None,
) -> float:
    """Add the gradients of the batch's loss to every parameter's `.grad`; return the loss.

    batch: {name: array}, all with equally many rows, as the objective wants it (see `objectives`). `next_token` takes
    "ids" and "targets", both (B, T), where targets[:, t] is what position t must predict and -100 does not count, and
    hands "mask", "segments", "positions" (B, T) and "prefix_length" (B,) to the model; its arrays may also come as
    arguments: `accumulate_gradients(model, ids, targets, mask=mask)`.

    The loss is the objective's sum divided by `normaliser`, by default its count for this batch. For several batches
    that make up one step, pass the count of all of them, and both losses and gradients add up. rng: switches dropout
    on; each thread draws from a generator seeded by it.

    threads: at most so many, by default the available cores, never more than rows. A batch of one row runs in the
    calling thread, with all threads left to the matrix products. If any thread fails its error is raised here and every
    `.grad` is as before.

    finished: called with a parameter as soon as its `.grad` is complete, while the backward pass still computes those
    of earlier layers, by one thread at a time; not with those of which it cannot be told before the end. (After an
    error `.grad` is then as it happened to be.)

    own: of the shards, one a thread, those to be computed here, where other processes compute the rest
    (`Exchange.own`); the loss is then theirs. Each draws what it would draw if all were computed here.

    Raises ValueError or TypeError for arrays that do not fit, named, and when nothing counts.
    """
    keep_freed_memory()
    if not isinstance(batch, Mapping):
        batch = {"ids": batch, "targets": targets, **arrays}
    elif targets is not None or arrays:
        raise TypeError(f"the batch is a mapping: put {', '.join(['targets', *arrays][targets is None :])} into it")
    checked = check_batch(batch)
    count = counted(objective, checked)
    if normaliser is None:
        normaliser = count
    elif isinstance(normaliser, bool) or not isinstance(normaliser, (int, float, np.integer, np.floating)):
        raise TypeError(f"normaliser must be a number (a count of targets), got {normaliser!r}")
    elif not (math.isfinite(normaliser) and normaliser > 0):
        raise ValueError(f"normaliser must be a finite number above 0 (a count of targets), got {normaliser!r}")
    if count == 0:
        hint = ": every entry of targets is -100" if objective is next_token else ""
        raise ValueError(f"the batch has no target that {named(objective)} counts{hint}")
    shards = shards_of(objective, checked, resolve_threads(threads))
    generators: list[np.random.Generator | None] = [rng] * len(shards)
    if rng is not None and len(shards) > 1:
        generators = [np.random.default_rng(s) for s in rng.integers(0, 2**63, size=len(shards))]
    shards, generators = own(shards), own(generators)
    if not shards:
        return 0.0
    collected: list[dict[Tensor, np.ndarray]] = [{} for _ in shards]
    tell = None if finished is None else _Early(collected, finished)
    jobs = [
        functools.partial(_forward_backward, objective, model, shard, normaliser, generator, into, tell)
        for shard, generator, into in zip(shards, generators, collected)
    ]
    if len(jobs) == 1:
        losses = [jobs[0]()]
    else:
        with one_blas_thread():
            losses = run_together(jobs)
    if tell is not None:
        tell.check()
    _add_to_parameters(collected, len(shards))
    return sum(losses)


def _forward_backward(
    objective: Objective,
    model: Any,
    batch: Batch,
    normaliser: float,
    rng: np.random.Generator | None,
    into: dict[Tensor, np.ndarray],
    finished: Callable[[Tensor], None] | None,
) -> float:
    loss = value_of(objective, model, batch, normaliser, rng)
    value = float(loss.data)
    loss.backward(into=into, finished=finished)
    return value


class _Early:
    """Adds up a parameter's gradients as soon as every shard has its own, and tells."""

    def __init__(self, collected: list[dict[Tensor, np.ndarray]], finished: Callable[[Tensor], None]) -> None:
        self._collected, self._finished = collected, finished
        self._had: Counter[Tensor] = Counter()
        self._lock = threading.Lock()

    def __call__(self, param: Tensor) -> None:
        with self._lock:
            self._had[param] += 1
            if self._had[param] == len(self._collected):
                parts = [found.pop(param) for found in self._collected if param in found]
                if parts:
                    _add(param, parts)
                self._finished(param)

    def check(self) -> None:
        """RuntimeError for a gradient that came after its parameter was said to be finished."""
        if any(self._had[param] == len(self._collected) for found in self._collected for param in found):
            raise RuntimeError("a gradient came after the last use of its parameter: rerun(uses=…) does not name it")


def _add_to_parameters(collected: list[dict[Tensor, np.ndarray]], threads: int) -> None:
    """Add what the shards found to `.grad`: for each parameter first shard to last, whoever finished first."""
    params = list(dict.fromkeys(param for found in collected for param in found))

    def add(share: list[int]) -> None:
        for index in share:
            _add(params[index], [found[params[index]] for found in collected if params[index] in found])

    if len(collected) == 1:
        add(list(range(len(params))))
        return
    sizes = [param.size for param in params]
    shares = balanced_shares(sizes, worth_threads(sum(sizes), threads))
    run_together([functools.partial(add, share) for share in shares])


def _add(param: Tensor, parts: list[np.ndarray]) -> None:
    total = parts[0]
    for part in parts[1:]:
        total += part  # the arrays belong to the shards alone: adding in place needs no other memory
    if param.grad is None:
        param.grad = total
    else:
        param.grad += total
