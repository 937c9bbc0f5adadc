"""Capybara: few conversations, each grown from a single instruction of another collection to several turns."""

from __future__ import annotations

from collections.abc import Iterator

from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised

TURNS = 3
EPOCHS = 3
TOKENS = 360_000  # of some 440 conversations, three times: a fifteenth of the examples that Hermes has


def grown(start: Start, seed: int) -> Iterator[list[Message]]:
    """Seeds of one turn, carried on for two more."""
    return talks(seed, turns=TURNS)


PRESET = Preset(
    name="capybara",
    releases=("Nous-Capybara",),
    particular="a fifteenth of the examples that Hermes had, each with further turns grown out of a first one",
    here="a task is the seed, and further questions about its tale are the turns that are grown",
    template="vicuna",
    stages=(
        Supervised(
            "sft", "Few conversations, read three times, loss on every answer.", grown, tokens=TOKENS, epochs=EPOCHS
        ),
    ),
)
