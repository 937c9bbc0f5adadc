"""Losses of reward models: closed forms, gradients, rankings of unequal length, what is refused."""

import itertools

import numpy as np
import pytest

from llm_from_scratch import gradcheck
from llm_from_scratch.alignment import reward_all_pairs_loss, reward_pair_loss, reward_ranking_loss
from llm_from_scratch.autograd import Tensor

RNG = np.random.default_rng(0)
CHOSEN, REJECTED = RNG.normal(size=(2, 6)) * 2
RANKED = RNG.normal(size=(4, 5)) * 2
SHORT = np.arange(5) < np.array([[5], [2], [3], [4]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_pair_is_bradley_terrys():
    expected = -np.log(sigmoid(CHOSEN - REJECTED)).mean()
    assert reward_pair_loss(CHOSEN, REJECTED).item() == pytest.approx(expected, rel=1e-12)
    assert reward_pair_loss(CHOSEN + 7, REJECTED + 7).item() == pytest.approx(expected, rel=1e-12)  # a constant is free
    margin = RNG.random(6)
    expected = -np.log(sigmoid(CHOSEN - REJECTED - margin)).mean()
    assert reward_pair_loss(CHOSEN, REJECTED, margin=margin).item() == pytest.approx(expected, rel=1e-12)
    assert reward_pair_loss(CHOSEN, REJECTED, normaliser=12).item() * 2 == pytest.approx(
        reward_pair_loss(CHOSEN, REJECTED).item()
    )


def test_labels_that_are_not_sure_are_a_cross_entropy():
    p = RNG.random(6)
    won = sigmoid(CHOSEN - REJECTED)
    expected = -(p * np.log(won) + (1 - p) * np.log(1 - won)).mean()
    assert reward_pair_loss(CHOSEN, REJECTED, preference=p).item() == pytest.approx(expected, rel=1e-12)
    sure = reward_pair_loss(CHOSEN, REJECTED, preference=np.ones(6)).item()
    assert sure == pytest.approx(reward_pair_loss(CHOSEN, REJECTED).item(), rel=1e-14)


def plackett_luce(row):
    """The probability of this very order, place by place."""
    probability = 1.0
    for place in range(len(row)):
        left = np.exp(row[place:])
        probability *= left[0] / left.sum()
    return probability


def test_a_ranking_is_plackett_luces():
    expected = np.mean([-np.log(plackett_luce(row[real])) for row, real in zip(RANKED, SHORT)])
    assert reward_ranking_loss(RANKED, SHORT).item() == pytest.approx(expected, rel=1e-12)
    orders = [plackett_luce(np.array(order)) for order in itertools.permutations(RANKED[0][:4])]
    assert sum(orders) == pytest.approx(1)
    losses = [reward_ranking_loss([order]).item() for order in itertools.permutations(RANKED[0][:4])]
    np.testing.assert_allclose(np.exp(-np.array(losses)), orders, rtol=1e-12)


def test_all_pairs_are_averaged_in_a_row_then_over_rows():
    rows = []
    for row, real in zip(RANKED, SHORT):
        there = row[real]
        pairs = [-np.log(sigmoid(there[i] - there[j])) for i, j in itertools.combinations(range(len(there)), 2)]
        rows.append(np.mean(pairs))
    assert reward_all_pairs_loss(RANKED, SHORT).item() == pytest.approx(np.mean(rows), rel=1e-12)


@pytest.mark.parametrize("loss", [reward_ranking_loss, reward_all_pairs_loss])
def test_two_answers_are_a_pair_and_what_is_not_there_changes_nothing(loss):
    two = np.stack([CHOSEN, REJECTED], axis=1)
    assert loss(two).item() == pytest.approx(reward_pair_loss(CHOSEN, REJECTED).item(), rel=1e-12)
    wild = np.where(SHORT, RANKED, np.nan)
    x = Tensor(wild, requires_grad=True)
    found = loss(x, SHORT)
    found.backward()
    assert found.item() == loss(np.where(SHORT, RANKED, 5.0), SHORT).item()
    assert np.all(x.grad[~SHORT] == 0) and np.all(x.grad[SHORT] != 0)


@pytest.mark.parametrize("shift", [-800.0, 0.0, 800.0])
def test_far_apart_rewards_stay_finite(shift):
    x = Tensor(np.array([[0.0, shift, -shift]]), requires_grad=True)
    for loss in (reward_ranking_loss, reward_all_pairs_loss):
        value = loss(x)
        value.backward()
        assert np.isfinite(value.item()) and np.isfinite(x.grad).all()


def test_gradients():
    margin, preference = RNG.random(6), RNG.random(6)
    gradcheck(lambda a, b: reward_pair_loss(a, b, margin=margin), CHOSEN, REJECTED)
    gradcheck(lambda a, b: reward_pair_loss(a, b, preference=preference), CHOSEN, REJECTED)
    gradcheck(lambda r: reward_ranking_loss(r), RANKED)
    gradcheck(lambda r: reward_ranking_loss(r, SHORT), RANKED)
    gradcheck(lambda r: reward_all_pairs_loss(r, SHORT), RANKED)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    a, b, ranked = (x.astype(dtype) for x in (CHOSEN, REJECTED, RANKED))
    assert reward_pair_loss(a, b, margin=0.5, preference=np.full(6, 0.9)).dtype == dtype
    assert reward_ranking_loss(ranked, SHORT).dtype == reward_all_pairs_loss(ranked).dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reward_pair_loss([1.0, 2.0], [1.0]), r"rejected has the shape \(1,\), chosen \(2,\)"),
        (lambda: reward_pair_loss([[1.0]], [[1.0]]), r"chosen must have the shape \(N,\)"),
        (lambda: reward_pair_loss([], []), r"chosen must have the shape \(N,\), none of it 0; got \(0,\)"),
        (lambda: reward_pair_loss([np.nan], [1.0]), r"chosen\[0\] is nan: every entry must be finite"),
        (lambda: reward_pair_loss([1.0], [np.inf]), r"rejected\[0\] is inf"),
        (lambda: reward_pair_loss([1.0], [1.0], margin=-1.0), "margin must not be negative, got -1"),
        (lambda: reward_pair_loss([1.0], [1.0], margin=[1.0, 2.0]), r"margin has the shape \(2,\)"),
        (lambda: reward_pair_loss([1.0], [1.0], preference=[1.5]), "a preference is a probability, at most 1; got 1.5"),
        (lambda: reward_pair_loss([1.0], [1.0], normaliser=0), "normaliser must be a finite number above 0, got 0"),
        (lambda: reward_ranking_loss([[1.0]]), "row 0 ranks 1 answers: a ranking has at least 2"),
        (lambda: reward_all_pairs_loss([[1.0, 2.0]], [[True, False]]), "row 0 ranks 1 answers"),
        (lambda: reward_ranking_loss([1.0, 2.0]), r"rewards must have the shape \(N, T\), none of it 0; got \(2,\)"),
        (lambda: reward_ranking_loss([[1.0, 2.0]], [[2, 3]]), "a mask holds only True and False"),
        (lambda: reward_ranking_loss([[1.0, 2.0]], [[True]]), r"mask has the shape \(1, 1\)"),
        (lambda: reward_all_pairs_loss([[1.0, np.nan]]), r"rewards\[0, 1\] is nan"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
