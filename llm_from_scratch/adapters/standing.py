"""`Standing`: what stands before every text that a model reads, and of that, what acts. A decoder's `prefix`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import ModelMemory, Module
from ..models.inputs import Inputs
from .adapted import Adapter, activate, next_order


class Before(Adapter):
    """Base of an adapter that stands before the text. length: how many positions it takes."""

    length: int

    def __call__(self, inner: Any, *inputs: Any) -> Any:
        """It has no inputs."""
        raise TypeError(f"a {self.technique} stands before a text, it is not called")

    def begin(self, model: Any, inputs: Inputs, memory: ModelMemory | None) -> tuple[Inputs, ModelMemory | None]:
        """See `models.inputs.Prefix`."""
        raise NotImplementedError

    def merged(self, base: Any) -> Any:
        """It is no part of a matrix."""
        raise ValueError(
            f"a {self.technique} stands before the text and is no part of a matrix: it cannot be merged, keep it beside"
        )


class Standing(Module):
    """Several of them by name, of which one may act."""

    def __init__(self) -> None:
        self.adapters: dict[str, Adapter] = {}
        self.active: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """How many positions are taken."""
        return sum(self.adapters[name].length for name in self.active)  # type: ignore[attr-defined]

    def begin(self, model: Any, inputs: Inputs, memory: ModelMemory | None) -> tuple[Inputs, ModelMemory | None]:
        """What the decoder goes on with; see `models.inputs.Prefix`."""
        if len(self.active) > 1:
            raise ValueError(f"one thing at a time can stand before a text, not {' and '.join(self.active)}")
        for name in self.active:
            part: Any = self.adapters[name]
            if inputs.segments is not None:
                raise ValueError(
                    f"a {part.technique} stands before one text: rows that pack several (segments) have no place for it"
                )
            inputs, memory = part.begin(model, inputs, memory)
        return inputs, memory


def check_length(technique: str, length: Any, limit: int | None) -> int:
    """How many positions something takes, which has to leave room for a text where positions are learned."""
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
        raise ValueError(f"{technique}: the length is a whole number of 1 or more, not {length!r}")
    if limit is not None and length >= limit:
        raise ValueError(f"{technique}: {length} positions leave none of the {limit} that this model has for a text")
    return int(length)


def stand(model: Any, name: str, part: Before) -> None:
    """Put `part` before every text of the model; it alone acts and trains."""
    part.order = next_order(model)
    if model.prefix is None:
        model.prefix = Standing()
    model.prefix.adapters[name] = part.astype(model.dtype)
    model.freeze()
    activate(model, name)
