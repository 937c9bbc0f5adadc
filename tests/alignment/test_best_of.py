"""Best of n: its KL against counting, its expectation against all choices, and true reward in the world of tales."""

import itertools
import math

import numpy as np
import pytest

from llm_from_scratch.alignment import best_of_kl, best_of_n, expected_best
from llm_from_scratch.data.assistant import tasks

PROMPTS = [[{"role": "user", "content": str(k)}] for k in range(3)]


@pytest.mark.parametrize("n", [1, 2, 4, 16])
def test_kl_is_reached_where_scores_differ_and_a_bound_where_they_tie(n):
    """Best of n from M equally likely answers: the k-th lowest has probability (k/M)^n - ((k-1)/M)^n."""
    many = 200_000
    edges = (np.arange(many + 1) / many) ** n
    exact = np.sum(np.diff(edges) * np.log(np.diff(edges) * many))
    assert exact == pytest.approx(best_of_kl(n), abs=1e-3)
    coarse = (np.arange(4) / 3) ** n  # three answers that can differ at all
    assert np.sum(np.diff(coarse) * np.log(np.diff(coarse) * 3)) <= best_of_kl(n) + 1e-12


def by_all_choices(scores, n, values):
    total = []
    for row, worth in zip(scores, values):
        for chosen in itertools.combinations(range(len(row)), n):
            best = max(row[list(chosen)])
            total.append(np.mean([worth[k] for k in chosen if row[k] == best]))
    return np.mean(total)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_expectation_is_the_mean_over_all_choices(n):
    rng = np.random.default_rng(0)
    scores, values = rng.normal(size=(2, 4, 6))
    assert expected_best(scores, n) == pytest.approx(by_all_choices(scores, n, scores), rel=1e-12)
    assert expected_best(scores, n, values) == pytest.approx(by_all_choices(scores, n, values), rel=1e-12)
    assert expected_best(scores, 1, values) == pytest.approx(values.mean())
    assert expected_best(scores, 6) == pytest.approx(scores.max(axis=1).mean())


def test_ties_share_their_places():
    scores = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    assert expected_best(scores, 2, [[3.0, 5.0, 0.0], [1.0, 2.0, 3.0]]) == pytest.approx((4.0 + 2.0) / 2)


def test_the_best_is_kept_with_its_prompt():
    answers = {0: ["a", "bbb", "cc"], 1: ["", "", ""], 2: ["dd", "d", "dd"]}
    calls = []

    def sample(prompts, seed):
        calls.append(seed)
        return [answers[int(p[0]["content"])][len(calls) - 1] for p in prompts]

    found = best_of_n(sample, lambda prompts, texts: [len(t) for t in texts], PROMPTS, 3, seed=7)
    assert found.texts == ["bbb", "", "dd"] and found.best.tolist() == [1, 0, 0]  # the first of several
    assert found.scores.tolist() == [[1, 3, 2], [0, 0, 0], [2, 1, 2]] and len(set(calls)) == 3
    assert found.dialogues() == [[*PROMPTS[0], {"role": "assistant", "content": "bbb"}],
                                 [*PROMPTS[2], {"role": "assistant", "content": "dd"}]]  # fmt: skip
    assert len(found.dialogues(above=2.5)) == 1
    before, calls[:] = list(calls), []
    best_of_n(sample, lambda prompts, texts: [0.0] * 3, PROMPTS, 3, seed=7)
    assert calls == before


def test_true_reward_rises_with_n_and_falls_short_where_the_reward_is_only_seemingly_one():
    """Chosen by the true score, the true score rises; chosen by length, it does not: reward hacking in one line."""
    asked = [task for _, task in zip(range(80), tasks(3))]
    rng = np.random.default_rng(0)
    texts = [[task.answers[k] for k in rng.integers(0, len(task.answers), 8)] for task in asked]
    truth = np.array([[task.score(text) for text in row] for task, row in zip(asked, texts)])
    length = np.array([[len(text) for text in row] for row in texts], float)
    rising = [expected_best(truth, n) for n in (1, 2, 4, 8)]
    assert all(b > a + 0.03 for a, b in zip(rising, rising[1:])) and rising[-1] > 0.8
    assert expected_best(length, 8, truth) < rising[1]


def test_what_cannot_be_chosen_from_is_refused():
    def sample(prompts, seed):
        return ["x"] * len(prompts)

    def score(prompts, texts):
        return [1.0] * len(texts)

    for call, message in (
        (lambda: best_of_kl(0), "n must be a positive integer, not 0"),
        (lambda: best_of_n(sample, score, PROMPTS, 2.0), "not 2.0"),
        (lambda: best_of_n(sample, score, [], 2), "no prompts"),
        (lambda: best_of_n(lambda p, s: ["x"], score, PROMPTS, 2), "3 prompts were sampled from, 1 answers"),
        (lambda: best_of_n(sample, lambda p, t: [1.0], PROMPTS, 2), r"the scores have the shape \(1,\)"),
        (lambda: best_of_n(sample, lambda p, t: [1.0, math.nan, 1.0], PROMPTS, 2), "answer 0 to prompt 1 is nan"),
        (lambda: expected_best([[1.0, 2.0]], 3), "the best of 3 cannot be told from 2 answers"),
        (lambda: expected_best([[1.0, np.inf]], 1), r"scores\[0, 1\] is inf"),
        (lambda: expected_best([1.0], 1), r"scores are \(prompts, answers\)"),
        (lambda: expected_best([[1.0]], 1, [[1.0, 2.0]]), "values have the shape"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
