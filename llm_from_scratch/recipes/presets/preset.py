"""What a preset is: a release of 2023 in a few stages, small enough to be run at home."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ..stages import Stage

Message = dict[str, str]
Asks = Callable[[Sequence[Message]], list[Message]]


def plainly(prompt: Sequence[Message]) -> list[Message]:
    """The prompt as it is."""
    return list(prompt)


@dataclasses.dataclass(frozen=True)
class Preset:
    """A row of `recipe list`.

    releases: its rows on the map of 2023 (`zoo assistants`), where one can read what the original did. particular: what
    makes it this recipe and no other; here: who plays whose part at our scale. template: the original's way to write a
    conversation, a name or Jinja. asks: what becomes of a prompt before this model is asked (Koala's wish for a helpful
    answer, SteerLM's attributes). Template and asks hold for every stage that has none of its own.
    """

    name: str
    releases: tuple[str, ...]
    particular: str
    here: str
    template: str
    stages: tuple[Stage, ...]
    asks: Asks = plainly

    def __post_init__(self) -> None:
        own: dict[str, Any] = {"template": self.template, "asks": self.asks}
        object.__setattr__(self, "stages", tuple(_completed(stage, own) for stage in self.stages))


def _completed(stage: Stage, own: dict[str, Any]) -> Stage:
    """The stage with the preset's template and question where it has none of its own."""
    bare = {"template": "", "asks": plainly}
    left_open = {name: own[name] for name, value in bare.items() if getattr(stage, name, None) == value}
    return dataclasses.replace(stage, **left_open) if left_open else stage  # type: ignore[type-var]
