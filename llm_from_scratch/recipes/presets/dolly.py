"""Dolly 2: instructions by people, in categories; a response ends with a line of its own, which is learned too."""

from __future__ import annotations

from collections.abc import Iterator

from ...data.assistant import OTHER_KINDS, QUESTION_KINDS
from ...tokenizers.templates import Format
from ..stages import Start
from .corpora import asked, prompt_of, told
from .preset import Message, Preset
from .supervised import Supervised

TEMPLATE = Format(
    "databrickslabs/dolly, training/consts.py",
    system="{}\n\n",
    default="Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    user="### Instruction:\n{}\n\n",
    prompt="### Response:\n",
    answer="{}\n\n### End{eos}",
    after="\n\n",
).jinja()
CATEGORIES = (*QUESTION_KINDS[:4], *OTHER_KINDS)  # eight, as there


def written(start: Start, seed: int) -> Iterator[list[Message]]:
    """Plain answers, the categories in turn."""
    return (told(prompt_of(task), task.answer) for task in asked(seed, kinds=CATEGORIES))


PRESET = Preset(
    name="dolly",
    releases=("Dolly 2.0",),
    particular="no teacher's words: eight categories of instructions by people, plainly answered; '### End' is learned",
    here="tasks of eight kinds with their plain answers; the original's base was Pythia, which `--model` may be too",
    template=TEMPLATE,
    stages=(Supervised("sft", "Instructions of eight kinds, loss on the response.", written),),
)
