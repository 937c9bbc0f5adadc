"""Questions about a tale: each answer is the fact it asks for, and what is wrong is wrong for certain."""

import pytest

from llm_from_scratch.data.assistant.passages import passage
from llm_from_scratch.data.assistant.questions import QUESTIONS, question
from llm_from_scratch.data.tales.dice import Dice

ALL = {maker.__name__: maker for makers in QUESTIONS.values() for maker in makers}
FACT = {"who": "hero", "friend": "friend", "kind": "kind", "thing": "thing", "colour": "colour", "feeling": "feeling",
        "where": "where", "first": "first", "then": "then", "why": "why"}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_the_answer_is_the_fact_and_the_wrong_one_is_another(name):
    for number in range(60):
        told = passage(15, number)
        asked = ALL[name](told, Dice(3, number))
        fact = told.home if name == "home" else getattr(told.facts, FACT[name])
        assert fact in asked.plain and fact.lower() in asked.bare.lower()
        assert asked.full.startswith(asked.plain + " ") and asked.full.removeprefix(asked.plain + " ") in told.text()
        assert asked.text.endswith("?") and asked.wrong != asked.plain and asked.wrong.endswith(".")
        assert not asked.judge.measure(asked.wrong).right


@pytest.mark.parametrize("name", ["who", "friend", "kind", "thing", "colour", "feeling", "where", "home"])
def test_any_other_word_in_its_place_is_wrong(name):
    """The facts of other tales, said as this one's: right only where they agree."""
    told = passage(15, 0)
    asked, agree = ALL[name](told, Dice(3)), 0
    fact = told.home if name == "home" else getattr(told.facts, FACT[name])
    for number in range(1, 60):
        there = passage(15, number)
        other = there.home if name == "home" else getattr(there.facts, FACT[name])
        right = asked.judge.measure(asked.plain.replace(fact, other)).right
        assert right == (other == fact)
        agree += right
    assert agree < 40


def test_a_calculation_comes_before_its_result():
    told = passage(15, 0)
    mark = ALL["why"](told, Dice(3)).judge
    assert question("?", "", "", mark).full == f"{mark.sentence} {mark.detail}"


def test_every_kind_has_questions_and_the_dice_choose_the_wrong_answer():
    assert list(QUESTIONS) == ["who", "what", "where", "when", "why"] and len(ALL) == 11
    assert len({ALL["colour"](passage(15, 0), Dice(4, n)).wrong for n in range(60)}) > 5
