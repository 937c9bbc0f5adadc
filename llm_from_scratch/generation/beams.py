"""Beam search: the most probable continuation as a whole, as far as a few open ends at a time can find it.

The most probable next token may lead to where all that follows is improbable. So several beginnings stay open, the
beams: each step tries every token behind every beam and keeps the best `num_beams` of what does not end there. What
ends is set aside with its score, the sum of its log-probabilities over its length to the power of `length_penalty`.

Source: Graves 2012, arXiv:1211.3711, section 2.5; scores and the end of the search as in the transformers library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .rows import Row
from .sampling import Sampling, check_logits
from .stepping import Stepper, read_prompts, read_tokens, reorder


@dataclasses.dataclass(frozen=True)
class Beam:
    """A beginning: its new tokens, the sum of their log-probabilities, and which beam before it continues."""

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    parent: int = 0


class BeamSearch:
    """The search for one row: its open beams, best first, and the best `num_beams` continuations that have ended."""

    def __init__(self, row: Row, sampling: Sampling, num_beams: int, length_penalty: float) -> None:
        self.row, self.sampling, self.num_beams, self.length_penalty = row, sampling, num_beams, length_penalty
        self.open = [Beam()]
        self.ended: list[Beam] = []  # best first

    def advance(self, logits: np.ndarray) -> None:
        """One step: logits (open beams, V) of what may come next."""
        before, self.open = self.open, []
        seen = [[*self.row.seen, *beam.tokens] for beam in before]
        scores = [self.sampling.discourage(log_probabilities(line), tokens) for line, tokens in zip(logits, seen)]
        totals = np.stack(scores) + np.array([[beam.score] for beam in before])
        # Each beam may end with every stop token; enough that go on are left over all the same.
        wanted = self.num_beams * max(2, 1 + len(self.row.stop_tokens))
        for rank, (parent, token) in enumerate(best_entries(totals, wanted)):
            beam = Beam((*before[parent].tokens, token), float(totals[parent, token]), parent)
            if not self.row.would_end(beam.tokens):
                self.open.append(beam)
            elif rank < self.num_beams:  # beyond, it would not have become a beam either
                self.ended.append(beam)
        self.open = self.open[: self.num_beams]
        self.ended = sorted(self.ended, key=self.value, reverse=True)[: self.num_beams]
        if not self.open and not self.ended:
            raise ValueError(f"after {len(seen[0])} tokens no next one is left to any beam: forbid fewer n-grams")

    def value(self, beam: Beam) -> float:
        """What ended beams are compared by. A length penalty above 0 favours long ones: the scores are negative."""
        with np.errstate(over="ignore", divide="ignore"):
            return float(np.float64(beam.score) / np.power(float(len(beam.tokens)), self.length_penalty))

    @property
    def done(self) -> bool:
        """Whether no open beam, as it stands, is better than the worst of `num_beams` that have ended."""
        full = len(self.ended) == self.num_beams
        return not self.open or (full and self.value(self.open[0]) <= self.value(self.ended[-1]))


def search_beams(
    model: Stepper, rows: Sequence[Row], sampling: Sampling, *, num_beams: int, length_penalty: float
) -> None:
    """Continue every row by the best that its search finds. All beams of all rows are read side by side."""
    searches = running = [BeamSearch(row, sampling, num_beams, length_penalty) for row in rows]
    memory, logits = read_prompts(model, rows)
    while running:
        place, parents = 0, []
        for search in running:
            width = len(search.open)
            search.advance(logits[place : place + width])
            parents += [] if search.done else [place + beam.parent for beam in search.open]
            place += width
        running = [search for search in running if not search.done]
        if running:
            reorder(memory, parents)
            logits = read_tokens(model, [beam.tokens[-1] for search in running for beam in search.open], memory)
    for search in searches:
        for token in search.ended[0].tokens:
            search.row.add(token)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """log softmax(logits), (V,) -> (V,), in float64: sums of many are compared.

    >>> log_probabilities(np.zeros(4)).round(4)
    array([-1.3863, -1.3863, -1.3863, -1.3863])
    """
    shifted = check_logits(logits).astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def best_entries(table: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Where the largest `count` entries stand, largest first; of equal ones the first. -inf is never among them.

    >>> best_entries(np.array([[1.0, 3.0], [3.0, -np.inf]]), 4)
    [(0, 1), (1, 0), (0, 0)]
    """
    flat = table.reshape(-1)
    lowest = np.partition(flat, flat.size - count)[flat.size - count] if count < flat.size else -np.inf
    places = np.flatnonzero((flat >= lowest) & (flat > -np.inf))
    best = places[np.argsort(-flat[places], kind="stable")][:count]
    return [(int(place) // table.shape[1], int(place) % table.shape[1]) for place in best]
