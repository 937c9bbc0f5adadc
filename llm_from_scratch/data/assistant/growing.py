"""Self-Instruct (Wang et al. 2022), as Alpaca used it: a model that has seen some tasks writes more of them.

Each request shows a few tasks, some old and, once there are any, some new; whatever comes back joins the pool if its
ROUGE-L with every task there is below 0.7. So the pool grows and stays varied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..tales.dice import Dice
from .asking import Ask, counted, put, without_number
from .rouge import rouge_l, words_of

SHORTEST, LONGEST = 2, 150  # words of a task


@dataclasses.dataclass(frozen=True)
class Grown:
    """The new instructions in the order in which they came, how often was asked, and what was dropped for what."""

    instructions: tuple[str, ...]
    requests: int
    dropped: dict[str, int]


def grow(
    seeds: Sequence[str],
    ask: Ask,
    count: int,
    *,
    shown: int = 3,
    threshold: float = 0.7,
    requests: int | None = None,
    seed: int = 0,
) -> Grown:
    """Up to `count` new instructions.

    shown: so many are shown in each request, a third of them new ones. threshold: the ROUGE-L from which two are the
    same. requests: after so many it ends, however few there are; default 10 times `count`. The same seed and
    the same answers of `ask` give the same instructions.

    Raises ValueError for settings that cannot be and for a model whose answers hold no new instruction at all,
    TypeError for an answer that is no text.

    >>> answers = iter(["Where did Tom live?", "Who lived there?\\nWhere did Mia live?", "What colour was the hat?"])
    >>> grown = grow(["Where did Ben live?", "Why?"], lambda messages: next(answers), 2, shown=2)
    >>> grown.instructions, grown.dropped
    (('Who lived there?', 'What colour was the hat?'), {'near-duplicate': 2, 'too short or too long': 0})
    """
    if isinstance(seeds, str) or not seeds:
        raise ValueError("seeds is a list of at least one instruction to begin with")
    if count < 1 or shown < 1:
        raise ValueError(f"count and shown must be at least 1, got {count} and {shown}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is a ROUGE-L, over 0 and up to 1; got {threshold}")
    dice, new = Dice(seed, count), list[str]()
    dropped = {"near-duplicate": 0, "too short or too long": 0}
    most, asked = 10 * count if requests is None else requests, 0
    while len(new) < count and asked < most:
        asked += 1
        for line in put(ask, _request(list(seeds), new, shown, dice)).splitlines():
            instruction = without_number(line)
            if not SHORTEST <= len(words_of(instruction)) <= LONGEST:
                dropped["too short or too long"] += 1
            elif any(rouge_l(instruction, other) >= threshold for other in (*seeds, *new)):
                dropped["near-duplicate"] += 1
            elif len(new) < count:
                new.append(instruction)
    if not new:
        raise ValueError(f"{asked} answers held no new instruction (dropped: {counted(dropped)})")
    return Grown(tuple(new), asked, dropped)


def _request(old: list[str], new: list[str], shown: int, dice: Dice) -> str:
    of_new = min(len(new), shown // 3)
    examples = _some(old, min(len(old), shown - of_new), dice) + _some(new, of_new, dice)
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(examples, 1))
    return f"Here are some tasks, each on a line:\n{listed}\nWrite more tasks, each on a line, unlike these."


def _some(options: list[str], count: int, dice: Dice) -> list[str]:
    left = list(options)
    return [left.pop(dice.below(len(left))) for _ in range(count)]
