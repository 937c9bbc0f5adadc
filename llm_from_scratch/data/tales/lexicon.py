"""Every word that a tale can say, found where it is said: in the sentences of the plots and the lexicon."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from . import plots_courage, plots_duties, plots_friends, plots_paths, plots_play, plots_quiet, plots_things, words
from .telling import Teller

PLOTS = (
    *plots_things.PLOTS,
    *plots_duties.PLOTS,
    *plots_friends.PLOTS,
    *plots_play.PLOTS,
    *plots_courage.PLOTS,
    *plots_paths.PLOTS,
    *plots_quiet.PLOTS,
)
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_SLOT = re.compile(r"\{\w+\}")


def templates() -> Iterator[str]:
    """The sentences in the code of the plots and the teller, told or not, and the words from which they choose."""
    for function in (*PLOTS, plots_things.own, Teller.introduce, Teller.remember, Teller.good_night):
        constants = [c for c in function.__code__.co_consts if c != function.__doc__]
        yield from (c for c in constants if isinstance(c, str) and " " in c)  # a bare word is the name of a slot
        yield from (c for choices in constants if isinstance(choices, tuple) for c in _strings(choices))


@functools.cache
def vocabulary() -> frozenset[str]:
    """All words of the tales in small letters; a hyphen is part of a word.

    >>> "rabbit" in vocabulary(), "coatooed" in vocabulary()
    (True, False)
    """
    lexicon = [value for name, value in vars(words).items() if name.isupper() and name != "OTHER_COLOURS"]
    texts = [*templates(), *(part for value in lexicon for part in _strings(value))]
    return frozenset(word.lower() for text in texts for word in _WORD.findall(_SLOT.sub(" ", text)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings((*value, *value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _strings(part)
