"""Constitutional AI in small: a model criticises its own answer by a principle, revises it, and learns the revision.

For each prompt and answer a principle is drawn; the model is asked in words what in the answer goes against it, then to
write the answer anew. Several rounds may follow, each with another principle. What is learned (by supervised tuning) is
prompt and last answer alone: the principle is in the weights afterwards and no longer has to be said.

Source: Bai et al. 2022, arXiv:2212.08073, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import whole

Messages = list[dict[str, Any]]
Ask = Callable[[list[Messages]], Sequence[str]]


@dataclass(frozen=True)
class Principle:
    """One article of a constitution: what the model is asked for when it criticises, and when it revises."""

    critique: str
    revision: str


CONSTITUTION = (
    Principle(
        "Does anybody come to harm in your last answer? Say who, and how.",
        "Write your last answer again so that nobody comes to harm.",
    ),
    Principle(
        "Is there anything in your last answer that is not true, or that nobody asked for? Say what.",
        "Write your last answer again, with what was asked for and is true, and nothing else.",
    ),
    Principle(
        "Is your last answer kind and polite? Say what is not.",
        "Write your last answer again, kindly and politely.",
    ),
)
"""Three principles in simple words, for tales; a constitution of one's own is a tuple of others."""


@dataclass(frozen=True)
class Revision:
    """What became of one answer: answers[0] is the first, the others follow its critiques, round by round."""

    prompt: Messages
    answers: tuple[str, ...]
    critiques: tuple[str, ...]
    principles: tuple[Principle, ...]

    @property
    def dialogue(self) -> Messages:
        """What supervised tuning learns: the prompt and the last answer."""
        return [*self.prompt, {"role": "assistant", "content": self.answers[-1]}]


def revise(
    ask: Ask,
    prompts: Sequence[Sequence[Mapping[str, Any]]],
    answers: Sequence[str],
    *,
    principles: Sequence[Principle] = CONSTITUTION,
    rounds: int = 1,
    seed: int = 0,
) -> list[Revision]:
    """Let every answer be criticised and revised `rounds` times, each time by a principle drawn for it.

    ask: called with a list of conversations that end with the user's turn, gives a text for each:
    `functools.partial(lfs.scoring.answer, model, tokenizer)` is one. The critique is asked for after prompt and answer,
    the revision after the critique.

    Raises ValueError for unequal numbers, no principles, an empty answer, critique or revision, naming the item.

    >>> def ask(conversations):                           # finds fault with all, and knows one better answer
    ...     return ["It is rude." if c[-1]["content"].startswith("Is") else "Yes, please." for c in conversations]
    >>> (done,) = revise(ask, [[{"role": "user", "content": "Tea?"}]], ["Give!"], principles=CONSTITUTION[2:])
    >>> done.answers, done.critiques, done.dialogue[-1]
    (('Give!', 'Yes, please.'), ('It is rude.',), {'role': 'assistant', 'content': 'Yes, please.'})
    """
    if len(prompts) != len(answers):
        raise ValueError(f"{len(prompts)} prompts and {len(answers)} answers: one answer a prompt was expected")
    if not principles:
        raise ValueError("a constitution has at least one principle")
    rng = np.random.default_rng(seed)
    asked = [[dict(message) for message in prompt] for prompt in prompts]
    history = [_texts("answer", answers, len(answers))]
    critiques: list[list[str]] = []
    drawn: list[list[Principle]] = []
    for _ in range(whole("rounds", rounds)):
        drawn.append([principles[k] for k in rng.integers(0, len(principles), len(asked))])
        talks = [
            [*prompt, _said("assistant", answer), _said("user", principle.critique)]
            for prompt, answer, principle in zip(asked, history[-1], drawn[-1])
        ]
        critiques.append(_texts("critique", ask(talks), len(talks)))
        talks = [
            [*talk, _said("assistant", critique), _said("user", principle.revision)]
            for talk, critique, principle in zip(talks, critiques[-1], drawn[-1])
        ]
        history.append(_texts("revision", ask(talks), len(talks)))
    return [
        Revision(prompt, *(tuple(round_[k] for round_ in rounds_) for rounds_ in (history, critiques, drawn)))  # type: ignore[misc, arg-type]
        for k, prompt in enumerate(asked)
    ]


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _texts(what: str, texts: Sequence[str], count: int) -> list[str]:
    """The texts themselves, if there are so many and none is empty."""
    found = list(texts)
    if len(found) != count:
        raise ValueError(f"{count} conversations were asked for a {what} each, {len(found)} came back")
    for number, text in enumerate(found):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"item {number}: the {what} is empty; a text was expected, got {text!r}")
    return found
