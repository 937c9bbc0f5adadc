"""Rounding float32 to bfloat16: to the nearest as everybody does it, by chance so that the mean is right."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch.kernels.bfloat16 import round_by_chance, round_to_nearest

LARGEST = np.float32(3.3895314e38)  # of bfloat16
EVERY_PATTERN = np.arange(2**16, dtype=np.uint32) << 16


def numbers(upper):
    return (upper.astype(np.uint32) << 16).view(np.float32)


def by_chance(x, key=1, first=0):
    return numbers(round_by_chance(np.asarray(x, np.float32).reshape(-1).view(np.uint32), key, first))


def test_nearest_is_what_others_have_for_every_exponent_and_every_half():
    """All 2^16 upper halves, with lower halves at and around the middle; NaNs are NaN on both sides."""
    for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        bits = EVERY_PATTERN + np.uint32(low)
        x, ours = bits.view(np.float32), round_to_nearest(bits)
        with np.errstate(all="ignore"):
            theirs = x.astype(ml_dtypes.bfloat16).view(np.uint16)
        nan = np.isnan(x)
        assert np.array_equal(ours[~nan], theirs[~nan]) and np.isnan(numbers(ours)[nan]).all() and nan.any()


def test_nearest_is_what_pytorch_has():
    frozen = json.loads(Path(__file__).with_name("fixtures").joinpath("bfloat16.json").read_text(encoding="utf-8"))
    assert len(frozen["float32"]) > 400
    assert round_to_nearest(np.array(frozen["float32"], np.uint32)).tolist() == frozen["bfloat16"]


def test_what_is_exact_stays_whatever_the_draw():
    """Zeros of both signs, infinities and subnormal numbers among them."""
    exact = EVERY_PATTERN[~np.isnan(EVERY_PATTERN.view(np.float32))]
    for key in range(5):
        assert np.array_equal(round_by_chance(exact, key, 0), exact >> 16)


def test_by_chance_is_one_of_the_two_neighbours_and_nan_stays_nan():
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    x, y = bits.view(np.float32), numbers(round_by_chance(bits, 3, 0))
    nan = np.isnan(x)
    assert np.array_equal(np.isnan(y), nan) and nan.any()
    size, low = np.abs(x[~nan]), numbers(bits >> 16)[~nan]
    high = numbers(((bits >> 16) + 1).astype(np.uint16))[~nan]
    assert ((y[~nan] == low) | (y[~nan] == high)).all() and (np.signbit(y[~nan]) == np.signbit(x[~nan])).all()
    assert np.isfinite(y[~nan][size <= LARGEST]).all()


def test_there_is_no_going_up_from_the_largest_number():
    beyond = np.full(1000, np.finfo(np.float32).max)
    assert (by_chance(beyond) == LARGEST).all() and (by_chance(-beyond) == -LARGEST).all()


@pytest.mark.parametrize("x", [1.0 + 1e-3, -1.0 - 6e-3, 3.14159, 1e-30, 3e-40, -2.5e30])
def test_the_mean_over_draws_is_the_number(x):
    """To four standard errors: one draw is a coin between two neighbours that are a step apart."""
    n = 200_000
    draws = by_chance(np.full(n, x), key=11).astype(np.float64)
    low, high = draws.min(), draws.max()
    exact = float(np.float32(x))
    share = (exact - low) / (high - low)
    assert 0 < share < 1 and abs(draws.mean() - exact) < 4 * (high - low) * np.sqrt(share * (1 - share) / n)


def test_draws_are_even_and_know_nothing_of_each_other():
    """Over 256 classes by χ², over neighbouring places, and over keys as near as those of a run's arrays."""
    low = np.arange(2**16, dtype=np.uint32)
    ups = np.stack([round_by_chance(low + (1 << 30), key, 0) != (1 << 14) for key in range(64)])
    expected = np.arange(2**16) / 2**16
    z = (ups.mean(axis=0) - expected)[256:-256] / np.sqrt(expected * (1 - expected) / 64)[256:-256]
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and 0.97 < z.std() < 1.03
    coins = np.stack([round_by_chance(np.full(2**16, (1 << 30) + 2**15, np.uint32), k, 0) & 1 for k in (1, 2, 2**40)])
    counts = np.bincount(np.packbits(coins[0].astype(bool)), minlength=256)  # 8192 bytes: 32 of each, give or take
    assert abs(((counts - 32.0) ** 2 / 32).sum() - 255) < 4 * np.sqrt(2 * 255)
    assert abs(np.corrcoef(coins)[np.triu_indices(3, 1)]).max() < 4 / 2**8
    assert abs(np.corrcoef(coins[0][1:], coins[0][:-1])[0, 1]) < 4 / 2**8


def test_pieces_get_what_the_whole_does():
    x = np.random.default_rng(0).normal(size=1000)
    whole = by_chance(x, key=9)
    parts = [by_chance(x[low : low + 100], key=9, first=low) for low in range(0, 1000, 100)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(by_chance(x, key=10), whole)


def test_what_is_no_bits_is_refused():
    for wrong in (np.zeros(3, np.float32), np.zeros((2, 2), np.uint32), np.zeros(3, np.uint16)):
        with pytest.raises(TypeError, match="flat array of uint32"):
            round_to_nearest(wrong)
    with pytest.raises(ValueError, match="64 bits"):
        round_by_chance(np.zeros(1, np.uint32), -1, 0)
    with pytest.raises(ValueError, match="not negative"):
        round_by_chance(np.zeros(1, np.uint32), 1, -1)
