"""OpenBuddy-Zephyr: an aligned model is tuned further, on dialogues of many turns."""

from __future__ import annotations

from collections.abc import Iterator

from ..stages import Start
from . import zephyr
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised

TURNS = 4


def long_talks(start: Start, seed: int) -> Iterator[list[Message]]:
    """Other dialogues than Zephyr's, of more turns."""
    return talks(seed + 2, turns=TURNS)


PRESET = Preset(
    name="openbuddy-zephyr",
    releases=("OpenBuddy-Zephyr",),
    particular="supervised tuning after preferences: it begins with Zephyr, and its rate is a tenth of Zephyr's",
    here="Zephyr's stages come first; what languages are to the original, further turns are here",
    template="zephyr",
    stages=(
        *zephyr.PRESET.stages,
        Supervised("multi-turn", "Dialogues of four turns.", long_talks, tokens=200_000, lr=3e-4),
    ),
)
