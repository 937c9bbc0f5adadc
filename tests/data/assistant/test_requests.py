"""Rewriting and calculating."""

import re

from llm_from_scratch.data.assistant.passages import passage
from llm_from_scratch.data.assistant.requests import arithmetic, rewriting, word_problem
from llm_from_scratch.data.tales import words
from llm_from_scratch.data.tales.dice import Dice


def test_rewriting_changes_the_one_word_wherever_it_stands():
    for number in range(120):
        asked = rewriting(passage(16, number), Dice(5, number))
        new, old, sentence = re.fullmatch(r"Say it with (\w+), not (\w+): (.*)", asked.text).groups()
        assert asked.full == asked.plain == asked.bare and asked.wrong == sentence != asked.full
        for before, after in zip(sentence.split(), asked.full.split(), strict=True):
            assert after == before or (before.strip(".") == old and after.strip(".") == new)
        assert old not in re.findall(r"\w+", asked.full)
        assert asked.judge.measure(asked.full).right and not asked.judge.measure(sentence).right


def test_sums_are_right_and_every_number_is_one_digit():
    seen = set()
    for number in range(600):
        asked = arithmetic(passage(16, number), Dice(5, number))
        a, sign, b = re.fullmatch(r"What is (\d) ([+-]) (\d)\?", asked.text).groups()
        result = int(a) + int(b) if sign == "+" else int(a) - int(b)
        assert asked.full == f"{a} {sign} {b} = {result}." and asked.bare == f"{result}." and 2 <= result <= 9
        assert not asked.judge.measure(asked.wrong).right
        seen.add(asked.text)
    assert len(seen) == 56


def test_word_problems_say_what_is_calculated():
    for number in range(200):
        asked = word_problem(passage(16, number), Dice(5, number))
        had, more = re.findall(r"\d", asked.text)
        gained = any(f" {verb} " in asked.text for verb in ("found", "made", "got"))
        result = int(had) + int(more) if gained else int(had) - int(more)
        thing = re.search(r"How many (\w+)s", asked.text)[1]
        assert asked.full.startswith(f"{had} {'+' if gained else '-'} {more} = {result}. ") and thing in words.THINGS
        assert asked.full.endswith(f" had {result} {thing}s.") and asked.judge.measure(asked.full).score == 1
