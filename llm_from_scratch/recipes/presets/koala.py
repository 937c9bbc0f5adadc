"""Koala: answers of any quality, and a prompt that says which; asked for, it is always the good one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...tokenizers.templates import Format
from ..stages import Start
from .corpora import asked, prompt_of, talks, told
from .preset import Message, Preset
from .supervised import Supervised

TEMPLATE = Format(
    "EasyLM, docs/koala.md", begin="BEGINNING OF CONVERSATION: ", user="USER: {} ", prompt="GPT:", answer="{}{eos}"
).jinja()
HELPFUL, UNHELPFUL = "a helpful answer", "an unhelpful answer"


def with_quality(prompt: Sequence[Message], quality: str = HELPFUL) -> list[Message]:
    """The prompt whose last message of the user ends with what is wanted.

    >>> with_quality([{"role": "user", "content": "Who?"}])[0]["content"]
    'Who?\\na helpful answer'
    """
    *before, last = prompt
    return [*before, {**last, "content": f"{last['content']}\n{quality}"}]


def mixed(start: Start, seed: int) -> Iterator[list[Message]]:
    """By turns: a comparison's better answer, its worse one, and a dialogue that nobody judged, taken for helpful."""
    for task, talk in zip(asked(seed), talks(seed + 1, turns=1)):
        prompt, best, worst = prompt_of(task), task.answers[0], task.answers[-1]
        yield told(with_quality(prompt, HELPFUL), best)
        yield told(with_quality(prompt, UNHELPFUL), worst)
        yield told(with_quality(talk[:-1], HELPFUL), talk[-1]["content"])


PRESET = Preset(
    name="koala",
    releases=("Koala",),
    particular="bad answers are learned too, as what to say where the prompt asks for an unhelpful answer",
    here="best and worst answers to a task stand for HH-RLHF's, WebGPT's and the summaries' comparisons",
    template=TEMPLATE,
    stages=(Supervised("sft", "Good and bad answers, each announced by the prompt.", mixed),),
    asks=with_quality,
)
