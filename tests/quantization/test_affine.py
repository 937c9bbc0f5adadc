"""Absmax and zero-point against the definition written out, shared scale by shared scale, and at their edges."""

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch.quantization import absmax_quantize, zero_point_quantize
from llm_from_scratch.quantization.grid import round_to_grid


def pieces(x, per):
    """What shares a scale, one flat array after the other."""
    if per == "tensor":
        return [x.reshape(-1)]
    rows = x.reshape(-1, x.shape[-1])
    size = x.shape[-1] if per == "row" else per
    return [row[i : i + size] for row in rows for i in range(0, len(row), size)]


@pytest.mark.parametrize("per", ["tensor", "row", 1, 4, 12])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)])
def test_every_code_is_the_nearest_of_all(shape, bits, per):
    x = np.random.default_rng(bits).normal(size=shape) + 0.4
    for quantize, codes in (
        (absmax_quantize, np.arange(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1))),
        (zero_point_quantize, np.arange(2**bits)),
    ):
        made = quantize(x, bits=bits, per=per)
        groups = () if per == "tensor" else (*shape[:-1], 1 if per == "row" else 12 // per)
        assert made.scale.shape == groups and made.codes.shape == shape == made.values().shape
        values = pieces(made.values(), per)
        for i, numbers in enumerate(pieces(x, per)):
            scale = made.scale.reshape(-1)[i]
            if made.zero is None:
                assert scale == np.abs(numbers).max() / codes[-1]
                grid = codes * scale
            else:
                low, high = min(numbers.min(), 0), max(numbers.max(), 0)
                np.testing.assert_allclose(scale, (high - low) / codes[-1])
                grid = (codes - made.zero.reshape(-1)[i]) * scale
                assert 0 in grid and abs(grid[0] - low) <= scale / 2 * (1 + 1e-12)
            nearest = np.abs(numbers[:, None] - grid).min(axis=1)
            np.testing.assert_allclose(np.abs(values[i] - numbers), nearest, atol=1e-12)


def test_what_each_is_good_for():
    """By hand: absmax keeps the largest magnitude exactly, zero-point wastes no codes on numbers that are not there."""
    x = np.array([[-4.0, 1.0, 2.0], [0.0, 1.0, 3.0]])
    made = absmax_quantize(x, bits=3, per="row")
    np.testing.assert_allclose(made.scale, [[4 / 3], [1]])
    assert made.codes.tolist() == [[-3, 1, 2], [0, 1, 3]] and made.codes.dtype == np.int8
    made = zero_point_quantize(x, bits=3, per="row")
    np.testing.assert_allclose(made.scale, [[6 / 7], [3 / 7]])
    assert made.zero.tolist() == [[5], [0]] and made.codes.tolist() == [[0, 6, 7], [0, 2, 7]]
    positive = np.maximum(np.random.default_rng(0).normal(size=(4, 64)), 0)
    error = [np.abs(q(positive, bits=4).values() - positive).mean() for q in (absmax_quantize, zero_point_quantize)]
    assert error[1] < 0.6 * error[0]


def test_a_matrix_has_the_codes_of_its_grid():
    weight = np.random.default_rng(1).normal(size=(6, 32)).astype(np.float32)
    for group in (None, 8):
        grid = round_to_grid(weight, bits=4, group_size=group)
        made = zero_point_quantize(weight, bits=4, per=group or "row")
        np.testing.assert_array_equal(made.codes, grid.codes)
        np.testing.assert_array_equal(made.values(), grid.values())


@pytest.mark.parametrize("quantize", [absmax_quantize, zero_point_quantize])
def test_zeros_constants_and_extremes(quantize):
    x = np.zeros((3, 8), np.float32)
    x[1], x[2] = 2.5, -1e30
    for per in ("row", 4):
        with np.errstate(all="raise", under="ignore"):
            np.testing.assert_allclose(quantize(x, per=per).values(), x, rtol=1e-6)
    assert (quantize(np.zeros(5), bits=2).values() == 0).all()
    tiny = np.array([[1e-45, -1e-45], [1e-35, 5e-36]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        again = quantize(tiny, per="row").values()
    assert (again[0] == 0).all() and np.abs(again[1] - tiny[1]).max() < 5e-38
    assert np.isfinite(quantize(np.array([1e38, -1e38], np.float32)).values()).all()


def test_dtypes_and_shapes():
    x = np.random.default_rng(2).normal(size=(3, 4))
    for quantize in (absmax_quantize, zero_point_quantize):
        for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
            before, wanted = x.astype(kind), np.float64 if kind is np.float64 else np.float32
            made = quantize(before, per=2)
            assert made.values().dtype == made.scale.dtype == wanted
            np.testing.assert_array_equal(before, x.astype(kind))
        assert quantize(np.float64(3.0)).values() == 3.0


def test_what_cannot_be_quantised_is_refused():
    x = np.ones((2, 6))
    for call, error, message in (
        (lambda: absmax_quantize([1, 2]), TypeError, "floating-point numbers can be quantised, not int64"),
        (lambda: absmax_quantize([1.0, np.inf]), ValueError, r"the number at \(1,\) is inf"),
        (lambda: zero_point_quantize([[np.nan]]), ValueError, r"the number at \(0, 0\) is nan"),
        (lambda: absmax_quantize(np.zeros((0, 3))), ValueError, r"nothing to quantise in an array of shape \(0, 3\)"),
        (lambda: absmax_quantize(x, bits=1), ValueError, "2 to 8 bits, not 1"),
        (lambda: zero_point_quantize(x, bits=9), ValueError, "2 to 8 bits, not 9"),
        (lambda: absmax_quantize(x, per=4), ValueError, "groups of 4 do not divide a row of 6"),
        (lambda: absmax_quantize(x, per=0), ValueError, "not 0"),
        (lambda: absmax_quantize(x, per="column"), ValueError, "per is 'tensor', 'row' or a number .* not 'column'"),
        (lambda: absmax_quantize(1.0, per="row"), ValueError, "a single number has no rows"),
    ):
        with pytest.raises(error, match=message):
            call()
