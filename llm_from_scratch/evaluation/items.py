"""What is asked: items with choices, items with an answer to be written, and what is wrong with them by number.

An item is a mapping. Its "context" is a text, or a list of messages that a chat template renders up to where the answer
begins; with "choices" (texts) its "answer" is the place of the right one, without choices it is a text or several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Context = Any  # a text, or messages


class Choice(NamedTuple):
    """A checked item with choices."""

    context: Context
    choices: tuple[str, ...]
    answer: int


class Question(NamedTuple):
    """A checked item whose answer is written; any of `answers` is right."""

    context: Context
    answers: tuple[str, ...]


def check_choices(items: Sequence[Mapping[str, Any]], *, least: int = 2) -> list[Choice]:
    """The items, each with at least `least` choices; ValueError or TypeError with the number of the first bad one.

    >>> check_choices([{"context": "2 + 2 =", "choices": [" 4", ""], "answer": 0}])
    Traceback (most recent call last):
    ValueError: item 0: choice 1 is empty: there would be nothing to score; give each choice its text
    """
    checked = []
    for number, item in _numbered(items):
        choices = item.get("choices")
        if isinstance(choices, (str, bytes)) or not isinstance(choices, (Sequence, np.ndarray)):
            raise TypeError(f"item {number}: 'choices' must be a list of texts, got {choices!r:.60}")
        if len(choices) < least:
            raise ValueError(f"item {number} has {len(choices)} choices: at least {least} are needed")
        for k, choice in enumerate(choices):
            if not isinstance(choice, str):
                raise TypeError(f"item {number}: choice {k} must be a text, got {type(choice).__name__}")
            if not choice:
                raise ValueError(
                    f"item {number}: choice {k} is empty: there would be nothing to score; give each choice its text"
                )
        answer = item.get("answer")
        if answer is None:
            raise ValueError(
                f"item {number} has no right answer: 'answer' must be the place of one of its {len(choices)} choices "
                f"(0 to {len(choices) - 1}); leave such items out"
            )
        if isinstance(answer, (bool, np.bool_)) or not isinstance(answer, (int, np.integer)):
            raise TypeError(
                f"item {number}: 'answer' must be a whole number, the place of the right choice, got {answer!r:.60}"
            )
        if not 0 <= answer < len(choices):
            raise ValueError(
                f"item {number}: 'answer' is {int(answer)}, but there are choices 0 to {len(choices) - 1} only: which "
                "one is right?"
            )
        checked.append(Choice(_context(number, item), tuple(map(str, choices)), int(answer)))
    return checked


def check_questions(items: Sequence[Mapping[str, Any]]) -> list[Question]:
    """The items, each with a context that is not empty and at least one right answer that is not either.

    >>> check_questions([{"context": "2 + 2 =", "answer": "4"}])
    [Question(context='2 + 2 =', answers=('4',))]
    """
    checked = []
    for number, item in _numbered(items):
        context, answer = _context(number, item), item.get("answer")
        answers = (answer,) if isinstance(answer, str) else answer
        if not isinstance(answers, (list, tuple)) or not answers or not all(isinstance(a, str) for a in answers):
            raise ValueError(
                f"item {number} has no right answer: 'answer' must be a text or several, got {answer!r:.60}"
            )
        if not all(text.strip() for text in answers):
            raise ValueError(f"item {number}: a right answer is empty, so that silence would count as right")
        if not context:
            raise ValueError(f"item {number}: the context is empty: there is nothing to answer")
        checked.append(Question(context, tuple(answers)))
    return checked


def _numbered(items: Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(items, (str, Mapping)) or not isinstance(items, Sequence):
        raise TypeError(f"items are a list of mappings such as {{'context': …}}, got {type(items).__name__}")
    if not len(items):
        raise ValueError("there are no items to evaluate")
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise TypeError(f"item {number} must be a mapping such as {{'context': …}}, got {item!r:.60}")
        yield number, item


def _context(number: int, item: Mapping[str, Any]) -> Context:
    context = item.get("context")
    if isinstance(context, str) or (isinstance(context, (list, tuple)) and context):
        return context
    raise TypeError(f"item {number}: 'context' must be a text or a list of messages, got {context!r:.60}")
