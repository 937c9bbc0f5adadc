"""Vicuna: whole conversations; the loss is on every answer of the assistant, none on the user."""

from __future__ import annotations

from .corpora import conversations
from .preset import Preset
from .supervised import Supervised

TURNS = 3

PRESET = Preset(
    name="vicuna",
    releases=("Vicuna",),
    particular="conversations of several turns, of which all answers are learned at once",
    here="conversations with the author of the tales stand for those that users shared",
    template="vicuna",
    stages=(Supervised("sft", "Conversations, loss on every answer.", conversations(TURNS)),),
)
