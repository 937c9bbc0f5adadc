"""Vicuna: whole conversations; the loss is on every answer of the assistant, none on the user."""

from __future__ import annotations

from collections.abc import Iterator

from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised

TURNS = 3


def conversations(start: Start, seed: int) -> Iterator[list[Message]]:
    """Several turns about one tale."""
    return talks(seed, turns=TURNS)


PRESET = Preset(
    name="vicuna",
    releases=("Vicuna",),
    particular="conversations of several turns, of which all answers are learned at once",
    here="conversations with the author of the tales stand for those that users shared",
    template="vicuna",
    stages=(Supervised("sft", "Conversations, loss on every answer.", conversations),),
)
