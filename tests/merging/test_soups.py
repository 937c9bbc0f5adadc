"""Uniform and greedy soups."""

import numpy as np
import pytest

import llm_from_scratch.merging as M

RNG = np.random.default_rng(1)


def test_a_uniform_soup_is_the_mean():
    models = RNG.normal(size=(4, 6))
    np.testing.assert_allclose(M.uniform_soup(list(models)), models.mean(0), rtol=1e-14)


def test_the_greedy_soup_is_never_worse_than_the_best_and_tries_from_the_best_on():
    target = RNG.normal(size=8)
    models = [target + size * RNG.normal(size=8) for size in (2.0, 0.5, 1.0, 0.7)]
    tried = []

    def score(model):
        tried.append(model)
        return -float(np.square(model - target).sum())

    soup = M.greedy_soup(models, score)
    alone = [score(model) for model in models]
    assert score(soup) >= max(alone)
    ranking = np.argsort([-value for value in alone])
    assert len(tried) >= 4 + 3
    np.testing.assert_allclose(tried[4], (models[ranking[0]] + models[ranking[1]]) / 2)  # best with second best
    chosen = M.greedy_choice(models, score)
    np.testing.assert_allclose(soup, np.mean([models[k] for k in chosen], axis=0))
    assert chosen[0] == ranking[0] and len(set(chosen)) == len(chosen)


def test_what_makes_no_difference_goes_in_and_what_harms_does_not():
    models = [np.array([1.0]), np.array([1.0]), np.array([5.0])]
    assert M.greedy_choice(models, lambda model: -abs(model[0] - 1)) == [0, 1]
    assert M.greedy_choice(models, lambda model: 0.0) == [0, 1, 2]
    np.testing.assert_array_equal(M.greedy_soup(models, lambda model: model[0]), [5.0])


def test_a_rejected_model_does_not_stop_later_ones():
    models = [np.array([0.0]), np.array([4.0]), np.array([-0.2])]  # 4 is second best of the scores below, and harms
    scores = {0.0: 5.0, 4.0: 4.0, -0.2: 3.0}
    choice = M.greedy_choice(models, lambda model: scores.get(float(model[0]), 6.0 if abs(model[0]) < 1 else 0.0))
    assert choice == [0, 2]


def test_a_score_is_a_finite_number():
    with pytest.raises(ValueError, match="score"):
        M.greedy_soup([np.ones(1)], lambda model: float("nan"))
    with pytest.raises(TypeError, match="score"):
        M.greedy_soup([np.ones(1)], lambda model: "good")
