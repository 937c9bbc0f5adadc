"""What the presets read: dialogues about tales, whose author, a computed one, plays the part of the year's teachers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...data import assistant
from ...data.assistant import SYSTEMS, TAUGHT_KINDS, Task
from ..stages import Start
from .preset import Message

TRAINING = 31_000  # + the run's seed: the tales that presets are trained on; a stage adds a number of its own
EXPLAINS = "full"  # the style of an answer that says what it rests on


def talks(
    seed: int,
    *,
    turns: int,
    system: float = 0.0,
    kinds: Sequence[str] = TAUGHT_KINDS,
    styles: Mapping[str, int] = assistant.STYLE_SHARES,
) -> Iterator[list[Message]]:
    """Dialogues of so many turns of the user, without end."""
    drawn = assistant.dialogues(TRAINING + seed, kinds=kinds, turns=turns, system=system, styles=styles)
    return (plain(talk) for talk in drawn)


def conversations(turns: int, *, apart: int = 0, **how: Any) -> Callable[[Start, int], Iterator[list[Message]]]:
    """What a stage reads: dialogues of so many turns, others for each `apart`; how: as for `talks`."""
    return lambda start, seed: talks(seed + apart, turns=turns, **how)


def written(stage: str) -> Callable[[Start, int], Iterator[list[Message]]]:
    """What a stage reads: the dialogues that an earlier one wrote, over and over."""
    return lambda start, seed: (row["messages"] for row in itertools.cycle(start.rows(stage)))


def asked(seed: int, kinds: Sequence[str] = TAUGHT_KINDS) -> Iterator[Task]:
    """Tasks, without end."""
    return assistant.tasks(TRAINING + seed, kinds=kinds)


def prompt_of(task: Task) -> list[Message]:
    """What is asked, as messages."""
    return plain(task.messages)


def plain(messages: Iterable[assistant.Message]) -> list[Message]:
    """Messages as ordinary dictionaries."""
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def told(prompt: Sequence[Message], text: str) -> list[Message]:
    """The prompt and an answer."""
    return [*prompt, {"role": "assistant", "content": text}]


def author(tasks: Iterable[Task]) -> Callable[[list[list[Message]]], list[str]]:
    """A teacher who answers the tasks in order, as the system message wishes; without one, in a plain sentence."""
    queue = iter(tasks)
    styles = {wish: style for style, wish in SYSTEMS.items()}

    def respond(prompts: list[list[Message]]) -> list[str]:
        return [task.variants[styles.get(prompt[0]["content"], "plain")] for prompt, task in zip(prompts, queue)]

    return respond


def batches(tasks: Iterator[Task], size: int = 64) -> Iterator[list[Task]]:
    """The tasks, so many at once."""
    while batch := list(itertools.islice(tasks, size)):
        yield batch
