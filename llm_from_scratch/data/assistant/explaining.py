"""Explanation traces (Orca, Mukherjee et al. 2023): a teacher is told to think aloud, and the student learns how.

A prompt is given to the teacher under one of several system prompts; prompt, system prompt and the whole answer become
a dialogue to be trained on. (Orca-2 then erases the system prompt, see `alignment`.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..tales.dice import Dice
from .asking import Ask, counted, put
from .marking import sentences
from .task import Message

EXPLAIN = (
    "Think step by step, and say each step before the answer.",
    "Answer, and then say what the tale tells of it.",
    "You are a teacher. Say why your answer is right.",
    "Answer so that a child of five knows how you found it.",
    "First say what you know, then what follows from it.",
)


@dataclasses.dataclass(frozen=True)
class Explained:
    """Dialogues of system prompt, prompt and explanation; which prompts they belong to; what was dropped for what."""

    dialogues: tuple[list[Message], ...]
    kept: tuple[int, ...]
    dropped: dict[str, int]


def explain(
    prompts: Sequence[Sequence[Message]],
    ask: Ask,
    *,
    systems: Sequence[str] = EXPLAIN,
    accept: Callable[[int, str], bool] | None = None,
    seed: int = 0,
) -> Explained:
    """Ask for an explained answer to each prompt.

    accept: told the number of the prompt and the answer; where it says no (`tasks[k].right`, say), the answer is
    dropped, as is one of a single sentence, which explains nothing. Raises ValueError for a prompt that has a system
    prompt already or does not end with the user, and where nothing was left; TypeError for an answer that is no text.
    """
    if not prompts or not systems:
        raise ValueError("prompts and systems take at least one each")
    for number, prompt in enumerate(prompts):
        if not prompt or prompt[-1]["role"] != "user" or prompt[0]["role"] == "system":
            raise ValueError(f"prompt {number} must have no system prompt and end with the user")
    dice, dialogues, kept = Dice(seed, len(prompts)), list[list[Message]](), list[int]()
    dropped = {"without explanation": 0, "not accepted": 0}
    for number, prompt in enumerate(prompts):
        messages: list[Message] = [{"role": "system", "content": dice.choice(systems)}, *prompt]
        answer = put(ask, messages)
        if len(sentences(answer)) < 2:
            dropped["without explanation"] += 1
        elif accept is not None and not accept(number, answer):
            dropped["not accepted"] += 1
        else:
            dialogues.append([*messages, {"role": "assistant", "content": answer}])
            kept.append(number)
    if not dialogues:
        raise ValueError(f"none of {len(prompts)} answers is an explanation (dropped: {counted(dropped)})")
    return Explained(tuple(dialogues), tuple(kept), dropped)
