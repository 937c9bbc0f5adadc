"""Guanaco of March: Alpaca's data and ten times as much in other languages. (QLoRA's is `guanaco_qlora.py`.)

In the tales' world what can be asked in any language, and judged in all, is arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..stages import Start
from . import alpaca
from .corpora import asked, prompt_of, told
from .preset import Message, Preset
from .supervised import Supervised

LANGUAGES = ("Was ist {}?", "Wie viel ist {}?", "Combien font {} ?", "Quanto fa {}?", "Hoeveel is {}?")
SHARE = 10  # entries in other languages to each of Alpaca's: 534k to 52k


def extended(start: Start, seed: int) -> Iterator[list[Message]]:
    """One of Alpaca's entries, then ten in other languages, and so on."""
    sums = asked(seed + 1, kinds=["arithmetic"])
    for number, entry in enumerate(alpaca.with_inputs(start, seed)):
        yield entry
        for k, task in zip(range(SHARE), sums):
            language = LANGUAGES[(number * SHARE + k) % len(LANGUAGES)]
            [message] = prompt_of(task)
            yield told([{**message, "content": translated(message["content"], language)}], task.answer)


def translated(question: str, language: str) -> str:
    """A sum asked for in another language.

    >>> translated("What is 4 + 3?", "Combien font {} ?")
    'Combien font 4 + 3 ?'
    """
    found = re.fullmatch(r"What is (.+)\?", question)
    if found is None:
        raise ValueError(f"only sums can be asked for in other languages here, not {question!r}")
    return language.format(found[1])


PRESET = Preset(
    name="guanaco",
    releases=("Guanaco (multilingual)",),
    particular="Alpaca's data and ten times as many entries in other languages, in Alpaca's format",
    here="sums asked for in German, French, Italian and Dutch stand for the other languages",
    template="alpaca",
    stages=(
        alpaca.PRESET.stages[0],
        Supervised("sft", "Alpaca's data and its extension, loss on the response.", extended),
    ),
)
