"""Ends of tales: any words will do that the tale allows."""

import itertools

import pytest

from llm_from_scratch.data.assistant import tasks

ENDS = list(itertools.islice(tasks(12, kinds=["continuing"]), 40))


def test_other_words_than_the_told_ones_are_right_too():
    for task in ENDS:
        facts = task.question.judge.passage.facts
        he = facts.pronoun
        other = f"So {facts.hero} the {facts.kind} was happy because {he} had the {facts.thing}."
        assert task.right(other) and task.score(other) == 1


def test_who_does_not_belong_and_another_pronoun_are_wrong():
    for task in ENDS:
        facts = task.question.judge.passage.facts
        end = f"{facts.hero} the {facts.kind} was happy because {facts.pronoun} had the {facts.thing}"
        she = "he" if facts.pronoun == "she" else "she"
        assert not task.right(f"{end}. Then {she} went home.")
        assert not task.right(f"{end} in the zebra.") and not task.right(f"{end} and Bruno.")


def test_what_the_tale_has_told_already_is_idle():
    task = ENDS[0]
    passage = task.question.judge.passage
    again = " ".join(passage.sentences[name] for name in ("hero", "home", "first", "then"))
    assert task.score(again) == 0 and not task.right(again)
    assert task.score(f"{again} {task.question.full}") < 0.5


def test_a_long_end_is_idle_after_forty_words():
    task = ENDS[0]
    hero = task.question.judge.passage.facts.hero
    assert task.score(task.question.full + f" {hero} was happy and went on and on." * 30) < 0.2


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="an answer is a text, got list"):
        ENDS[0].score(["Tom"])
