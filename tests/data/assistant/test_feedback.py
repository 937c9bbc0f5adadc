"""AI feedback: a judge's numbers become pairs; what is no number is counted, never guessed."""

import itertools

import pytest

from llm_from_scratch.data.assistant import binarize, rate, tasks

TASKS = list(itertools.islice(tasks(3), 40))
PROMPTS = [list(task.messages) for task in TASKS]
ANSWERS = [list(task.answers) for task in TASKS]


def judge(messages):
    """Goes by the true reward."""
    asked, said = messages[0]["content"].split("\nThe answer: ")
    task = next(task for task in TASKS if task.messages[0]["content"] == asked)
    return f"I say {1 + round(4 * task.score(said.split(chr(10))[0]))}."


def test_a_good_judge_finds_the_best():
    feedback = rate(PROMPTS, ANSWERS, judge)
    assert feedback.dropped == {"without a rating": 0}
    pairs = binarize(PROMPTS, ANSWERS, feedback.ratings)
    assert len(pairs) == 40
    for task, pair in zip(TASKS, pairs):
        assert pair["prompt"] == list(task.messages) and task.score(pair["chosen"][0]["content"]) == 1
        assert task.score(pair["rejected"][0]["content"]) < 0.9
    assert pairs == binarize(PROMPTS, ANSWERS, feedback.ratings) != binarize(PROMPTS, ANSWERS, feedback.ratings, seed=1)


@pytest.mark.parametrize(
    "said, rating",
    [("4", 4), ("4.", 4), ("Rating: 5/5", 5), ("1 of 5", 1), ("", None), ("good", None), ("7", None), ("0", None),
     ("4.5", None), ("x4", None), ("-", None)],
)  # fmt: skip
def test_the_first_number_counts_if_it_is_one_of_the_scale(said, rating):
    answers = iter([said, "3"])
    feedback = rate(PROMPTS[:1], [["a", "b"]], lambda messages: next(answers))
    assert feedback.ratings == ((rating, 3),) and feedback.dropped["without a rating"] == (rating is None)


def test_ties_and_missing_ratings_give_no_pair():
    prompts, answers = PROMPTS[:3], [["a", "b"], ["c", "d"], ["e", "f", "g"]]
    pairs = binarize(prompts, answers, [(3, 3), (None, 5), (None, 2, 4)])
    assert [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs] == [("g", "f")]


def test_nonsense_and_bad_settings_are_told_of():
    with pytest.raises(ValueError, match="gave no rating from 1 to 5 at all"):
        rate(PROMPTS[:2], [["a"], ["b"]], lambda messages: "good")
    with pytest.raises(TypeError, match="must return a text, got int"):
        rate(PROMPTS[:1], [["a"]], lambda messages: 4)
    with pytest.raises(ValueError, match="2 prompts and answers to 1"):
        rate(PROMPTS[:2], [["a"]], judge)
    with pytest.raises(ValueError, match="got most=1"):
        rate(PROMPTS[:1], [["a"]], judge, most=1)
    for ratings in ([(1,)], [(1, 2), (3,)]):
        with pytest.raises(ValueError, match="every answer to every prompt needs a rating"):
            binarize(PROMPTS[:2], [["a", "b"], ["c", "d"]], ratings)
