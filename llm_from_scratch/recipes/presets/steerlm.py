"""SteerLM: a model that rates answers annotates dialogues, and another learns to answer as the ratings say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...alignment.attributes import ATTRIBUTES, HIGHEST, annotated, rating_dialogue, with_attributes
from ...data import assistant
from ...tokenizers.templates import Format
from ..stages import Start
from .corpora import TRAINING, asked, plain, prompt_of, told, written
from .custom import Written
from .opening import Opened
from .preset import Message, Preset
from .supervised import Supervised

TEMPLATE = Format(
    "NeMo-Aligner, examples/nlp/data/steerlm/common.py",
    system="<extra_id_0>System\n{}\n",
    user="<extra_id_1>User\n{}\n",
    prompt="<extra_id_1>Assistant\n",
    answer="{}\n<extra_id_1>",
).jinja()
DIALOGUES = 3_000
# As helpful, correct and coherent as can be; of medium complexity and length, as the true reward likes it.
WANTED = {**dict.fromkeys(ATTRIBUTES, HIGHEST), "complexity": 2, "verbosity": 2}


def rated(start: Start, seed: int) -> Iterator[list[Message]]:
    """HelpSteer in small: answers and their ratings."""
    for row in assistant.ratings(TRAINING + seed):
        ratings = {name: row[name] for name in ATTRIBUTES}
        yield rating_dialogue(told(plain(row["prompt"]), str(row["response"])), ratings)  # type: ignore[arg-type]


def rated_dialogues(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Dialogues of any quality, with what the attribute model says of them."""
    tasks = itertools.islice(asked(opened.start.settings["seed"] + 1), opened.some(DIALOGUES))
    dialogues = [told(prompt_of(task), task.answers[k % len(task.answers)]) for k, task in enumerate(tasks)]
    made, unread = annotated(dialogues, opened.at("attributes").respond)
    if not made:
        raise ValueError(f"none of {unread} ratings of the attribute model can be read: train it on more tokens")
    return [{"messages": messages} for messages in made]


def best(prompt: Sequence[Message]) -> list[Message]:
    """The prompt that asks for the best answer."""
    return with_attributes(prompt, WANTED)


PRESET = Preset(
    name="steerlm",
    releases=("SteerLM",),
    particular="ratings are words in the prompt: bad answers are learned as bad ones, and the best are asked for",
    here="HelpSteer's five attributes are computed of tales; nine there, with OASST's",
    template=TEMPLATE,
    stages=(
        Supervised("attributes", "A model that rates answers, in words.", rated, train_on="last", leads=False,
                   tokens=600_000),
        Written("annotated", "Dialogues with the ratings that it gives.", rated_dialogues),
        Supervised("sft", "Answers under their ratings.", written("annotated"), tokens=1_000_000),
    ),
    asks=best,
)  # fmt: skip
