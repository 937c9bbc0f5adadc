"""What writes data is a callable, `ask(messages) -> text`: a model behind `scoring.answer`, a list, a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from .task import Message

Ask = Callable[[list[Message]], str]
_NUMBERING = re.compile(r"^\s*(?:\d+\s*[.):]|[-*])\s*")


def put(ask: Ask, messages: str | Sequence[Message]) -> str:
    """Ask a question, or go on with a dialogue -> the answer, stripped. TypeError if it is no text."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    answer: Any = ask(list(messages))
    if not isinstance(answer, str):
        raise TypeError(f"ask(messages) must return a text, got {type(answer).__name__}")
    return answer.strip()


def without_number(line: str) -> str:
    """The text of an item of a list.

    >>> without_number("2. Where did Tom live?"), without_number("- Why?")
    ('Where did Tom live?', 'Why?')
    """
    return _NUMBERING.sub("", line).strip()


def counted(dropped: dict[str, int]) -> str:
    """What was dropped, for a message.

    >>> counted({"empty": 2, "known": 0})
    '2 empty'
    """
    return ", ".join(f"{count} {name}" for name, count in dropped.items() if count) or "nothing"
