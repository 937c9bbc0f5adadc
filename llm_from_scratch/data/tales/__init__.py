"""Short tales in simple English: as many as wanted, the same ones for the same seed on every machine.

`tale(seed, number)` is one tale of about 170 words, `tales(seed)` the endless list of them; `tell` also says
what the tale is about. `checking` measures whether a tale, told here or written by a model, holds together.
No network, no NumPy: choices come from `dice`, so the text never changes with a version of anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from .checking import Report, check_tale, consistency, consistency_score, summary
from .dice import Dice
from .lexicon import PLOTS, vocabulary
from .telling import Facts, Tale, Teller

SHORTEST, LONGEST = 60, 190  # words with the title; the rare longer telling is told again
DELIMITER = "<|endoftext|>"  # what stands between two tales in one file
__all__ = [
    "DELIMITER",
    "PLOTS",
    "Facts",
    "Report",
    "Tale",
    "check_tale",
    "consistency",
    "consistency_score",
    "summary",
    "tale",
    "tales",
    "tell",
    "vocabulary",
]


def tell(seed: int = 0, number: int = 0) -> Tale:
    """Tale `number` of the list that `seed` names, with its plot and cast."""
    if seed < 0 or number < 0:
        raise ValueError(f"seed and number must not be negative, got {seed} and {number}")
    dice = Dice(seed, number)
    plot = dice.choice(PLOTS)  # once, so that plots with long tellings are not told less often
    while True:
        teller = Teller(dice)
        plot(teller)
        text = teller.text()
        if SHORTEST <= len(text.split()) <= LONGEST:
            return Tale(text, plot.__name__, dict(teller.slots), teller.facts())


def tale(seed: int = 0, number: int = 0) -> str:
    """The text of one tale: a title, then paragraphs separated by blank lines; ASCII, no line break at the end.

    >>> print(tale(2023, 5).split(".")[0])
    Nora the girl and the golden scarf in the garden
    <BLANKLINE>
    Once there lived a young girl named Nora
    """
    return tell(seed, number).text


def tales(seed: int = 0, start: int = 0) -> Iterator[str]:
    """Tale `start`, `start` + 1, … of a seed, without end.

    >>> from itertools import islice
    >>> list(islice(tales(7, start=3), 2)) == [tale(7, 3), tale(7, 4)]
    True
    """
    number = start
    while True:
        yield tale(seed, number)
        number += 1
