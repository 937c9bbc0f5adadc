"""Capybara: few conversations, each grown from a single instruction of another collection to several turns."""

from __future__ import annotations

from .corpora import conversations
from .preset import Preset
from .supervised import Supervised

TURNS = 3  # a seed, carried on for two more
EPOCHS = 3
TOKENS = 360_000  # of some 440 conversations, three times: a fifteenth of the examples that Hermes has

PRESET = Preset(
    name="capybara",
    releases=("Nous-Capybara",),
    particular="a fifteenth of the examples that Hermes had, each with further turns grown out of a first one",
    here="a task is the seed, and further questions about its tale are the turns that are grown",
    template="vicuna",
    stages=(
        Supervised(
            "sft",
            "Few conversations, read three times, loss on every answer.",
            conversations(TURNS),
            tokens=TOKENS,
            epochs=EPOCHS,
        ),
    ),
)
