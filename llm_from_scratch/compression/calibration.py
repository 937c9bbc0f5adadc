"""Calibration text on its way through a model, layer by layer: what each layer reads when those before it are done.

Only the states between two layers are held for the whole text; everything inside a layer is seen piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.calls import intercepted
from ..checks import check_ids
from ..layers import Context, Module

LEAST_TOKENS = 32  # fewer say nothing about any layer
_AT_ONCE = 4096  # tokens that go through a layer together


def calibration_rows(ids: Any, *, context: int, rows: int | None = None) -> np.ndarray:
    """Rows of `context` tokens from the ids of one text (N,): evenly spread over it where fewer are wanted than it has.

    Raises ValueError for a text without a single whole row.

    >>> calibration_rows(np.arange(10), context=3, rows=2)
    array([[0, 1, 2],
           [6, 7, 8]])
    """
    ids = np.asarray(ids)
    for name, number in (("context", context), *((("rows", rows),) if rows is not None else ())):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name} is a positive whole number, not {number!r}")
    whole = len(ids) // context if ids.ndim == 1 else 0
    if not whole:
        raise ValueError(
            f"calibration text of {ids.size} tokens is too short: not one row of {context} tokens; give more text, or "
            "shorter rows"
        )
    table = ids[: whole * context].reshape(whole, context)
    return table if rows is None or rows >= whole else table[np.linspace(0, whole - 1, rows).round().astype(int)]


def check_calibration(ids: Any, vocabulary: int, limit: int | None = None) -> np.ndarray:
    """Calibration ids as rows (N, T); a single text (N,) is cut into rows of 512 tokens, or of fewer if it is shorter.

    limit: the longest row that the model reads. Raises TypeError or ValueError for what are no ids of this vocabulary,
    for too few of them, and for such as are (nearly) all the same, which say nothing about a layer's inputs.

    >>> check_calibration([[7] * 40], 50)
    Traceback (most recent call last):
    ValueError: calibration text is constant: 40 tokens, of which only 1 differ; give ordinary text
    """
    rows = np.asarray(ids)
    if rows.ndim == 1 and rows.size:
        rows = calibration_rows(rows, context=min(512, rows.size, limit or 512))
    if rows.ndim != 2:
        raise ValueError(f"calibration ids are rows (N, T), got the shape {rows.shape}")
    check_ids(rows, vocabulary)
    if rows.size < LEAST_TOKENS:
        raise ValueError(
            f"calibration text of {rows.size} tokens is too short: {LEAST_TOKENS} are the least, thousands usual"
        )
    if limit is not None and rows.shape[1] > limit:
        raise ValueError(f"calibration rows of {rows.shape[1]} tokens exceed the {limit} positions of this model")
    different = len(np.unique(rows))
    if different < min(8, vocabulary):
        raise ValueError(
            f"calibration text is constant: {rows.size} tokens, of which only {different} differ; give ordinary text"
        )
    return rows


class _Door(Module):
    """Stands in the place of all layers, and keeps what the first would have been given."""

    def __call__(self, x: Tensor, memory: Any, context: Context) -> Tensor:
        self.given = x.data, context
        return x


@dataclass
class Flow:
    """States (N, T, hidden) before a layer, and what a pass knows, for each piece of some rows."""

    states: np.ndarray
    contexts: list[Context]
    rows: int  # of a piece

    @classmethod
    def of(cls, model: Any, ids: np.ndarray) -> Flow:
        """The states before the first layer: ids (N, T)."""
        rows = max(1, _AT_ONCE // ids.shape[1])
        states, contexts, layers = np.empty(0), [], model.layers
        door = _Door()
        model.layers = [door]
        try:
            for first in range(0, len(ids), rows):
                with no_grad():
                    model.states({"ids": ids[first : first + rows]})
                x, context = door.given
                states = states if first else np.empty((len(ids), *x.shape[1:]), x.dtype)
                states[first : first + rows] = x
                contexts.append(context)
        finally:
            model.layers = layers
        return cls(states, contexts, rows)

    def pieces(self) -> Iterator[tuple[Tensor, Context]]:
        """The states piece by piece, as a layer is called with them."""
        for i, context in enumerate(self.contexts):
            yield Tensor(self.states[i * self.rows : (i + 1) * self.rows]), context

    def through(self, layer: Any) -> None:
        """Let a layer read the states, for the sake of what is watched in it."""
        with no_grad():
            for x, context in self.pieces():
                layer(x, None, context)

    def advance(self, layer: Any) -> None:
        """Put the states behind a layer in place of those before it. ValueError where they are not finite."""
        with no_grad():
            for i, (x, context) in enumerate(self.pieces()):
                self.states[i * self.rows : (i + 1) * self.rows] = layer(x, None, context).data
        if not np.isfinite(self.states).all():
            raise ValueError("the layer's output is not finite: are its weights sound?")


@contextmanager
def watching(modules: Mapping[str, Module], see: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, `see(name, *what it is called with)` is told of every call of a module, before the call."""

    def watched(name: str, call: Callable[..., Any], *args: Any) -> Any:
        see(name, *args)
        return call(*args)

    with intercepted(modules, watched):
        yield
