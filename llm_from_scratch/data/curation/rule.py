"""What a rule of cleaning is: a small dataclass of settings that looks at one text.

A rule returns the text (as it is, or changed), or says why it is removed. Rules that have to remember other texts, such
as duplicates, are not of this kind: see `duplicates`.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Removed:
    """Why a text is removed: the measured reason in words, and the piece of it that shows it (may be empty)."""

    reason: str
    shown: str = ""


class Rule(Protocol):
    """Settings are the fields of a frozen dataclass, checked when made.

    name: how it is switched off and tuned ("gopher"); does: what it removes or changes, in one sentence for people.
    """

    @property
    def name(self) -> str:
        """How it is named in options and reports."""
        ...

    @property
    def does(self) -> str:
        """In a sentence, for people."""
        ...

    def __call__(self, text: str) -> str | Removed:
        """The text to go on with, or why there is none."""
        ...
