"""Orca: a teacher explains under many system messages, first a lesser one, then the best; the student sees them too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...alignment.erasing import explained_dialogues
from ...data.assistant import SYSTEMS
from ..stages import Start
from .corpora import asked, author, batches, prompt_of
from .preset import Message, Preset
from .supervised import Supervised

LESSER, BEST = ("plain", "bare", "polite"), ("full",)  # what ChatGPT, and then GPT-4, is asked for


def explained(
    start: Start, seed: int, *, styles: tuple[str, ...], erased: bool = False, general: str | None = None
) -> Iterator[list[Message]]:
    """Answers under the system messages of the styles, in turn."""
    for tasks in batches(asked(seed)):
        wishes = [SYSTEMS[styles[k % len(styles)]] for k, _ in enumerate(tasks)]
        prompts = [prompt_of(task) for task in tasks]
        yield from explained_dialogues(prompts, wishes, author(tasks), erased=erased, general=general)


PRESET = Preset(
    name="orca",
    releases=("Orca",),
    particular="the system message that made the teacher explain is in the student's prompt; a lesser teacher first",
    here="4 system messages for 16; the author plays ChatGPT where it answers shortly, GPT-4 where it says why",
    template="tales",
    stages=(
        Supervised("lesser", "Answers of the lesser teacher.", partial(explained, styles=LESSER)),
        Supervised("best", "Explanations of the best teacher.", partial(explained, styles=BEST), tokens=200_000),
    ),
)
