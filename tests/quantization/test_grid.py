"""Evenly spaced numbers for a group of weights: ranges, zero points, what cannot be a grid. Parity stands in
tests/compression/test_parity.py."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch.quantization.grid import Grid, check_group_size, fit, nearest_codes, round_to_grid

SETTINGS = list(itertools.product([2, 3, 4, 8], [None, 8, 1], [False, True]))


@pytest.fixture
def weight():
    weight = np.random.default_rng(0).normal(size=(6, 24))
    weight[1] = np.abs(weight[1])  # rows of one sign, a zero block, a single number
    weight[2] = -np.abs(weight[2])
    weight[3, 8:16] = 0
    weight[4] = 0
    weight[5, 1:] = 0
    return weight


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bits, group_size, symmetric", SETTINGS)
def test_every_weight_gets_the_nearest_number_of_its_grid(weight, dtype, bits, group_size, symmetric):
    weight = weight.astype(dtype)
    grid = round_to_grid(weight, bits=bits, group_size=group_size, symmetric=symmetric)
    values = grid.values()
    assert values.dtype == grid.scale.dtype == grid.zero.dtype == dtype and grid.bits == bits
    numbers = (np.arange(2**bits) - grid.zero[..., None]) * grid.scale[..., None]  # (outputs, groups, 2^bits)
    distances = np.abs(weight[..., None] - numbers[:, grid.group_of_input])
    np.testing.assert_allclose(np.abs(weight - values), distances.min(axis=-1), atol=1e-6)
    steps = grid.scale[:, grid.group_of_input]
    # Symmetric: 2^bits numbers cannot lie evenly around zero, the highest is half a step below the range.
    assert (np.abs(weight - values) <= steps * (0.5 + 1e-5)).all()
    assert (values[weight == 0] == 0).all(), "zero is on every grid"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_symmetric_range_has_two_sides_even_where_the_weights_have_one(sign):
    weight = sign * np.linspace(0.1, 1.0, 10)[None]
    grid = round_to_grid(weight, bits=4, symmetric=True)
    np.testing.assert_allclose(grid.scale, 2 / 15)
    # One-sided it would be 1/15 around the same middle: everything above 7/15 would be cut off.
    assert np.abs(grid.values() - weight).max() <= 1 / 15 + 1e-12


def test_a_group_that_lies_far_from_zero_is_not_cut_off():
    # scale = (max - min) / 15 alone, with the zero point clamped into 0..15, makes 1.0 of all of these
    grid = round_to_grid(np.array([[5.3, 5.5, 6.0]]), bits=4)
    np.testing.assert_allclose(grid.values(), [[5.2, 5.6, 6.0]])


def test_a_group_has_its_own_range_and_only_its_own(weight):
    changed = weight.copy()
    changed[0, 8:16] *= 100
    before, after = (round_to_grid(w, bits=3, group_size=8) for w in (weight, changed))
    different = before.codes != after.codes
    assert not different[:, :8].any() and not different[:, 16:].any()
    np.testing.assert_array_equal(before.scale[:, [0, 2]], after.scale[:, [0, 2]])
    np.testing.assert_allclose(after.scale[0, 1], 100 * before.scale[0, 1])
    np.testing.assert_array_equal(before.group_of_input, np.arange(24) // 8)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("size", [1e-45, 1e-42, 1e-38, 1e37])
def test_very_small_and_large_weights_give_finite_numbers(size, symmetric):
    weight = np.array([[size, -size, size / 2]], np.float32)
    grid = round_to_grid(weight, bits=4, symmetric=symmetric)
    assert np.isfinite(grid.scale).all() and (grid.scale > 0).all() and np.isfinite(grid.values()).all()
    assert np.abs(grid.values() - weight).max() <= max(0.1 * size, 2e-37)


def test_sixteen_bits_are_read_as_float32(weight):
    for dtype in (np.float16, ml_dtypes.bfloat16):
        low = weight.astype(dtype)
        grid, expected = (round_to_grid(w, bits=4) for w in (low, low.astype(np.float32)))
        assert grid.scale.dtype == np.float32
        np.testing.assert_array_equal(grid.codes, expected.codes)


def test_half_way_goes_to_even():
    np.testing.assert_array_equal(
        nearest_codes(np.array([0.5, 1.5, 2.5, -0.5]), np.array(1.0), np.array(2.0), 3), [2, 4, 4, 2]
    )


def test_the_weights_are_left_as_they_are(weight):
    before = weight.copy()
    round_to_grid(weight, bits=2, group_size=4)
    np.testing.assert_array_equal(weight, before)
    transposed = np.asfortranarray(weight)
    np.testing.assert_array_equal(
        round_to_grid(transposed, bits=3, group_size=4).codes, round_to_grid(weight, bits=3, group_size=4).codes
    )


@pytest.mark.parametrize(
    "weight, settings, error, words",
    [
        (np.ones((2, 6)), {"bits": 4, "group_size": 4}, ValueError, "groups of 4 do not divide a row of 6 inputs"),
        (np.ones((2, 6)), {"bits": 4, "group_size": 12}, ValueError, "groups of 12 do not divide a row of 6"),
        (np.ones((2, 6)), {"bits": 4, "group_size": 0}, ValueError, "positive whole number .* not 0"),
        (np.ones((2, 6)), {"bits": 4, "group_size": -1}, ValueError, "None for the whole row, not -1"),
        (np.ones((2, 6)), {"bits": 4, "group_size": 2.0}, ValueError, "not 2.0"),
        (np.ones((2, 6)), {"bits": 4, "group_size": True}, ValueError, "not True"),
        (np.ones((2, 6)), {"bits": 9}, ValueError, "2 to 8 bits, not 9"),
        (np.ones((2, 6)), {"bits": 1}, ValueError, "2 to 8 bits, not 1"),
        (np.ones((2, 6)), {"bits": 4.0}, ValueError, "2 to 8 bits, not 4.0"),
        (np.ones((2, 6)), {"bits": "4"}, ValueError, "2 to 8 bits, not '4'"),
        (np.ones((2, 6), int), {"bits": 4}, TypeError, "matrix of floats, got int64"),
        (np.ones(6), {"bits": 4}, ValueError, r"the shape \(6,\)"),
        (np.ones((0, 6)), {"bits": 4}, ValueError, r"the shape \(0, 6\)"),
        (np.array([[1.0, 2.0], [np.inf, 0.0]]), {"bits": 4}, ValueError, r"the weight at \(1, 0\) is inf"),
        (np.array([[1.0, -np.nan]], np.float32), {"bits": 4}, ValueError, r"the weight at \(0, 1\) is nan"),
        (np.array([[3e38, -3e38]], np.float32), {"bits": 4}, ValueError, "spans more than float32 can hold"),
        (np.array([[3e38, 0]], np.float32), {"bits": 4, "symmetric": True}, ValueError, "spans more than float32"),
    ],
)
def test_refused(weight, settings, error, words):
    with pytest.raises(error, match=words):
        round_to_grid(weight, **settings)


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"codes": np.full((2, 4), 4, np.uint8)}, ValueError, "2 bits hold codes up to 3, got 4"),
        ({"codes": np.zeros((2, 4), np.int64)}, TypeError, "uint8 codes"),
        ({"codes": np.zeros((3, 4), np.uint8)}, ValueError, "do not fit"),
        ({"group_of_input": np.array([0, 0, 1, 2])}, ValueError, r"groups 0..1"),
        ({"group_of_input": np.array([0, 0, -1, 1])}, ValueError, r"groups 0..1"),
        ({"group_of_input": np.zeros(3, int)}, ValueError, "do not fit"),
        ({"group_of_input": np.zeros(4)}, TypeError, "integer groups"),
        ({"scale": np.array([[1.0, np.inf], [1, 1]])}, ValueError, "finite and above zero"),
        ({"scale": np.zeros((2, 2))}, ValueError, "finite and above zero"),
        ({"zero": np.full((2, 2), 4.0)}, ValueError, r"whole number in 0..3"),
        ({"zero": np.full((2, 2), 0.5)}, ValueError, r"whole number in 0..3"),
        ({"zero": np.ones((2, 2), np.float32)}, ValueError, "zero is float32"),
        ({"bits": 16}, ValueError, "2 to 8 bits"),
    ],
)
def test_parts_that_do_not_fit_are_no_grid(changes, error, words):
    parts = {
        "codes": np.zeros((2, 4), np.uint8), "scale": np.ones((2, 2)), "zero": np.ones((2, 2)),
        "group_of_input": np.array([0, 1, 0, 1]), "bits": 2,
    }  # fmt: skip
    np.testing.assert_array_equal(Grid(**parts).values(), -np.ones((2, 4)))
    with pytest.raises(error, match=words):
        Grid(**{**parts, **changes})


def test_a_row_is_a_group_unless_told():
    assert check_group_size(None, 12) == 12 and check_group_size(np.int64(4), 12) == 4
    assert fit(np.ones((3, 2, 4)), 4)[0].shape == (3, 2)
