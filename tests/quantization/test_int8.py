"""LLM.int8() against bitsandbytes' codes and products, and against the formula written out entry by entry."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.kernels.int8 import MOST_INPUTS, int8_matmul
from llm_from_scratch.quantization import int8

FROZEN = load_file(Path(__file__).parent / "fixtures" / "int8.safetensors")
WEIGHT, CODES, ABSMAX = FROZEN["weight"], FROZEN["codes"], FROZEN["absmax"]
# Their CPU product multiplies with 6.200124e-05 where 1 / 127² is 6.2000124e-05: a zero is missing in the constant.
THEIR_FACTOR = 6.200124e-05 * 127**2


def by_the_formula(x, codes, absmax, threshold=6.0, outlier_weight=None):
    """Entry by entry in float64: x (N, inputs) -> (N, outputs)."""
    x, absmax = x.astype(np.float64), absmax.astype(np.float64)
    y = np.zeros((len(x), len(codes)))
    outlier = [any(abs(row[i]) >= threshold for row in x) for i in range(x.shape[1])]
    for n, row in enumerate(x):
        largest = max([abs(v) for v in row if abs(v) < threshold], default=0)
        for o in range(len(codes)):
            total = 0
            for i, v in enumerate(row):
                if not outlier[i]:
                    total += round(v * (127 / largest)) * int(codes[o, i]) if largest else 0
            y[n, o] = total * largest * absmax[o] / 127**2
            for i in np.flatnonzero(outlier):
                w = codes[o, i] / 127 * absmax[o] if outlier_weight is None else outlier_weight[o, i]
                y[n, o] += row[i] * float(w)
    return y


def test_codes_of_bitsandbytes():
    codes, absmax = int8.quantize_rows(WEIGHT)
    np.testing.assert_array_equal(codes, CODES)
    np.testing.assert_array_equal(absmax, ABSMAX)
    assert codes.dtype == np.int8 and absmax.dtype == np.float32 and codes[3].max() == codes[3].min() == 0
    turned, _ = int8.quantize_rows(np.asfortranarray(WEIGHT))
    np.testing.assert_array_equal(turned, CODES)
    assert turned.flags.c_contiguous  # else the kernel would copy it at every call


@pytest.mark.parametrize("label", ["many", "one", "none"])
def test_products_of_bitsandbytes_but_for_their_constant(label):
    x = FROZEN[f"{label}.x"]
    columns = FROZEN[f"{label}.columns"]
    np.testing.assert_array_equal(int8.outlier_columns(x), columns)
    assert len(columns) == {"many": 3, "one": 1, "none": 0}[label]
    for name, bias in (("product", None), ("biased", FROZEN["bias"])):
        y = int8.matmul(x, CODES, ABSMAX, bias)
        theirs = FROZEN[f"{label}.{name}"]
        in_float = x[:, columns] @ int8.dequantize_rows(CODES[:, columns], ABSMAX).T + (0 if bias is None else bias)
        scale = np.abs(theirs - in_float).max()
        assert y.dtype == np.float32 and np.abs(y - theirs).max() < 2e-5 * scale
        corrected = (y - in_float) * np.float32(THEIR_FACTOR) + in_float
        assert np.abs(corrected - theirs).max() < 1e-6 * scale < np.abs(y - theirs).max()


def test_their_codes_of_the_inputs():
    """Outlier entries count nothing in a row's scale, those below the threshold in the same column do."""
    x = FROZEN["many.x"]
    kept = np.where(np.abs(x) >= 6, 0, x)
    np.testing.assert_array_equal(np.abs(kept).max(axis=1), FROZEN["many.absmax"])
    assert FROZEN["many.absmax"][6] == np.float32(5.9)  # in a column that is an outlier because of another row
    codes = int8._codes(kept, np.abs(kept).max(axis=1))
    codes[:, FROZEN["many.columns"]] = 0
    np.testing.assert_array_equal(codes, FROZEN["many.codes"])


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("threshold", [6.0, 2.0, 1e-9, np.inf])
def test_the_formula(paper, threshold):
    rng = np.random.default_rng(0)
    for rows, outputs, inputs in ((1, 3, 5), (4, 7, 20), (3, 1, 1)):
        x = 3 * rng.normal(size=(rows, inputs))
        weight = rng.normal(size=(outputs, inputs))
        x[0, 0] = 0.5  # below the outliers in its column, if there are any
        codes, absmax = int8.quantize_rows(weight)
        outlier_weight = weight if paper else None
        wanted = by_the_formula(np.vstack([x, 1e-10 * np.ones(inputs)]), codes, absmax, threshold, outlier_weight)[:-1]
        got = int8.matmul(
            np.vstack([x, 1e-10 * np.ones(inputs)]), codes, absmax, threshold=threshold, outlier_weight=outlier_weight
        )[:-1]
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_closed_forms():
    """Where nothing is lost: whole numbers whose largest magnitude is 127, and powers of two."""
    rng = np.random.default_rng(1)
    whole = rng.integers(-127, 128, (6, 30)).astype(np.float64)
    whole[:, 7] = 127
    codes, absmax = int8.quantize_rows(whole / 4)
    np.testing.assert_array_equal(codes, whole)
    np.testing.assert_array_equal(int8.dequantize_rows(codes, absmax)[:, 7], 127 / 4)
    x = whole[:2] / 64
    np.testing.assert_allclose(int8.matmul(x, codes, absmax), x @ whole.T / 4, rtol=1e-14)
    # all columns are outliers: the float product itself in the paper's form, that of the dequantised codes in the other
    weight = rng.normal(size=(6, 30))
    codes, absmax = int8.quantize_rows(weight)
    x = 7 + np.abs(rng.normal(size=(3, 30)))
    np.testing.assert_allclose(int8.matmul(x, codes, absmax, outlier_weight=weight), x @ weight.T, rtol=1e-12)
    dequantised = int8.dequantize_rows(codes, absmax)
    np.testing.assert_allclose(int8.matmul(x, codes, absmax), x @ dequantised.T, rtol=1e-12)


def test_errors_stay_below_half_a_step():
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(20, 50)).astype(np.float32)
    codes, absmax = int8.quantize_rows(weight)
    error = np.abs(int8.dequantize_rows(codes, absmax) - weight)
    assert (error <= absmax[:, None] / 254 * (1 + 1e-5)).all() and (np.abs(codes).max(axis=1) == 127).all()
    x = rng.normal(size=(9, 50)).astype(np.float32)
    step_x, step_w = np.abs(x).max(axis=1)[:, None] / 254, absmax / 254
    bound = step_x * np.abs(weight).sum(axis=1) + step_w * np.abs(x).sum(axis=1)[:, None] + 50 * step_x * step_w
    assert (np.abs(int8.matmul(x, codes, absmax) - x @ weight.T) <= bound).all()


def test_splitting_outliers_off_is_what_saves_the_rest():
    rng = np.random.default_rng(3)
    weight, x = rng.normal(size=(64, 128)).astype(np.float32), rng.normal(size=(16, 128)).astype(np.float32)
    x[:, 5] *= 60
    codes, absmax = int8.quantize_rows(weight)
    split, without = (np.abs(int8.matmul(x, codes, absmax, threshold=t) - x @ weight.T).mean() for t in (6.0, np.inf))
    paper = np.abs(int8.matmul(x, codes, absmax, outlier_weight=weight) - x @ weight.T).mean()
    assert paper < split < without / 2
    np.testing.assert_array_equal(
        int8.matmul(x, codes, absmax, threshold=0.0), int8.matmul(x, codes, absmax, threshold=np.inf)
    )


def test_an_entry_just_at_the_threshold_is_an_outlier():
    x = np.array([[6.0, 1.0], [-5.9, 0.5]], np.float32)
    assert int8.outlier_columns(x).tolist() == [0]
    assert int8.outlier_columns(x, 6.1).tolist() == [] == int8.outlier_columns(np.zeros((0, 2)), 6.0).tolist()


def test_zero_rows_tiny_and_huge_numbers():
    weight = np.array([[0, 0, 0], [1e-45, 0, -1e-45], [1e-38, 3e-38, 0], [3e38, -3e38, 1e38]], np.float32)
    codes, absmax = int8.quantize_rows(weight)
    assert codes.tolist() == [[0, 0, 0], [127, 0, -127], [42, 127, 0], [127, -127, 42]]
    np.testing.assert_allclose(int8.dequantize_rows(codes, absmax), weight, rtol=0.01, atol=1e-45)
    with np.errstate(all="raise", under="ignore"):
        y = int8.matmul(np.array([[0, 0, 0], [1e-40, 0, 1e-42], [1e-3, 2e-3, 0]], np.float32), codes[:3], absmax[:3])
    assert (y[0] == 0).all() and np.isfinite(y).all()


def test_shapes_dtypes_and_what_is_left_alone():
    rng = np.random.default_rng(4)
    weight, x = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(2, 3, 8)).astype(np.float32)
    codes, absmax = int8.quantize_rows(weight)
    y = int8.matmul(x, codes, absmax)
    assert y.shape == (2, 3, 5) and y.dtype == np.float32
    assert int8.matmul(x.astype(np.float64), codes, absmax, np.ones(5)).dtype == np.float64
    assert int8.matmul(x[0, 0], codes, absmax).shape == (5,) and int8.matmul(x[:0], codes, absmax).shape == (0, 3, 5)
    np.testing.assert_array_equal(int8.matmul(x[0, 0], codes, absmax), int8.matmul(x[:1, 0], codes, absmax)[0])
    x[0, 0, 0] = 50
    before = x.copy(), codes.copy(), absmax.copy(), weight.copy()
    int8.matmul(x, codes, absmax, outlier_weight=weight)
    for a, b in zip(before, (x, codes, absmax, weight), strict=True):
        np.testing.assert_array_equal(a, b)
    for kind in (np.float16, ml_dtypes.bfloat16):
        short = weight.astype(kind)
        for a, b in zip(int8.quantize_rows(short), int8.quantize_rows(short.astype(np.float32)), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert int8.quantize_rows(weight.astype(np.float64))[1].dtype == np.float64
    wide = int8.matmul(x, codes, absmax, outlier_weight=weight.astype(np.float64))
    assert wide.dtype == np.float32


def test_sums_that_an_int32_just_holds():
    row = np.full((1, MOST_INPUTS), -128, np.int8)
    assert int8_matmul(row, row).item() == MOST_INPUTS * 128**2 <= 2**31 - 1 < (MOST_INPUTS + 1) * 128**2
    with pytest.raises(ValueError, match="131072 inputs can overflow an int32, at most 131071 cannot"):
        int8_matmul(*2 * [np.zeros((1, MOST_INPUTS + 1), np.int8)])
    # sums above 2^24, which float32 would round
    row[:] = 127
    row[0, 0] = 126
    assert int8_matmul(row, row).item() == (MOST_INPUTS - 1) * 127**2 + 126**2


def test_what_does_not_fit_is_refused():
    x, codes, absmax = np.ones((2, 3), np.float32), np.ones((4, 3), np.int8), np.ones(4, np.float32)
    bad = np.array([[1.0, np.nan, 0.0]])
    for call, error, message in (
        (lambda: int8.quantize_rows(bad), ValueError, r"weight at \(0, 1\) is nan"),
        (lambda: int8.quantize_rows(np.ones(3)), ValueError, r"matrix \(outputs, inputs\), got the shape \(3,\)"),
        (lambda: int8.quantize_rows(np.ones((2, 2), int)), TypeError, "got int64"),
        (lambda: int8.matmul(bad, codes, absmax), ValueError, "not finite"),
        (lambda: int8.matmul(x[:, :2], codes, absmax), ValueError, r"x \(..., 3\) in float32 or float64 .* \(2, 2\)"),
        (lambda: int8.matmul(x.astype(np.float16), codes, absmax), ValueError, "got float16"),
        (lambda: int8.matmul(x.astype(int), codes, absmax), TypeError, "int8.matmul works on float32 or float64"),
        (lambda: int8.matmul(np.float32(1), codes, absmax), TypeError, "int8.matmul works on"),
        (lambda: int8.matmul(x, codes.astype(int), absmax), TypeError, "codes are int8 .* got int64"),
        (lambda: int8.matmul(x, codes, absmax[:3]), ValueError, r"got \(4, 3\) and \(3,\)"),
        (lambda: int8.matmul(x, codes, absmax, np.ones(3)), ValueError, r"bias has shape \(3,\), expected \(4,\)"),
        (lambda: int8.matmul(x, codes, absmax, threshold=-1), ValueError, "above 0, or 0 for no outliers, not -1"),
        (lambda: int8.matmul(x, codes, absmax, threshold=np.nan), ValueError, "not nan"),
        (lambda: int8.matmul(x, codes, absmax, threshold="6"), ValueError, "not '6'"),
        (lambda: int8.matmul(x, codes, absmax, outlier_weight=np.ones((3, 4))), ValueError, "outlier_weight has shape"),
        (lambda: int8.matmul(x, codes, absmax, outlier_weight=bad), ValueError, r"outlier_weight at \(0, 1\) is nan"),
    ):
        with pytest.raises(error, match=message):
            call()
