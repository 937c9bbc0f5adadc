"""Zephyr: dialogues, four answers to each of many prompts, rated by a better model, and DPO without any human label."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ...data.assistant.feedback import binarize
from .corpora import asked, conversations, prompt_of
from .custom import Aligned, Written
from .opening import Opened, sampled
from .preset import Preset
from .supervised import Supervised

PROMPTS, ANSWERS = 640, 4
BETA = 0.1


def feedback(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Answers of the tuned model; of each four the one rated best is chosen, one of the others, drawn, rejected."""
    seed = opened.start.settings["seed"]
    tasks = list(itertools.islice(asked(seed + 1), opened.some(PROMPTS)))
    prompts = [prompt_of(task) for task in tasks]
    answers = [list(row) for row in zip(*sampled(opened, prompts, ANSWERS))]
    ratings = [[task.score(text) for text in row] for task, row in zip(tasks, answers)]
    return binarize(prompts, answers, ratings, seed=seed)  # type: ignore[arg-type, return-value]


PRESET = Preset(
    name="zephyr",
    releases=("Zephyr",),
    particular="of four answers the best rated is chosen, a random other one rejected; DPO from the tuned model, β 0.1",
    here="the tuned model writes all four answers; the tales' true score plays GPT-4, who rates them",
    template="zephyr",
    stages=(
        Supervised("sft", "Dialogues, loss on every answer.", conversations(3)),
        Written("feedback", "Four answers to each prompt, rated; pairs of the best and another one.", feedback),
        Aligned("dpo", "DPO on these pairs.", "dpo", "feedback", {"beta": BETA, "tokens": 400_000}),
    ),
)
