"""OpenBuddy-Zephyr: an aligned model is tuned further, on dialogues of many turns."""

from __future__ import annotations

from . import zephyr
from .corpora import conversations
from .preset import Preset
from .supervised import Supervised

TURNS = 4  # of other dialogues than Zephyr's

PRESET = Preset(
    name="openbuddy-zephyr",
    releases=("OpenBuddy-Zephyr",),
    particular="supervised tuning after preferences: it begins with Zephyr, and its rate is a tenth of Zephyr's",
    here="Zephyr's stages come first; what languages are to the original, further turns are here",
    template="zephyr",
    stages=(
        *zephyr.PRESET.stages,
        Supervised("multi-turn", "Dialogues of four turns.", conversations(TURNS, apart=2), tokens=200_000, lr=3e-4),
    ),
)
