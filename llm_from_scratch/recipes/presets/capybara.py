"""Capybara: few conversations, each grown from a single instruction of another collection to several turns."""

from __future__ import annotations

from collections.abc import Iterator

from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised

TURNS = 3
FEW = 15  # times fewer examples than Hermes had: 20k to 300k


def grown(start: Start, seed: int) -> Iterator[list[Message]]:
    """Seeds of one turn, carried on for two more; deterministic, and never more than a fifteenth of the tales."""
    return talks(seed, turns=TURNS)


PRESET = Preset(
    name="capybara",
    releases=("Nous-Capybara",),
    particular="a fifteenth of the examples that Hermes had, each with further turns grown out of a first one",
    here="a task is the seed, and further questions about its tale are the turns that are grown",
    template="vicuna",
    stages=(Supervised("sft", "Few conversations of several turns, read several times.", grown),),
)
