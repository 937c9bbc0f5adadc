"""OpenHermes: a filtered million of instructions in ChatML, with system prompts, several to a row."""

from __future__ import annotations

from collections.abc import Iterator

from ...data.assistant.harm import refuses
from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised


def filtered(start: Start, seed: int) -> Iterator[list[Message]]:
    """Dialogues with a system prompt, those left out in which the teacher refuses."""
    for talk in talks(seed, turns=1, system=1.0):
        if not any(refuses(message["content"]) for message in talk if message["role"] == "assistant"):
            yield talk


PRESET = Preset(
    name="openhermes",
    releases=("OpenHermes 2", "OpenHermes 2.5"),
    particular="whatever refuses is filtered out; every conversation has a system prompt, in ChatML",
    here="the author's refusals to tell of harm stand for 'As an AI …'",
    template="chatml",
    stages=(
        Supervised(
            "sft", "Filtered instructions with system prompts, loss on the answer.", filtered, packed=True, batch=2
        ),
    ),
)
