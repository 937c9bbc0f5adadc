"""Win rates: both orders, ties, and a judge who looks at the place alone."""

import numpy as np
import pytest

from llm_from_scratch.scoring import win_rate

PROMPTS = [[{"role": "user", "content": "?"}]] * 4


def by_length(prompt, first, second):
    return 0.5 + np.sign(len(first) - len(second)) * 0.3


def test_wins_ties_and_losses():
    result = win_rate(by_length, PROMPTS, ["aaa", "aa", "a", "ab"], ["a", "aa", "aa", "cd"])
    assert (result.wins, result.ties, result.losses, result.contradictions) == (1, 2, 1, 0)
    assert result.value == float(result) == 0.5 and result.count == 4
    other = win_rate(by_length, PROMPTS, ["a", "aa", "aa", "cd"], ["aaa", "aa", "a", "ab"])
    assert (other.wins, other.losses) == (1, 1) and other.value == 0.5
    assert win_rate(by_length, PROMPTS, ["bbb"] * 4, ["aa"] * 4).value == 1.0


def test_a_judge_of_places_finds_ties_only_and_is_reported():
    result = win_rate(lambda prompt, first, second: 0.9, PROMPTS, ["a"] * 4, ["b"] * 4)
    assert (result.value, result.ties, result.contradictions) == (0.5, 4, 4)
    assert result.position_bias == pytest.approx(0.4)


def test_one_order_that_prefers_is_enough_if_the_other_sees_no_difference():
    assert win_rate(lambda p, first, second: 0.8 if first == "a" else 0.5, PROMPTS, ["a"] * 4, ["b"] * 4).wins == 4


def test_equal_answers_are_not_asked_about():
    def never(prompt, first, second):
        raise AssertionError("asked")

    assert win_rate(never, PROMPTS, ["a"] * 4, ["a"] * 4).ties == 4


def test_the_interval_holds_the_true_rate():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        strength = rng.random(50)  # the first wins with probability 0.7: a judge without error
        answers = ["bb" if s < 0.7 else "c" for s in strength]
        others = ["c" if s < 0.7 else "bb" for s in strength]
        low, high = win_rate(by_length, PROMPTS[:1] * 50, answers, others, seed=int(rng.integers(2**31))).interval
        held += low <= 0.7 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_unequal_numbers_and_bad_judges_are_refused():
    with pytest.raises(ValueError, match="4 prompts, 3 answers and 4 others"):
        win_rate(by_length, PROMPTS, ["a"] * 3, ["b"] * 4)
    with pytest.raises(ValueError, match="there are no items"):
        win_rate(by_length, [], [], [])
    with pytest.raises(ValueError, match="item 0: the judge answered None"):
        win_rate(lambda *args: None, PROMPTS, ["a"] * 4, ["b"] * 4)
