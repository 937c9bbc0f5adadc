"""Rewards a token, advantages, whitening: as in trl's first trainer, as a loop, and under all kinds of masks."""

from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.alignment import generalized_advantages, kl_rewards, whiten
from llm_from_scratch.files.sharded import read_safetensors

FROZEN = read_safetensors(Path(__file__).parent / "fixtures" / "trl_ppo.safetensors")
CASES = ("whole", "ragged")
rng = np.random.default_rng(0)
T = 7
MASKS = np.array([
    [1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 1, 1, 0, 0, 1, 0],
], bool)  # fmt: skip
REWARDS, VALUES = rng.normal(size=(2, 5, T))


def frozen(case, *names):
    return [FROZEN[f"{case}.{name}"] for name in names]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("charge", "theirs"), [("difference", "kl"), ("absolute", "abs"), ("squared", "mse")])
def test_rewards_are_trls(case, charge, theirs):
    ours, reference, scores, mask, wanted = frozen(
        case, "old_log_probabilities", "reference", "scores", "mask", f"rewards.{theirs}"
    )
    found = kl_rewards(ours, reference, scores, mask, beta=0.15, charge=charge)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_advantages_and_returns_are_trls(case):
    rewards, values, mask = frozen(case, "rewards.kl", "old_values", "mask")
    for form in ("plain", "whitened"):
        given = whiten(rewards, mask, shift_mean=False, unbiased=True) if form == "whitened" else rewards
        wanted, theirs = frozen(case, f"advantages.{form}", f"returns.{form}")
        advantages, returns = generalized_advantages(given, values, mask, gamma=0.9, lam=0.8)
        if (case, form) == ("ragged", "whitened"):
            # There whitening makes something of the zeros in the padding, and the sum over what comes reaches into it.
            assert np.abs(returns - theirs).max() > 0.01
            continue
        np.testing.assert_allclose(returns, theirs, rtol=0, atol=1e-13)
        np.testing.assert_allclose(whiten(advantages, mask, unbiased=True), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_whitening_is_trls(case):
    values, mask, shifted, kept = frozen(case, "values", "mask", "white.shifted", "white.kept")
    np.testing.assert_allclose(whiten(values, mask, unbiased=True), shifted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(whiten(values, mask, unbiased=True, shift_mean=False), kept, rtol=0, atol=1e-13)


def test_the_score_stands_on_the_last_real_token_never_after_it():
    zeros = np.zeros((5, T))
    found = kl_rewards(zeros, zeros, np.arange(1.0, 6), MASKS, beta=0.1)
    expected = np.zeros((5, T))
    for row, last in enumerate((6, 4, 0, 6, 5)):
        expected[row, last] = row + 1
    assert np.array_equal(found, expected)


def test_every_charge_is_nothing_where_both_agree_and_estimates_the_divergence():
    p, q = np.random.default_rng(1).dirichlet(np.ones(6), size=2)
    divergence = (p * np.log(p / q)).sum()
    tokens = np.arange(6)[None]
    means = {}
    for charge in ("difference", "absolute", "squared", "low variance"):
        paid = -kl_rewards(np.log(p)[tokens], np.log(q)[tokens], [0.0], np.ones((1, 6)), beta=1.0, charge=charge)[0]
        means[charge] = (p * paid).sum()
        same = kl_rewards(np.log(p)[tokens], np.log(p)[tokens], [0.0], np.ones((1, 6)), beta=1.0, charge=charge)
        assert np.abs(same).max() < 1e-15
    assert means["difference"] == pytest.approx(divergence) == pytest.approx(means["low variance"])
    assert means["absolute"] > divergence * 1.05


def advantages_by_definition(rewards, values, gamma, lam, rest):
    """A_t = Σ_k (γλ)^k δ_{t+k} of one answer, as the paper writes it."""
    values = [*values, rest]
    surprises = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(len(rewards))]
    return [sum((gamma * lam) ** k * s for k, s in enumerate(surprises[t:])) for t in range(len(rewards))]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0), (0.0, 0.7)])
@pytest.mark.parametrize("rests", [None, np.array([0.3, -1.0, 2.0, 0.5, -0.7])])
def test_advantages_are_the_papers_sum_under_any_mask(gamma, lam, rests):
    wild_rewards, wild_values = (np.where(MASKS, x, 1e6) for x in (REWARDS, VALUES))  # nothing outside may be read
    advantages, returns = generalized_advantages(
        wild_rewards, wild_values, MASKS, gamma=gamma, lam=lam, last_values=rests
    )
    for row, real in enumerate(MASKS):
        rest = 0.0 if rests is None else rests[row]
        wanted = advantages_by_definition(REWARDS[row][real], VALUES[row][real], gamma, lam, rest)
        np.testing.assert_allclose(advantages[row][real], wanted, rtol=1e-12)
        np.testing.assert_allclose(returns[row][real], wanted + VALUES[row][real], rtol=1e-12)
    assert np.all(advantages[~MASKS] == 0) and np.all(returns[~MASKS] == 0)


def test_at_lambda_one_the_return_is_the_sum_of_what_comes():
    _, returns = generalized_advantages(REWARDS[:1], VALUES[:1], MASKS[:1], lam=1.0, last_values=[2.0])
    np.testing.assert_allclose(returns[0], REWARDS[0][::-1].cumsum()[::-1] + 2.0, rtol=1e-12)


def test_an_answer_that_was_cut_off_goes_on_where_it_is_bootstrapped():
    """Cut in two and told what the rest is worth, the first half has the advantages that it has in the whole."""
    whole, _ = generalized_advantages(REWARDS[:1], VALUES[:1], MASKS[:1], lam=0.0)
    half, _ = generalized_advantages(REWARDS[:1, :3], VALUES[:1, :3], MASKS[:1, :3], lam=0.0, last_values=VALUES[:1, 3])
    ended, _ = generalized_advantages(REWARDS[:1, :3], VALUES[:1, :3], MASKS[:1, :3], lam=0.0)
    np.testing.assert_allclose(half, whole[:, :3], rtol=1e-14)
    assert abs(ended[0, 2] - whole[0, 2]) > 0.1


@pytest.mark.parametrize("unbiased", [False, True])
def test_whitening_counts_real_tokens_alone(unbiased):
    x = np.where(MASKS, VALUES, np.nan)
    white = whiten(x, MASKS, unbiased=unbiased)
    assert np.all(white[~MASKS] == 0)
    assert white[MASKS].mean() == pytest.approx(0, abs=1e-12)
    assert white[MASKS].var(ddof=unbiased) == pytest.approx(1, rel=1e-6)
    kept = whiten(x, MASKS, shift_mean=False, unbiased=unbiased)
    assert kept[MASKS].mean() == pytest.approx(VALUES[MASKS].mean())
    assert np.all(kept[~MASKS] == 0)
    assert np.all(whiten(np.full((2, 3), 4.0), np.ones((2, 3))) == 0)  # nothing to divide by but the 1e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays_and_inputs_too(dtype):
    ours, theirs, rewards, values = rng.normal(size=(4, 5, T)).astype(dtype)
    before = [x.copy() for x in (ours, theirs, rewards, values)]
    found = kl_rewards(ours, theirs, np.ones(5), MASKS, beta=0.1)
    advantages, returns = generalized_advantages(rewards, values, MASKS, last_values=np.ones(5))
    assert {x.dtype for x in (found, advantages, returns, whiten(values, MASKS))} == {np.dtype(dtype)}
    for array, copy in zip((ours, theirs, rewards, values), before):
        assert np.array_equal(array, copy)


def test_a_large_mean_loses_no_digits():
    x = (1000 + rng.normal(size=(400, 50))).astype(np.float32)
    white = whiten(x, np.ones(x.shape))
    assert abs(white.mean(dtype=np.float64)) < 1e-4 and white.std(dtype=np.float64) == pytest.approx(1, abs=1e-4)


ONES, NOTHING = np.ones((2, 3)), np.zeros((2, 3))
HOLE = np.array([[1.0, np.nan, 1.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl_rewards(ONES, ONES, [1, 1], [[1, 1, 1], [0, 0, 0]], beta=0.1), "answer 1 is empty"),
        (lambda: kl_rewards(ONES, ONES, [1, 1], NOTHING, beta=0.1), "has no real token"),
        (
            lambda: kl_rewards(ONES, ONES, [1, np.nan], ONES, beta=0.1),
            r"scores\[1\] is nan: every entry must be finite",
        ),
        (
            lambda: kl_rewards(HOLE, ONES, [1, 1], ONES, beta=0.1),
            r"log_probabilities\[0, 1\] is nan: every entry must be finite",
        ),
        (
            lambda: kl_rewards(ONES, ONES, [1], ONES, beta=0.1),
            r"scores has the shape \(1,\), expected one number for each",
        ),
        (lambda: kl_rewards(ONES, ONES[:, :2], [1, 1], ONES, beta=0.1), r"reference has the shape \(2, 2\)"),
        (
            lambda: kl_rewards(ONES, ONES, [1, 1], ONES, beta=-0.1),
            "beta must be a finite number of at least 0, got -0.1",
        ),
        (
            lambda: kl_rewards(ONES, ONES, [1, 1], ONES, beta=0.1, charge="k2"),
            "charge must be one of difference, absolute",
        ),
        (lambda: kl_rewards(ONES, ONES, [1, 1], 2 * ONES, beta=0.1), "a mask holds only True and False"),
        (
            lambda: generalized_advantages(ONES, ONES, ONES, lam=1.1),
            r"lam must be a .* number in \[0, 1\], got 1.1",
        ),
        (
            lambda: generalized_advantages(ONES, ONES, ONES, gamma=-1),
            r"gamma must be a .* number in \[0, 1\], got -1",
        ),
        (lambda: generalized_advantages(ONES, HOLE, ONES), r"values\[0, 1\] is nan: every entry must be finite"),
        (lambda: generalized_advantages(ONES, ONES, ONES, last_values=[1.0]), r"last_values has the shape \(1,\)"),
        (
            lambda: generalized_advantages(ONES[0], ONES[0], ONES[0]),
            r"rewards must have the shape \(N, T\), none of it 0; got \(3,\)",
        ),
        (lambda: whiten(ONES, NOTHING), "has no real token"),
        (lambda: whiten(ONES[:1], [[0, 1, 0]], unbiased=True), "a variance over n - 1 needs two numbers"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_dtypes_are_refused():
    with pytest.raises(TypeError, match="values is float32, rewards float64"):
        generalized_advantages(ONES, ONES.astype(np.float32), ONES)
