"""How likely several continuations of one context are: what they share is computed once, then each branch alone.

The shared tokens go in as one chunk, the memory is copied for every branch, and the rest of each goes through as a row
of one batch, filled up on the right, where no real token sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..training.workers import balanced_shares, one_blas_thread, resolve_threads, run_over
from .splitting import Split

_AT_ONCE = 2**26  # logits at a time: 256 MB of float32


class Scored(NamedTuple):
    """The log-probability of every scored token of a branch, float64, and whether each was the model's first choice."""

    log_probabilities: np.ndarray
    greedy: bool


def score_branches(model: Any, rows: Sequence[Split]) -> list[Scored]:
    """Each row's scored tokens; every row begins with at least one token that is not scored."""
    ids = [row.ids for row in rows]
    shared = min(row.first for row in rows)  # the first token whose logits are wanted
    for other in ids[1:]:
        differs = np.flatnonzero(ids[0][:shared] != other[:shared])
        shared = int(differs[0]) if len(differs) else shared
    with no_grad():
        memory, after = model.new_memory(1), None
        if shared:
            after = model.step(ids[0][None, :shared], memory)
        longest = max(map(len, ids)) - shared
        together = max(1, _AT_ONCE // (longest * model.spec.vocab_size))
        found: list[Scored] = []
        for start in range(0, len(rows), together):
            found += _branches(
                model, rows[start : start + together], shared, memory, after, start + together < len(rows)
            )
    return found


def _branches(
    model: Any, rows: Sequence[Split], shared: int, memory: Any, after: np.ndarray | None, more: bool
) -> list[Scored]:
    width = max(len(row.ids) for row in rows) - 1 - shared
    logits = None if after is None else np.broadcast_to(after[:, None], (len(rows), 1, after.shape[-1]))
    if width:
        ids = np.zeros((len(rows), width), np.int64)
        for line, row in zip(ids, rows):
            line[: len(row.ids) - 1 - shared] = row.ids[shared:-1]
        if not shared:
            memory = None
        elif more:  # a further batch needs the shared part again
            memory = model.new_memory(1)
            model.step(rows[0].ids[None, :shared], memory)
        if memory is not None:
            memory.select(np.zeros(len(rows), np.int64))
        new = model(ids, memory=memory).data
        logits = new if logits is None else np.concatenate([logits, new], axis=1)
    assert logits is not None  # without a shared token there is a batch
    first = shared if shared else 1  # the token that logits[:, 0] speaks of
    return [_scored(row, logits[k], first) for k, row in enumerate(rows)]


def _scored(row: Split, logits: np.ndarray, first: int) -> Scored:
    places = np.flatnonzero(row.scored)
    own = logits[places - first].astype(np.float64)
    wanted = row.ids[places]
    top = own.max(axis=-1)
    picked = own[np.arange(len(places)), wanted]
    values = picked - top - np.log(np.exp(own - top[:, None]).sum(axis=-1))
    return Scored(values, bool((own.argmax(axis=-1) == wanted).all()))


def score_items(
    model: Any,
    items: Sequence[Sequence[Split]],
    *,
    numbers: Sequence[int] | None = None,
    threads: int | None = None,
    done: Callable[[int, list[Scored]], object] = lambda number, found: None,
) -> list[list[Scored]]:
    """`score_branches` of every item, several side by side; the numbers do not depend on how many.

    done: called with each item's place and what was found, as soon as it is. ValueError, naming the item (by `numbers`
    where they are counted otherwise), where a log-probability is no finite number.
    """

    def work(number: int) -> list[Scored]:
        found, called = score_branches(model, items[number]), number if numbers is None else numbers[number]
        for k, one in enumerate(found):
            if not np.isfinite(one.log_probabilities).all():
                raise ValueError(
                    f"item {called}: the model gives continuation {k} a log-probability of "
                    f"{one.log_probabilities.min()}: are its weights finite?"
                )
        done(number, found)
        return found

    sizes = [sum(len(row.ids) for row in rows) for rows in items]
    with one_blas_thread():  # a product's last digits depend on the number of its threads
        return run_over(range(len(items)), balanced_shares(sizes, resolve_threads(threads, most=len(items))), work)
