"""Prefix tuning: in every attention layer, learned keys and values stand before those of the text.

They are used as they are, not turned by rotary angles; the text stands at positions P and on. With a network in between
(the paper's reparametrisation) they are made by two matrices from a few numbers a position, which learns more evenly;
what is saved is what it makes.

Source: Li & Liang 2021, arXiv:2101.00190.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..layers import KeyValueCache, Linear, ModelMemory, Normal, parameter
from ..models.inputs import Inputs
from .adapted import check_name
from .places import functions, kind_of
from .standing import Before, check_length, stand


class LearnedPrefix(Before):
    """P keys and values for each of the layers that keep some: heads and width of each are `shapes`."""

    technique = "learned prefix"

    def __init__(self, length: int, shapes: Sequence[tuple[int, int]], *, rng: np.random.Generator | None) -> None:
        self.length, self.shapes = length, tuple(shapes)
        # One a layer, (P, 2, heads, width): its keys, then its values.
        self.pairs = [parameter(rng, (length, 2, heads, width), Normal(0.02)) for heads, width in shapes]

    def tables(self) -> list[Tensor]:
        """The keys and values of each layer, (P, 2, heads, width)."""
        return self.pairs

    def begin(self, model: Any, inputs: Inputs, memory: ModelMemory | None) -> tuple[Inputs, ModelMemory]:
        """The inputs as they are, and a memory that holds the prefix."""
        batch = inputs.shape[0]
        _check_padding(model, inputs.mask)
        memory = model.new_memory(batch) if memory is None else memory
        each = [F.repeat(table.transpose(1, 2, 0, 3)[:, None], batch, axis=1) for table in self.tables()]
        memory.begin([(keys_values[0], keys_values[1]) for keys_values in each])
        return inputs, memory

    def flat(self) -> np.ndarray:
        """All layers side by side, each with its keys before its values: (P, numbers)."""
        with no_grad():
            return np.concatenate([table.data.reshape(self.length, -1) for table in self.tables()], axis=1)

    def fill(self, flat: np.ndarray) -> None:
        """Take the numbers of `flat`, which is as `flat()` gives it."""
        start = 0
        for pair in self.pairs:
            size = pair.size // self.length
            pair.data = flat[:, start : start + size].reshape(pair.shape).copy()
            start += size


class ReparametrisedPrefix(LearnedPrefix):
    """The same, made from P rows by a network of two matrices with a tanh between."""

    technique = "reparametrised prefix"

    def __init__(
        self, length: int, shapes: Sequence[tuple[int, int]], *, width: int, hidden: int, rng: np.random.Generator
    ) -> None:
        super().__init__(length, shapes, rng=None)
        self.pairs = []
        self.rows = parameter(rng, (length, width), Normal(1.0))
        self.inner = Linear(width, hidden, init=Normal(width**-0.5), rng=rng)
        self.outer = Linear(hidden, sum(2 * heads * dim for heads, dim in shapes), rng=rng)

    def tables(self) -> list[Tensor]:
        """What the network makes."""
        made = self.outer(F.tanh(self.inner(self.rows)))
        borders = np.cumsum([2 * heads * dim for heads, dim in self.shapes])[:-1]
        parts = F.split(made, borders.tolist(), axis=1)
        return [part.reshape(self.length, 2, *shape) for part, shape in zip(parts, self.shapes)]


def _check_padding(model: Any, mask: np.ndarray | None) -> None:
    """ValueError where padding between prefix and text would be counted as a distance between them."""
    if mask is None or not (~mask[:, :-1] & np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1][:, 1:]).any():
        return
    for path, function in functions(model).items():
        spec = function.spec
        placed = getattr(spec, "slopes", None) is not None and not getattr(spec, "bfloat16_slopes", False)
        if placed or getattr(spec, "window", None) is not None:
            raise ValueError(
                f"learned prefix: {path} counts distances in places of the row (ALiBi, a window), and padding between "
                "prefix and text would lengthen them: give rows of equal length, or one at a time"
            )


def attention_shapes(model: Any) -> list[tuple[int, int]]:
    """Key-value heads and their width, for each layer that keeps keys and values; ValueError where none does."""
    found: list[tuple[int, int]] = []
    kinds: dict[str, None] = {}
    for path, function in functions(model).items():
        if not isinstance(function.new_memory(), KeyValueCache):
            if not path.rpartition(".")[2].startswith("feed_forward"):
                kinds[kind_of(function)] = None
            continue
        try:
            found.append((function.spec.key_value_heads, function.spec.head_dim))
        except AttributeError:
            raise ValueError(
                f"learned prefix: {path} is {kind_of(function)}, whose spec does not say key_value_heads and head_dim"
            ) from None
    if not found:
        raise ValueError(
            f"learned prefix: {' and '.join(kinds)} layers keep no keys and values that a prefix could stand among; "
            "a learned prompt (add_prompt) stands before any layer"
        )
    return found


def add_prefix(
    model: Any,
    length: int = 20,
    name: str = "default",
    *,
    reparametrized: bool = False,
    hidden: int | None = None,
    tokens: Any = None,
    seed: int = 0,
) -> LearnedPrefix:
    """Put learned keys and values before those of every text, in each layer that has some. They alone act and train.

    tokens: ids whose keys and values they begin as (`length` is their number then); else small random numbers.
    reparametrized: made by a network whose inner width is `hidden`, the model's by default. seed: of what is drawn.

    ValueError where there is no attention, where learned positions leave no room, or the name is taken.
    """
    check_name(model, name)
    shapes, rng = attention_shapes(model), np.random.default_rng(seed)
    begun = None if tokens is None else _keys_values(model, tokens)
    length = check_length("learned prefix", length if begun is None else begun.shape[0], model.position_limit)
    part: LearnedPrefix
    if reparametrized:
        if begun is not None:
            raise ValueError("learned prefix: what a network makes cannot begin as the keys and values of tokens")
        width = model.spec.hidden_size
        part = ReparametrisedPrefix(length, shapes, width=width, hidden=hidden or width, rng=rng)
    else:
        part = LearnedPrefix(length, shapes, rng=rng)
        if begun is not None:
            part.fill(begun)
    stand(model, name, part)
    return part


def _keys_values(model: Any, tokens: Any) -> np.ndarray:
    """The keys and values that the model keeps of some tokens, as `LearnedPrefix.flat` has them."""
    memory = model.new_memory(1)
    model.step(np.asarray(tokens).reshape(1, -1), memory)
    caches = [part for layer in memory.layers for part in layer.values() if isinstance(part, KeyValueCache)]
    pairs = [np.stack(cache.held(), axis=0)[:, 0].transpose(2, 0, 1, 3) for cache in caches]  # (P, 2, heads, width)
    if any(len(pair) != memory.length for pair in pairs):
        raise ValueError(f"learned prefix: a layer's window holds fewer than the {memory.length} tokens given")
    return np.concatenate([pair.reshape(len(pair), -1) for pair in pairs], axis=1)
