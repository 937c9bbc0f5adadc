"""Prompt tuning: learned rows stand before those that the text's tokens look up, and are read like tokens.

They take positions, every layer sees them, and what the model says after them is dropped.

Source: Lester et al. 2021, arXiv:2104.08691.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..layers import ModelMemory
from ..models.inputs import Inputs
from .adapted import check_name
from .standing import Before, check_length, stand


class LearnedPrompt(Before):
    """P rows (P, width), as the embedding has them."""

    technique = "learned prompt"

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = Tensor(np.array(rows), requires_grad=True)

    @property
    def length(self) -> int:  # type: ignore[override]
        """How many positions it takes."""
        return len(self.rows.data)

    def begin(self, model: Any, inputs: Inputs, memory: ModelMemory | None) -> tuple[Inputs, ModelMemory | None]:
        """Inputs with the rows in front of each text, behind what padding it has there; the memory as it is."""
        batch, length = inputs.shape
        x = inputs.embeddings if inputs.ids is None else model.embed(inputs.ids)
        order = _order(batch, length, self.length, inputs.mask)
        row = np.arange(batch)[:, None]

        def joined(before: Any, those: np.ndarray) -> np.ndarray:
            first = np.broadcast_to(np.asarray(before, those.dtype), (batch, self.length))
            return np.concatenate([first, np.broadcast_to(those, (batch, length))], axis=1)[row, order]

        x = F.concatenate(F.repeat(self.rows[None], batch, axis=0), x, axis=1)
        if inputs.mask is not None:
            x = x[row, order]
        mask = None if inputs.mask is None else joined(True, inputs.mask)
        positions = inputs.positions
        if positions is not None:
            positions = joined(np.arange(self.length), positions + self.length)
        about: dict[str, Any] = {"mask": mask, "positions": positions, "virtual": self.length}
        return dataclasses.replace(inputs, ids=None, embeddings=x, **about), memory


def _order(batch: int, length: int, virtual: int, mask: np.ndarray | None) -> np.ndarray:
    """Where each column comes from, of rows with the prompt first: padding on the left goes before the prompt.

    >>> _order(1, 3, 2, np.array([[False, True, True]]))
    array([[2, 0, 1, 3, 4]])
    """
    column = np.arange(virtual + length)
    padding = np.zeros((batch, 1), int) if mask is None else mask.argmax(axis=1)[:, None]
    inside = np.where(column < padding + virtual, column - padding, column)
    return np.where(column < padding, column + virtual, inside)


def add_prompt(model: Any, length: int = 20, name: str = "default", *, tokens: Any = None, seed: int = 0) -> Any:
    """Put learned rows before every text, as if they were tokens. They alone act and train from now on.

    tokens: ids whose rows they begin as (`length` is their number then); else those of random tokens, drawn with seed.
    ValueError where learned positions leave no room, or the name is taken.
    """
    check_name(model, name)
    if tokens is None:
        length = check_length("learned prompt", length, model.position_limit)
        tokens = np.random.default_rng(seed).integers(0, model.spec.vocab_size, length)
    with no_grad():
        rows = model.embed(np.asarray(tokens).reshape(1, -1)).data[0]
    check_length("learned prompt", len(rows), model.position_limit)
    part = LearnedPrompt(rows)
    stand(model, name, part)
    return part
