"""Orca-2: the teacher is told a strategy for the task; the student is not, and has to find out for itself."""

from __future__ import annotations

from collections.abc import Iterator

from ...alignment.erasing import explained_dialogues
from ...data.assistant import SYSTEMS, Task
from ..stages import Start
from . import orca
from .corpora import asked, author, batches, prompt_of
from .preset import Message, Preset
from .supervised import Supervised

GENERAL = "Answer as it is best."


def strategy(task: Task) -> str:
    """How such a task is gone about: say why where the answer rests on something, else be short."""
    return SYSTEMS["full" if task.kind in ("problem", "why", "when") else "plain"]


def erased(start: Start, seed: int) -> Iterator[list[Message]]:
    """Answers under each task's own strategy, with a general system message in its place."""
    for tasks in batches(asked(seed)):
        prompts = [prompt_of(task) for task in tasks]
        yield from explained_dialogues(
            prompts, [strategy(task) for task in tasks], author(tasks), erased=True, general=GENERAL
        )


PRESET = Preset(
    name="orca-2",
    releases=("Orca 2",),
    particular="the strategy that the teacher was told is erased from the student's prompt",
    here="two strategies, chosen by the kind of task; Orca's stages come first",
    template="tales",
    stages=(
        *(stage for stage in orca.PRESET.stages),
        Supervised("erased", "Answers under a strategy that is not seen.", erased, tokens=200_000),
    ),
)
