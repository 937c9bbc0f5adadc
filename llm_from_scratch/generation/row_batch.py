"""Batches whose rows come and go: a request begins as soon as a place is free, and leaves it when it has ended.

A batch that waits for its longest row leaves most places empty for most of the time. Here what the model remembers of
new prompts is joined to what it remembers of the rows that are under way. Every request gets the tokens that it gets
alone: its randomness is its own, and padding in front of the shorter rows is not seen.

Source: Yu et al. 2022, Orca (OSDI), section 3, "iteration-level scheduling".
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from .opening import open_rows, whole_number
from .rows import Row
from .sampling import Sampling
from .stepping import Stepper, join, read_prompts, read_tokens, reorder

_HOW = {field.name for field in dataclasses.fields(Sampling)}


class RowBatch:
    """Up to `places` rows side by side; what is added beyond that waits its turn.

    >>> class Counter:                                   # always expects the next number
    ...     def new_memory(self, batch_size):
    ...         return None
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(10)[(ids[:, -1] + 1) % 10] * 50
    >>> batch = RowBatch(Counter(), places=2)
    >>> rows = [batch.add([first], max_new_tokens=4, stop_tokens=[9]) for first in (7, 1, 4)]
    >>> batch.step()                                     # 7 and 1 are continued; 4 has to wait
    []
    >>> [row.new for row in batch.step()]                # here the first one ends, and leaves its place
    [[8, 9]]
    >>> batch.run()
    >>> [row.new for row in rows]
    [[8, 9], [2, 3, 4, 5], [5, 6, 7, 8]]
    """

    def __init__(self, model: Stepper, places: int = 8) -> None:
        if whole_number("places", places) == 0:
            raise ValueError("a batch has at least 1 place, got 0")
        self.model, self.places = model, places
        self.waiting: deque[tuple[Row, Sampling]] = deque()
        self.running: list[tuple[Row, Sampling]] = []  # the rows that the memory holds, in its order
        self._memory: Any = None

    def add(self, prompt: Sequence[int] | np.ndarray, *, max_new_tokens: int, **settings: Any) -> Row:
        """A request: a prompt of token ids, and any settings of `Sampling` and `open_rows`. Its row fills as it goes.

        Raises TypeError or ValueError for what cannot be; the requests that are under way do not notice.
        """
        sampling = Sampling(**{name: settings.pop(name) for name in _HOW & set(settings)})
        (row,) = open_rows(self.model, np.asarray(prompt)[None], max_new_tokens=max_new_tokens, **settings)
        if not row.ended:
            self.waiting.append((row, sampling))
        return row

    def step(self) -> list[Row]:
        """One more token for each row that has a place: the rows that ended with it, or failed for want of one.

        What a row's `stream` raises ends that row, and is raised when all others have their token. A row that was given
        up meanwhile (`Row.fail`) has left its place.
        """
        self._leave()
        self.waiting = deque(pair for pair in self.waiting if not pair[0].ended)
        new = list(itertools.islice(self.waiting, self.places - len(self.running)))
        # Prompts first, since they may be too much: then nothing has changed.
        memory, first = read_prompts(self.model, [row for row, _ in new]) if new else (None, np.empty(0))
        tokens = [row.new[-1] for row, _ in self.running]
        logits = [*(read_tokens(self.model, tokens, self._memory) if tokens else ()), *first]
        if tokens and new:
            join(self._memory, memory)
        elif new:
            self._memory = memory
        self.running = self.running + [self.waiting.popleft() for _ in new]
        raised = [_add_token(*pair, scores) for pair, scores in zip(self.running, logits)]
        ended = self._leave()
        for error in filter(None, raised):
            raise error
        return ended

    def _leave(self) -> list[Row]:
        """The rows that have ended give their places back."""
        going = [place for place, (row, _) in enumerate(self.running) if not row.ended]
        ended = [row for row, _ in self.running if row.ended]
        if ended and going:
            reorder(self._memory, going)
        self.running = [self.running[place] for place in going]
        return ended

    def run(self) -> None:
        """Until every request has ended."""
        while self.running or self.waiting:
            self.step()


def _add_token(row: Row, sampling: Sampling, scores: np.ndarray) -> BaseException | None:
    """One more token; where settings leave none, or scores are no numbers, this row alone ends, and says why.

    It also ends where its stream raises something, which is given back.
    """
    try:
        try:
            token = sampling.choose(scores, row.seen, row.rng)
        except ValueError as error:
            row.fail(error)
        else:
            row.add(token)
    except BaseException as error:
        row.ended, row.failure = True, error
        return error
    return None
