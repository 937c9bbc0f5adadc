"""Every task: its right answers are right, its best is worth 1, wrong ones are below, for all kinds and any text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data.assistant import (
    KINDS,
    OTHER_KINDS,
    QUESTION_KINDS,
    SAFETY_KINDS,
    STYLES,
    TAUGHT_KINDS,
    tasks,
)
from llm_from_scratch.data.assistant.task import follow_up, make_task

MANY = list(itertools.islice(tasks(21), 30 * len(KINDS)))
ATTRIBUTES = ["helpfulness", "correctness", "coherence", "complexity", "verbosity"]


def some(kind, count=30):
    return [task for task in MANY if task.kind == kind][:count]


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_are_right_in_every_style_and_score_above_each_wrong_one(kind):
    for task in some(kind):
        assert tuple(task.variants) == STYLES
        rights = [text for style, text in task.variants.items() if "wrong" not in style]
        wrongs = [text for style, text in task.variants.items() if "wrong" in style]
        assert all(map(task.right, rights)) and not any(map(task.right, wrongs)), task
        assert min(map(task.score, rights)) > 2 * max(map(task.score, wrongs)), task
        assert task.right(task.answer) and task.answer in task.answers


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_graded_and_the_best_is_worth_one(kind):
    for task in some(kind):
        scores = [task.score(answer) for answer in task.answers]
        assert scores[0] == 1 and scores == sorted(scores, reverse=True) and len(set(task.answers)) == len(scores) >= 4
        assert task.score(task.variants["full"]) == 1 > task.score(task.variants["gushing"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_for_one_tale_is_not_for_another(kind):
    """A judge that accepts anything would pass all other tests."""
    told = some(kind)
    pairs = [(a, b) for a, b in zip(told, told[1:]) if a.messages[-1]["content"].split("\n")[-1] != b.answer]
    taken = sum(one.right(other.answer) for one, other in pairs)
    assert taken <= len(pairs) * (1 if kind == "harm" else 0.35), taken  # some share a kind, a colour, a sum


@pytest.mark.parametrize("kind", [*QUESTION_KINDS, "continuing"])
def test_everything_a_right_answer_says_stands_in_the_prompt(kind):
    for task in some(kind):
        asked = task.messages[0]["content"]
        assert asked.count("\n\n") == 2 and len(asked.split()) < 90
        if kind != "continuing":
            words = set(asked.lower().replace(".", " ").replace("?", " ").replace(",", " ").split())
            said = set(task.question.full.lower().replace(".", " ").split())
            assert said <= words | {"the", "tale", "is", "about", "a", "an", "met", "saw", "was", "lived", "because"}


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_the_style_of_an_answer_is_recognised(kind):
    for task in some(kind):
        for style in ("full", "plain", "polite", "gushing"):
            assert task.style(task.variants[style]) == style
        assert task.style(task.variants["bare"]) in ("bare", "plain")  # "Tom lost the kite." lacks only "First"
        assert task.style(task.variants["polite but wrong"]) == "polite but wrong"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MANY), st.one_of(st.text(max_size=200), st.integers(0, 400)), st.sampled_from(MANY))
def test_any_text_is_judged(task, text, other):
    if isinstance(text, int):  # an answer, often to another question, cut somewhere and said again and again
        text = (other.answers[text % len(other.answers)] + " ")[: text // 4] * (1 + text % 5)
    assert 0 <= task.score(text) <= 1 and 0 <= task.helpfulness(text) <= 1
    assert all(value in range(5) for value in task.ratings(text).values()) and list(task.ratings(text)) == ATTRIBUTES
    assert task.right(text) in (True, False) and task.safe(text) in (True, False) and task.style(text) in STYLES


@pytest.mark.parametrize("text", ["", " ", "\n", "...", "<|end|>"])
def test_no_answer_is_worth_nothing(text):
    assert all(task.score(text) == 0 and not task.right(text) for task in MANY[:50])


def test_ratings_tell_answers_apart():
    task = next(tasks(3, kinds=["what"]))
    full, bare, polite = (task.ratings(task.variants[style]) for style in ("full", "bare", "polite but wrong"))
    assert full["helpfulness"] == full["correctness"] == full["coherence"] == 4
    assert bare["correctness"] == 4 and bare["helpfulness"] == 2 and bare["verbosity"] < full["verbosity"]
    assert polite["correctness"] == polite["helpfulness"] == 0 and polite["verbosity"] > bare["verbosity"]
    assert task.ratings("")["coherence"] == 0


def test_tasks_repeat_and_seeds_differ():
    def prompts(seed, start, count):
        return [task.messages[0]["content"] for task in itertools.islice(tasks(seed, start, QUESTION_KINDS), count)]

    assert prompts(5, 0, 40)[17:] == prompts(5, 17, 23)
    assert not set(prompts(5, 0, 300)) & set(prompts(6, 0, 300))
    assert len(set(prompts(5, 0, 300))) == 300


def test_kinds_take_turns_and_are_what_is_asked_for():
    assert [task.kind for task in itertools.islice(tasks(1), len(KINDS))] == list(KINDS)
    assert {*QUESTION_KINDS, *OTHER_KINDS, *SAFETY_KINDS} == set(KINDS) > set(TAUGHT_KINDS)
    assert {task.kind for task in itertools.islice(tasks(1, kinds=["why", "harm"]), 9)} == {"why", "harm"}


def test_a_further_question_tells_the_tale_only_if_it_was_not_told():
    first = make_task(4, 2, "who")
    later = follow_up(4, 2, 1, first.messages, "why")
    assert later.messages[:-1] == first.messages and later.messages[-1]["content"] == later.question.text
    told = follow_up(4, 2, 1, make_task(4, 2, "arithmetic").messages, "why")
    assert told.messages[-1]["content"].endswith("\n\n" + told.question.text)
    assert follow_up(4, 2, 1, first.messages, "continuing").kind == "who"  # its end stands in the prompt


def test_bad_requests_are_named():
    with pytest.raises(ValueError, match="no tasks of kind 'poem'; the kinds are who, what"):
        next(tasks(0, kinds=["poem"]))
    with pytest.raises(TypeError, match=r"write kinds=\['who'\]"):
        next(tasks(0, kinds="who"))
    with pytest.raises(ValueError, match="kinds is empty"):
        next(tasks(0, kinds=[]))
    with pytest.raises(ValueError, match="must not be negative"):
        next(tasks(-1))
    with pytest.raises(TypeError, match="an answer is a text, got int"):
        next(tasks(0)).score(3)
