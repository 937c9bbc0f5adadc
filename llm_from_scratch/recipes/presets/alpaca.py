"""Alpaca: instructions that a teacher grew from a few, one turn each; the loss is on the response alone."""

from __future__ import annotations

from collections.abc import Iterator

from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised


def instructions(start: Start, seed: int) -> Iterator[list[Message]]:
    """Single turns."""
    return talks(seed, turns=1)


PRESET = Preset(
    name="alpaca",
    releases=("Alpaca",),
    particular="single turns under one fixed preamble; every token of the response is learned and none of the prompt",
    here="the author of the tales plays text-davinci-003",
    template="alpaca",
    stages=(Supervised("sft", "Instructions and responses, loss on the response.", instructions),),
)
