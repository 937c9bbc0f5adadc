"""What supervised tuning learns from, and how it is seen to have learned: a file, the tales, or a made-up format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import data as readers
from ..data import assistant
from . import made_up_format

Dialogue = Sequence[Mapping[str, Any]]
TRAINING_SEED, HELD_OUT_SEED = 19_000, 19_999  # of the tales: other seeds have other tales


@dataclasses.dataclass(frozen=True)
class Taught:
    """dialogues: to learn from, anew at each call, perhaps without end. held_out: others, whose loss is measured.

    questions: prompts to which answers are generated, each with what says whether an answer is right; asked: what that
    is called. epochs, tokens: how long one learns if nobody says; longest: tokens of an answer.
    """

    dialogues: Callable[[], Iterator[Dialogue]]
    held_out: Sequence[Dialogue]
    questions: Sequence[tuple[Dialogue, Callable[[str], bool] | None]]
    asked: str
    tokens: int | None = None
    epochs: float = 3.0
    longest: int = 48


def open_taught(data: str, *, seed: int, held_out: int) -> Taught:
    """ "tales", "format", or the path of a file of dialogues in any of the usual shapes."""
    if held_out < 1:
        raise ValueError(f"held_out is how many are kept for measuring, at least 1; got {held_out}")
    if data == "tales":
        told = assistant.dialogues(HELD_OUT_SEED, kinds=assistant.TAUGHT_KINDS, turns=4)
        asked = assistant.tasks(HELD_OUT_SEED, kinds=assistant.QUESTION_KINDS)
        return Taught(
            lambda: assistant.dialogues(TRAINING_SEED + seed, kinds=assistant.TAUGHT_KINDS, turns=4),
            [dialogue for _, dialogue in zip(range(min(held_out, 100)), told)],
            [(list(task.messages), task.right) for _, task in zip(range(held_out), asked)],
            "questions_right",
            tokens=1_500_000,
        )
    if data == "format":
        examples = made_up_format.dialogues(seed)
        words = made_up_format.questions(min(held_out, 100))
        return Taught(
            lambda: iter(examples),
            [],
            [(prompt, partial(made_up_format.follows, word)) for prompt, word in words],
            "in_the_format",
            epochs=3.0,
            longest=24,
        )
    dialogues = list(readers.read_dialogues(data))
    if len(dialogues) < 5:
        raise ValueError(f"{data} has {len(dialogues)} dialogues: at least 5 are needed, some of them to measure on")
    order = np.random.default_rng(seed).permutation(len(dialogues)).tolist()
    kept = min(held_out, len(dialogues) // 5)
    rest = [dialogues[k] for k in order[:kept]]
    return Taught(
        lambda: (dialogues[k] for k in order[kept:]), rest, [(_asked(dialogue), None) for dialogue in rest], ""
    )


def _asked(dialogue: Dialogue) -> Dialogue:
    """What comes before the last answer."""
    last = max(k for k, message in enumerate(dialogue) if message["role"] == "assistant")
    return dialogue[:last]
