"""Distillation by text: a teacher answers, and its answers are what a student is tuned on.

This is sequence-level distillation (Kim & Rush 2016), and what Alpaca and Vicuna did with answers of larger models;
asked to explain itself, a teacher gives traces, as for Orca. The student may have another tokenizer: only texts pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]


def teacher_dialogues(
    teach: Callable[[list[list[Mapping[str, Any]]]], Sequence[str]],
    prompts: Sequence[Messages],
    *,
    systems: Sequence[str] = (),
    keep: Callable[[int, str], bool] | None = None,
) -> list[list[Mapping[str, Any]]]:
    """The prompts with the teacher's answers, as dialogues for `lfs.data.dialogue_examples`.

    teach: from conversations to their answers, such as `functools.partial(lfs.scoring.answer, model, tokenizer)`.
    systems: system prompts that ask for explanations; prompt k is asked, and later trained, under number k modulo their
    count (Orca had 16), in place of a system message of its own. keep: called with a prompt's number and the answer;
    what it says no to is left out, and so is silence.

    Raises ValueError for no prompts, a prompt that ends with an answer, and another number of answers than of prompts.

    >>> def capital(conversations):
    ...     return [conversation[-1]["content"].upper() for conversation in conversations]
    >>> told = teacher_dialogues(capital, [[{"role": "user", "content": "hello"}]], systems=["Explain every step."])
    >>> [(message["role"], message["content"]) for message in told[0]]
    [('system', 'Explain every step.'), ('user', 'hello'), ('assistant', 'HELLO')]

    Source: Kim & Rush 2016, arXiv:1606.07947; Mukherjee et al. 2023, arXiv:2306.02707 (Orca).
    """
    if isinstance(systems, str):
        raise TypeError("systems is a list of system prompts, got one str: put it in a list")
    if not len(prompts):
        raise ValueError("there are no prompts for the teacher to answer")
    asked: list[list[Mapping[str, Any]]] = []
    for number, prompt in enumerate(prompts):
        if not len(prompt) or prompt[-1].get("role") == "assistant":
            raise ValueError(f"prompt {number} must end where the teacher is to speak, with a message of somebody else")
        own = [dict(message) for message in prompt if not (systems and message["role"] == "system")]
        told = [{"role": "system", "content": systems[number % len(systems)]}] if systems else []
        asked.append([*told, *own])
    answers = teach(list(asked))
    if len(answers) != len(asked):
        raise ValueError(f"the teacher gave {len(answers)} answers to {len(asked)} prompts")
    return [
        [*prompt, {"role": "assistant", "content": text}]
        for number, (prompt, text) in enumerate(zip(asked, answers))
        if text.strip() and (keep is None or keep(number, text))
    ]
