"""Filling blanks: for a model with a bidirectional context (GLM), what stands at a [MASK] or follows at a [gMASK].

The context enters as one chunk, in which all tokens see each other; then the blank's content is generated after a
start token, left to right, with what the layers remember. Positions follow the kind of blank: at a [MASK] they all stay
at its index, after a [gMASK] they go on counting. So does the released code of GLM-130B, arXiv:2210.02414.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..data.infilling import BlankTokens
from .continuation import continue_rows


class PositionedStepper(Protocol):
    """A model whose steps take positions and the length of a bidirectional prefix."""

    def new_memory(self, batch_size: int) -> Any:
        """An empty memory for so many rows."""

    def step(
        self, ids: Any, memory: Any, mask: Any = None, *, positions: Any = None, prefix_length: Any = None
    ) -> np.ndarray:
        """Continue `memory` by ids (B, T); logits after the last of them, (B, V)."""


def generate_blank(
    model: PositionedStepper,
    contexts: Sequence[Sequence[int] | np.ndarray],
    tokens: BlankTokens,
    *,
    max_new_tokens: int,
    **settings: Any,
) -> list[list[int]]:
    """What the model writes into the first blank of each context, without start and end token.

    contexts: rows of token ids, of any lengths, each with at least one [MASK] or [gMASK]. settings: see `continue_rows`
    (temperature 0 is greedy); a row ends at the end token or after `max_new_tokens`.

    Raises ValueError for a context without a blank or with a start token, and what `continue_rows` raises.

    >>> class Spelling:                                  # writes the position of the token that it has just read
    ...     def new_memory(self, batch_size):
    ...         return type("Memory", (), {"length": 0})()
    ...     def step(self, ids, memory, mask=None, *, positions=None, prefix_length=None):
    ...         memory.length += ids.shape[1]
    ...         return np.eye(20)[positions[:, -1] + 10]
    >>> special = BlankTokens(mask=1, gmask=2, start=3, end=4)
    >>> generate_blank(Spelling(), [[8, 9, 1, 7], [8, 2]], special, max_new_tokens=3, temperature=0.0)
    [[12, 12, 12], [12, 13, 14]]
    """
    prompts = [_check_context(row, context, tokens) for row, context in enumerate(contexts)]
    if not prompts:
        raise ValueError("there is no context to fill")
    width = max(map(len, prompts)) + 1
    ids = np.full((len(prompts), width), tokens.pad, np.int64)
    real, positions = np.zeros(ids.shape, bool), np.zeros(ids.shape, np.int64)
    growth = np.zeros((len(prompts), 1), np.int64)
    for row, prompt in enumerate(prompts):
        place = _first_blank(prompt, tokens)
        growth[row] = prompt[place] == tokens.gmask
        ids[row, -len(prompt) - 1 :] = [*prompt, tokens.start]
        real[row, -len(prompt) - 1 :] = True
        positions[row, -len(prompt) - 1 :] = [*range(len(prompt)), len(prompt) if growth[row] else place]
    given = settings.pop("stop_tokens", ())
    stops = [tokens.end, *([given] if isinstance(given, (int, np.integer)) else given)]
    made = continue_rows(
        _Blank(model, positions, growth), ids, max_new_tokens=max_new_tokens, stop_tokens=stops, mask=real, **settings
    )
    return [_until(row.kept, tokens.end) for row in made]


def fill_blanks(
    model: PositionedStepper,
    contexts: Sequence[Sequence[int] | np.ndarray],
    tokens: BlankTokens,
    *,
    max_new_tokens: int,
    seed: int = 0,
    **settings: Any,
) -> list[list[int]]:
    """The contexts with every blank replaced by what the model writes there, the leftmost first.

    A later blank sees what was written into the earlier ones. Arguments as for `generate_blank`; a context without a
    blank comes back as it is. A row's random numbers depend on the seed and its number alone, not on its neighbours.

    >>> class Counter:                                   # writes 7, then the end token
    ...     def new_memory(self, batch_size):
    ...         return type("Memory", (), {"length": 0})()
    ...     def step(self, ids, memory, mask=None, *, positions=None, prefix_length=None):
    ...         memory.length += ids.shape[1]
    ...         return np.where(ids[:, -1:] == 7, np.eye(9)[4], np.eye(9)[7])
    >>> special = BlankTokens(mask=1, gmask=2, start=3, end=4)
    >>> fill_blanks(Counter(), [[8, 1, 8, 1], [8, 2], [5]], special, max_new_tokens=3, temperature=0.0)
    [[8, 7, 8, 7], [8, 7], [5]]
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer of 0 or more, got {seed!r}")
    texts = [np.asarray(context).tolist() for context in contexts]
    number = 0
    while open_rows := [row for row, text in enumerate(texts) if tokens.mask in text or tokens.gmask in text]:
        seeds = [int(np.random.SeedSequence([seed, row, number]).generate_state(1)[0]) for row in open_rows]
        written = generate_blank(
            model, [texts[row] for row in open_rows], tokens, max_new_tokens=max_new_tokens, seed=seeds, **settings
        )
        for row, content in zip(open_rows, written):
            place = _first_blank(texts[row], tokens)
            # A model may write a blank of its own; it stays out, or filling would never end.
            clean = [token for token in content if token not in (tokens.mask, tokens.gmask, tokens.start)]
            texts[row][place : place + 1] = clean
        number += 1
    return texts


class _Blank:
    """The model as `generate` wants to see it: knows the context's length and where new tokens stand."""

    def __init__(self, model: PositionedStepper, positions: np.ndarray, growth: np.ndarray) -> None:
        self._model, self._positions, self._growth = model, positions, growth
        self.position_limit = getattr(model, "position_limit", None)

    def new_memory(self, batch_size: int) -> _Rows:
        return _Rows(self._model.new_memory(batch_size), self._positions, self._growth)

    def step(self, ids: np.ndarray, rows: _Rows, mask: Any = None) -> np.ndarray:
        memory, context = rows.memory, rows.positions.shape[1] - 1  # all but the start token; padding before is masked
        if memory.length == 0:
            return self._model.step(ids, memory, mask, positions=rows.positions, prefix_length=context)
        steps = memory.length - context + np.arange(ids.shape[1])
        return self._model.step(ids, memory, mask, positions=rows.positions[:, -1:] + rows.growth * steps)


class _Rows:
    """What the model remembers of the rows that go on, and where their new tokens stand."""

    def __init__(self, memory: Any, positions: np.ndarray, growth: np.ndarray) -> None:
        self.memory, self.positions, self.growth = memory, positions, growth

    def select(self, rows: list[int]) -> None:
        self.memory.select(rows)
        self.positions, self.growth = self.positions[rows], self.growth[rows]


def _check_context(row: int, context: Any, tokens: BlankTokens) -> list[int]:
    ids = np.asarray(context)
    if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu":
        raise ValueError(f"context {row} must be a list of token ids, got {ids.dtype}{ids.shape}")
    if tokens.start in ids:
        raise ValueError(f"context {row} holds the start token {tokens.start}, which is put behind it here")
    found = ids.tolist()
    if tokens.mask not in found and tokens.gmask not in found:
        raise ValueError(
            f"context {row} has no blank, neither {tokens.mask} ([MASK]) nor {tokens.gmask} ([gMASK]): "
            "put a [gMASK] behind it to have it continued"
        )
    return found


def _first_blank(ids: list[int], tokens: BlankTokens) -> int:
    return next(place for place, token in enumerate(ids) if token in (tokens.mask, tokens.gmask))


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
