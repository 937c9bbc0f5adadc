"""Alpaca: instructions that a teacher grew from a few, one turn each; the loss is on the response alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...data.assistant import QUESTION_KINDS, Task
from ...data.assistant.growing import grow
from ..stages import Start
from .corpora import asked, prompt_of, told
from .custom import Written
from .opening import Opened
from .preset import Message, Preset
from .supervised import Supervised

ALONE = ("rewriting", "problem", "harmless", "harm")  # what is asked without a tale
SEEDS, GROWN, AT_ONCE = 20, 240, 20  # 175 and 52k there; twenty are asked for at once, as there


def instructions(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Seeds, and what the teacher adds to them that is not nearly there already, each with the teacher's response."""
    seed, known = opened.start.settings["seed"], dict[str, Task]()
    stream = asked(seed + 1, kinds=ALONE)

    def offered(count: int) -> list[str]:
        tasks = {prompt_of(task)[0]["content"]: task for task in itertools.islice(stream, count)}
        known.update(tasks)
        return list(tasks)

    seeds = offered(SEEDS)
    grown = grow(seeds, lambda _: "\n".join(offered(AT_ONCE)), opened.some(GROWN), seed=seed)
    return [{"messages": told(prompt_of(known[text]), known[text].answer)} for text in (*seeds, *grown.instructions)]


def with_inputs(start: Start, seed: int) -> Iterator[list[Message]]:
    """Of five entries three are instructions that were grown, two have an input: a tale that is asked about."""
    grown = itertools.cycle(row["messages"] for row in start.rows("grown"))
    about_tales = asked(seed, kinds=QUESTION_KINDS)
    for entry in itertools.count():
        if entry % 5 < 3:
            yield next(grown)
        else:
            task = next(about_tales)
            yield told(prompt_of(task), task.answer)


PRESET = Preset(
    name="alpaca",
    releases=("Alpaca",),
    particular="instructions grown from a few seeds, near-duplicates dropped; of the prompt nothing is learned",
    here="the author of the tales plays text-davinci-003; two of five entries have an input, a tale",
    template="alpaca",
    stages=(
        Written("grown", "Self-instruct: twenty instructions at once, those too like others left out.", instructions),
        Supervised("sft", "Instructions and responses, loss on the response.", with_inputs),
    ),
)
