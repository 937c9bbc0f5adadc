"""Tasks of the package's own, generated from the world of the tales: the same items on every machine, none stored.

comprehension   a tale up to where it names its thing, hero, friend or place again, and four ways to go on
agreement       a tale up to a pronoun, and the rest of the sentence with it, and with the other one
arithmetic      a sum or difference of small numbers, the right result and three that are near
induction       words in a random order, then the same order once more, up to a word: which one follows?
needle          one sentence among tales of others, and at the end its beginning: how does it go on?
asked           a question to an assistant, as `finetune --data tales` teaches to answer them: it writes the answer
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..data.assistant import QUESTION_KINDS, tasks
from ..data.tales import Tale, tell, words
from ..data.tales.altering import alter
from ..data.tales.dice import Dice
from .task import Task

Item = Mapping[str, Any]
SEED = 27_000  # of the tales: another one than anything is trained with
_EXAMPLES = 50  # as many others, for few-shot prompts


def own_task(name: str, count: int = 200, *, seed: int = SEED) -> Task:
    """A task by its name; "needle:300" hides its sentence among about 300 words (default 150), "asked:rewriting" asks
    for one of the kinds of `data.assistant.KINDS` (default: questions about a tale).

    >>> task = own_task("arithmetic", 2)
    >>> task.items[0]["context"], task.items[0]["choices"]
    ('8 - 7 =', [' 3', ' 0', ' 7', ' 1'])
    """
    base, _, more = name.partition(":")
    if base not in OWN_TASKS or (more and base not in ("needle", "asked")):
        raise ValueError(f"there is no task {name!r}; those of the package are {', '.join(OWN_TASKS)}, or give a file")
    if more and base == "needle" and (not more.isdecimal() or int(more) < 20):
        raise ValueError(f"{name!r}: the words around the needle are a whole number of at least 20")
    make, about, separator = OWN_TASKS[base]
    settings: dict[str, Any] = {}
    if more:
        settings = {"length": int(more)} if base == "needle" else {"kinds": more.split(",")}
    found, examples = (
        tuple(item for item, _ in zip(make(s, **settings), range(n))) for s, n in ((seed, count), (seed + 1, _EXAMPLES))
    )
    kind = "answers" if base == "asked" else "choices"
    return Task(name, kind, found, about, examples, max_new_tokens=48, separator=separator)


def _arranged(right: str, others: Sequence[str], dice: Dice) -> dict[str, Any]:
    """The right choice among others, at a random place."""
    place = dice.below(len(others) + 1)
    return {"choices": [*others[:place], right, *others[place:]], "answer": place}


def _some(options: Sequence[str], count: int, taken: Sequence[str], dice: Dice) -> list[str]:
    """So many different options that are not taken, in random order."""
    left = [option for option in dict.fromkeys(options) if option not in taken]
    return [left.pop(dice.below(len(left))) for _ in range(count)]


def comprehension(seed: int) -> Iterator[Item]:
    """A tale up to where it says again what it said before; the other choices fit the sentence, not the tale."""
    number = -1
    while True:
        number += 1
        told, dice = tell(seed, number), Dice(seed, number)
        facts = told.facts
        names = words.HE_NAMES if facts.pronoun == "he" else words.SHE_NAMES
        coloured = [f"{dice.choice(words.COLOURS)} {noun}" for noun in words.THINGS if noun != facts.noun]
        what, right, others = dice.choice(
            (
                ("thing", facts.thing, [f"{c} {facts.noun}" for c in words.COLOURS] + coloured),
                ("hero", facts.hero, names),
                ("friend", facts.friend, words.CRAFTS if facts.friend in words.CRAFTS else words.ANIMALS),
                ("place", facts.place, [p for p in words.PLACES if words.PLACES[p][0] == words.PLACES[facts.place][0]]),
            )
        )
        found = list(re.finditer(rf" {re.escape(right)}\b", told.text))
        if len(found) < 2 or len(set(others) - {right}) < 3:
            continue
        wrong = [f" {other}" for other in _some(others, 3, [right], dice)]
        place = dice.choice(found[1:])
        yield {"context": told.text[: place.start()], **_arranged(f" {right}", wrong, dice), "about": what}


def agreement(seed: int) -> Iterator[Item]:
    """A pronoun that does or does not agree with the hero, and the rest of its sentence."""
    number = -1
    while True:
        number += 1
        told, dice = tell(seed, number), Dice(seed, number)
        altered = alter(told, "pronoun", dice)
        pair = None if altered is None else _rests(told, altered)
        if pair is not None:
            context, right, wrong = pair
            yield {
                "context": context,
                **_arranged(right, [wrong], dice),
                "about": re.sub(r"\W", "", right.split()[0]).lower(),
            }


def _rests(told: Tale, altered: str) -> tuple[str, str, str] | None:
    """The text before the word that differs, and from there the sentence as it was and as it became."""
    before = list(re.finditer(r"\S+", told.text))
    after = list(re.finditer(r"\S+", altered))
    place = next((k for k, (a, b) in enumerate(zip(before, after)) if a.group() != b.group()), 0)
    end = next((k for k in range(place, len(before)) if before[k].group().rstrip('"')[-1] in ".!?"), place)
    if not place or "\n" in told.text[before[place - 1].end() : before[end].end()]:
        return None
    start = before[place - 1].end()
    return told.text[:start], told.text[start : before[end].end()], altered[start : after[end].end()]


def arithmetic(seed: int) -> Iterator[Item]:
    """One-digit sums and differences with results of one digit; the others are near the result or one of its terms."""
    number = -1
    while True:
        number += 1
        dice = Dice(seed, number)
        a, b = 1 + dice.below(8), 1 + dice.below(8)
        if a + b > 9:
            continue
        first, sign, result = (a, "+", a + b) if dice.flip() else (a + b, "-", a)
        near = [f" {k}" for k in (result - 2, result - 1, result + 1, result + 2, first, b) if 0 <= k <= 9]
        right = f" {result}"
        yield {"context": f"{first} {sign} {b} =", **_arranged(right, _some(near, 3, [right], dice), dice)}


def induction(seed: int, length: int = 10) -> Iterator[Item]:
    """Random words, repeated up to some place; what came after the last one before comes again."""
    number = -1
    while True:
        number += 1
        dice = Dice(seed, number)
        chosen = _some([*words.THINGS, *words.ANIMALS, *words.PLACES], length, [], dice)
        place = 2 + dice.below(length - 3)
        right = chosen[place]
        others = [f" {word}" for word in _some(chosen, 3, [right, chosen[place - 1]], dice)]
        yield {"context": " ".join([*chosen, *chosen[:place]]), **_arranged(f" {right}", others, dice), "about": place}


def needle(seed: int, length: int = 150) -> Iterator[Item]:
    """`about` is how deep the sentence lies: 0.0 at the beginning, 1.0 just before it is asked for."""
    number = -1
    while True:
        number += 1
        dice = Dice(seed, number)
        told = tell(seed, 3 * number + 1)
        filler: list[str] = []
        for extra in range(1000):
            text = tell(seed + 500, number * 1000 + extra).text
            filler += [s for s in re.split(r"(?<=[.!?]) |\n+", text)[1:] if s and '"' not in s]
            if sum(len(s.split()) for s in filler) >= length:
                break
        while sum(len(s.split()) for s in filler[:-1]) >= length:
            filler.pop()
        name, place = told.facts.hero, told.facts.place
        preposition = words.PLACES[place][0]
        kept = f"{name} kept the {told.facts.thing} {preposition} the"
        depth = dice.below(len(filler) + 1)
        text = " ".join([*filler[:depth], f"{kept} {place}.", *filler[depth:], kept])
        rivals = [p for p in words.PLACES if words.PLACES[p][0] == preposition]
        rivals = rivals if len(rivals) > 3 else list(words.PLACES)
        wrong = [f" {other}" for other in _some(rivals, 3, [place], dice)]
        yield {"context": text, **_arranged(f" {place}", wrong, dice), "about": round(depth / len(filler), 2)}


def asked(seed: int, kinds: Sequence[str] = QUESTION_KINDS) -> Iterator[Item]:
    """Something to be answered, and the right answer: a conversation as context, which needs a chat template."""
    for task in tasks(seed, kinds=kinds):
        yield {"context": list(task.messages), "answer": task.answer, "about": task.kind}


OWN_TASKS: dict[str, tuple[Callable[..., Iterator[Item]], str, str]] = {
    "comprehension": (comprehension, "does it know what a tale said before?", "\n\n"),
    "agreement": (agreement, "do pronouns agree with whom they mean?", "\n\n"),
    "arithmetic": (arithmetic, "can it add and subtract?", "\n"),
    "induction": (induction, "does it go on as a list went before?", "\n"),
    "needle": (needle, "does it find one sentence among many?", "\n\n"),
    "asked": (asked, "does it answer as an assistant of the tales?", "\n\n"),
}
