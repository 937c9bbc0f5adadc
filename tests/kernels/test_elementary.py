"""The float32 functions that LLVM vectorises, against float64 over all exponents; NaN and infinities.

They are reached through the kernels exp, tanh, sigmoid and gelu, so that the suite also runs on the NumPy
twins, whose errors are smaller. The bounds are those stated in kernels/compiled/elementary.py.
"""

import math

import numpy as np
import pytest

from llm_from_scratch.kernels import activations, softmax
from llm_from_scratch.kernels.dispatch import backend

TINY = 2.0**-126  # the smallest normal float32
HUGE = float(np.finfo(np.float32).max)
EDGES = np.array(
    [
        0.0,
        -0.0,
        1e-45,
        -1e-45,
        1e-38,
        -1e-38,
        0.65,
        -0.65,
        0.6499999,
        88.72283,
        88.722832,
        88.72284,
        89.0,
        1e38,
    ]
    + [-87.33654, -87.336548, -87.4, -88.0, -103.97, -104.0, -1e38, 9.01, -9.01, 13.2, -13.2, 13.3, -13.3],
    np.float32,
)


def _sweep():
    """Every 4099th bit pattern, dense samples where the functions bend, and the edges."""
    bits = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    everywhere = bits.view(np.float32)
    rng = np.random.default_rng(0)
    dense = [rng.uniform(-width, width, 200_000).astype(np.float32) for width in (1.0, 10.0, 90.0)]
    return np.concatenate([everywhere[np.isfinite(everywhere)], *dense, EDGES])


X = _sweep()


def _ulps(got, exact):
    """The error in units in the last place of the exact result, where that is a normal float32."""
    normal = (np.abs(exact) >= TINY) & (np.abs(exact) <= HUGE)
    unit = np.spacing(np.abs(exact[normal]).astype(np.float32)).astype(np.float64)
    return np.abs(got[normal].astype(np.float64) - exact[normal]) / unit


def _exact_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


@pytest.mark.parametrize(
    "kernel, exact, bound",
    [
        (activations.exp, np.exp, 2.0),
        (activations.tanh, np.tanh, 3.0),
        (activations.sigmoid, _exact_sigmoid, 3.0),
    ],
    ids=["exp", "tanh", "sigmoid"],
)
def test_errors_stay_within_the_stated_bound(kernel, exact, bound):
    with np.errstate(over="ignore", under="ignore"):
        wanted = exact(X.astype(np.float64))
    got = kernel(X)
    assert got.dtype == np.float32
    # NumPy states no bound for its own float32 functions, which are the twins' here; they stay within 4 as
    # well.
    assert _ulps(got, wanted).max() <= (bound if backend() == "numba" else 4.0)
    if kernel is activations.tanh:  # near 0 it is x itself, subnormal numbers included
        small = np.abs(X) < 1e-5
        np.testing.assert_allclose(got[small], X[small], rtol=1e-6)
    else:
        assert (got[wanted > HUGE * (1 + 1e-7)] == np.inf).all()


def test_exp_below_the_normal_numbers_is_exactly_zero():
    below = X[X < -87.33655]
    assert below.size > 1000
    assert (activations.exp(below) == 0).all()
    assert activations.exp(np.array([-87.33654], np.float32))[0] >= TINY


def test_gelu_keeps_its_digits_in_the_tail():
    """x Phi(x) relative to itself, not to 1: 1 + erf would have lost every digit below -5."""
    x = X[(X > -13) & (X < 20) & (np.abs(X) > 1e-30)][::17]
    wanted = np.array([v * 0.5 * math.erfc(-v * math.sqrt(0.5)) for v in x.tolist()])
    got = activations.gelu(x).astype(np.float64)
    # One rounding of x^2 / 2 in the exponent, which the exponential multiplies by its size.
    allowed = (9 + x.astype(np.float64) ** 2) * 6e-8 * np.abs(wanted) + TINY
    assert (np.abs(got - wanted) <= allowed).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name, at_minus, at_plus",
    [("exp", 0.0, np.inf), ("tanh", -1.0, 1.0), ("sigmoid", 0.0, 1.0)],
)
def test_infinities_and_nan(dtype, name, at_minus, at_plus):
    kernel = getattr(activations, name)
    x = np.array([-np.inf, np.inf, np.nan, 1.0] * 9, dtype)  # long enough for the vectorised part and the rest
    with np.errstate(over="ignore"):
        y = kernel(x)
    assert (y[0::4] == at_minus).all()
    assert (y[1::4] == at_plus).all()
    assert np.isnan(y[2::4]).all()
    assert np.isfinite(y[3::4]).all()


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out(name, dtype):
    x = np.array([-1e4, 1e4, np.inf, np.nan, 0.0] * 9, dtype)
    y = getattr(activations, name)(x)
    assert (y[0::5] == 0).all() and (y[1::5] == x[1::5]).all() and (y[2::5] == np.inf).all()
    assert np.isnan(y[3::5]).all() and (y[4::5] == 0).all()


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
def test_float64_takes_the_exact_path(name):
    x = np.random.default_rng(0).uniform(-20, 20, 2000)
    exact = {"exp": math.exp, "tanh": math.tanh, "sigmoid": lambda v: 1 / (1 + math.exp(-v))}[name]
    np.testing.assert_allclose(getattr(activations, name)(x), [exact(v) for v in x], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_row_maximum_sees_every_sign_and_special_value(dtype):
    """The compiled version compares floats as integers; softmax shows it: it is 1 at a lone maximum."""
    rng = np.random.default_rng(0)
    for width in (1, 2, 15, 16, 17, 100):
        x = rng.choice([-np.inf, -1e30, -5.0, -0.0, 0.0, 2e-30, 3.0], (50, width)).astype(dtype)
        at = rng.integers(0, width, 50)
        for lone in (-2.0, 500.0):
            row = np.minimum(x, lone - 300)
            row[np.arange(50), at] = lone
            y = softmax.softmax(row)
            assert (y[np.arange(50), at] == 1).all() and (y.sum(-1) == 1).all()


@pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")
@pytest.mark.parametrize("dtype, bound", [(np.float32, 3), (np.float64, 1)])
def test_log1p_keeps_the_digits_of_small_arguments(dtype, bound):
    from llm_from_scratch.kernels.compiled import elementary
    from llm_from_scratch.kernels.dispatch import compiled

    @compiled(cache=False)
    def run(x, y):
        for i in range(x.size):
            y[i] = elementary.log1p(x[i])

    rng = np.random.default_rng(0)
    small = np.exp(rng.uniform(-87, 0, 100_000)) * rng.choice([-0.5, 0.5], 100_000)
    x = np.concatenate([X[(X >= -0.5)], small, rng.uniform(-0.5, 3, 100_000)]).astype(dtype)
    y = np.empty_like(x)
    run(x, y)
    exact = np.log1p(x.astype(np.longdouble))
    normal = np.abs(exact) >= np.finfo(dtype).tiny
    ulps = np.abs(y[normal] - exact[normal]) / np.spacing(np.abs(exact[normal]).astype(dtype))
    assert ulps.max() < bound
