"""OpenChat: good and lesser answers, told apart by the prompt and weighted by their source (C-RLFT)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.graded import crlft_objective
from ...data import assistant
from ...tokenizers.templates import Format
from ..stages import Start
from .corpora import TRAINING, plain
from .preset import Message, Preset
from .supervised import Supervised

TEMPLATE = Format(
    "OpenChat 3.1, README", system="{}<|end_of_turn|>", user="User: {}<|end_of_turn|>", prompt="Assistant:",
    answer=" {}<|end_of_turn|>",
).jinja()  # fmt: skip
CLASSES = {"expert": "Assistant is GPT4", "other": "Assistant is GPT3"}
WEIGHTS = {"expert": 1.0, "other": 0.1}


def of_class(prompt: Sequence[Message], quality: str = "expert") -> list[Message]:
    """The prompt under the name of who answers; asked for, it is always the expert.

    >>> of_class([{"role": "user", "content": "Who?"}])[0]["content"]
    'Assistant is GPT4'
    """
    return [{"role": "system", "content": CLASSES[quality]}, *prompt]


def classed(start: Start, seed: int) -> Iterator[Mapping[str, Any]]:
    """Answers of both classes, each with its weight."""
    for row in assistant.classes(TRAINING + seed):
        weight = np.float32(WEIGHTS[row["quality"]])
        yield {"messages": of_class(plain(row["messages"]), row["quality"]), "weight": weight}


PRESET = Preset(
    name="openchat",
    releases=("OpenChat", "OpenChat 3.5"),
    particular="who answers stands in the prompt, and what a lesser one says counts a tenth",
    here="the author at its best plays GPT-4, at anything less GPT-3.5",
    template=TEMPLATE,
    stages=(
        Supervised("crlft", "Answers of two classes, conditioned and weighted.", classed, objective=crlft_objective()),
    ),
    asks=of_class,
)
