"""AI feedback (UltraFeedback, Cui et al. 2023): a model rates several answers to a prompt; the best is preferred.

Pairs are made as Zephyr makes them: the best of the answers, and one of the others, drawn.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from ..tales.dice import Dice
from .asking import Ask, counted, put
from .corpora import Preference
from .task import Message

_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")


@dataclasses.dataclass(frozen=True)
class Feedback:
    """For each prompt and answer the rating, None where the judge gave none; and what was dropped for what."""

    ratings: tuple[tuple[int | None, ...], ...]
    dropped: dict[str, int]


def rate(
    prompts: Sequence[Sequence[Message]], answers: Sequence[Sequence[str]], ask: Ask, *, most: int = 5
) -> Feedback:
    """Ask for a number from 1 to `most` for each answer.

    The first number of what the judge says counts. Raises ValueError for prompts and answers that do not match, and for
    a judge that never gave a number; TypeError if what it says is no text.

    >>> prompt = [{"role": "user", "content": "What is Tom?"}]
    >>> judge = lambda messages: "5, for it is right." if "A fox." in messages[0]["content"] else "I do not know."
    >>> rate([prompt], [["A fox.", "A dog."]], judge)
    Feedback(ratings=((5, None),), dropped={'without a rating': 1})
    """
    if len(prompts) != len(answers) or not len(prompts):
        raise ValueError(
            f"there are {len(prompts)} prompts and answers to {len(answers)}; they must match, at least one"
        )
    if most < 2:
        raise ValueError(f"ratings go from 1 to at least 2, got most={most}")
    rated, missing = [], 0
    for prompt, several in zip(prompts, answers):
        row: list[int | None] = []
        for answer in several:
            asked = "\n".join(message["content"] for message in prompt)
            said = put(ask, f"{asked}\nThe answer: {answer}\nHow good is the answer, from 1 to {most}? Say the number.")
            found = _NUMBER.search(said)
            row.append(int(found[0]) if found and 1 <= int(found[0]) <= most else None)
            missing += row[-1] is None
        rated.append(tuple(row))
    dropped = {"without a rating": missing}
    if all(rating is None for row in rated for rating in row):
        raise ValueError(f"the judge gave no rating from 1 to {most} at all (dropped: {counted(dropped)})")
    return Feedback(tuple(rated), dropped)


def binarize(
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[Sequence[str]],
    ratings: Sequence[Sequence[float | None]],
    *,
    seed: int = 0,
) -> list[Preference]:
    """The best rated answer of each prompt against one of the worse, drawn; a prompt without a worse one gives none.

    ratings: those of `rate`, or any numbers; None is left out. ValueError where the three do not match.
    """
    if [len(row) for row in ratings] != [len(row) for row in answers] or len(prompts) != len(answers):
        raise ValueError("every answer to every prompt needs a rating, or None")
    pairs: list[Preference] = []
    for number, (prompt, several, row) in enumerate(zip(prompts, answers, ratings)):
        rated = [(rating, answer) for rating, answer in zip(row, several) if rating is not None]
        best = max(rated, key=lambda pair: pair[0], default=None)
        worse = [answer for rating, answer in rated if best is not None and rating < best[0]]
        if best is not None and worse:
            chosen: list[Message] = [{"role": "assistant", "content": best[1]}]
            rejected: list[Message] = [{"role": "assistant", "content": Dice(seed, number).choice(worse)}]
            pairs.append({"prompt": list(prompt), "chosen": chosen, "rejected": rejected})
    return pairs
