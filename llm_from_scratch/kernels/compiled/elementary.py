"""exp, tanh, sigmoid and the normal distribution's functions, for use inside compiled loops.

Numba from PyPI has no vector mathematics library: a loop that calls `math.exp` runs one element at a time,
through a call. In float32 these functions are polynomials without branches or calls, which LLVM turns into
vector instructions. In float64 they are the exact library functions. Numba picks one by the argument's type.

Errors in float32, tested against float64 over all exponents (ulp: unit in the last place of the true result):

    exp         2 ulp; 0 where the result would be subnormal (below 2^-126), inf above the largest float32
    log1p       3 ulp, for -0.5 <= x and finite
    tanh        3 ulp sigmoid     3 ulp; 0 below -87.3, where the result would be subnormal normal
    probability 8 ulp from -2 upwards, density 3 ulp within 2 of zero; further out the relative error of
                both grows as 1e-7 x^2, and they are 0 beyond 13.2 (where exp(-x^2 / 2) would be subnormal)

NaN gives NaN in all of them. The coefficients are weighted least-squares fits, reweighted until the largest
relative error was least, then rounded to float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

f4 = np.float32

# No "reassoc" here: the roundings below are meant as written.
OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}}


def _by_dtype(single: Callable[[Any], Any], double: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function for compiled code: `single` for a float32 argument, `double` for a float64."""

    def function(x: Any) -> Any:
        raise TypeError("this function exists inside compiled code only")

    @overload(function, jit_options=OPTIONS)
    def choose(x):
        if x == types.float32:
            return single
        if x == types.float64:
            return double
        raise TypeError(f"elementary functions take float32 or float64, not {x}")

    return function


# --- exp: exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2

_LOG2_E = f4(1.44269504)
_LN2_HIGH, _LN2_LOW = f4(0.693359375), f4(-2.12194440e-4)  # the high part has few bits: n times it is exact
_ROUND = f4(12582912.0)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits of the sum
_E2, _E3, _E4, _E5, _E6 = f4(0.5), f4(0.16666518), f4(0.041666206), f4(0.008368954), f4(0.0013950602)
_EXP_LOWEST = f4(-87.336540)  # the smallest float32 whose exp is not below 2^-126
_EXP_HIGHEST = f4(88.722832)  # the largest float32 whose exp is finite


@register_jitable(**OPTIONS)
def _exp_single(x):
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = f4(1.0) + (r + (r * r) * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))
    # Multiply by 2^n by adding n to the exponent. Out of range the bits are nonsense, and replaced below.
    bits = np.int32(f4(p).view(np.int32) + np.int32(f4(shifted).view(np.int32) << np.int32(23)))
    y = bits.view(np.float32)
    y = y if x >= _EXP_LOWEST else f4(0.0)
    y = y if x <= _EXP_HIGHEST else f4(np.inf)
    return y if x == x else x


exp = _by_dtype(lambda x: _exp_single(x), lambda x: math.exp(x))


# --- log1p: log(1 + x) = n ln 2 + 2 artanh(f / (2 + f)) with 1 + x = 2^n (1 + f) and 1 + f near 1

_LN2 = f4(0.6931472)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_A3, _A5, _A7, _A9 = f4(1 / 3), f4(1 / 5), f4(1 / 7), f4(1 / 9)  # artanh's own series: f / (2 + f) is below 0.172


@register_jitable(**OPTIONS)
def _log1p_single(x):
    y = f4(1.0) + x
    bits = f4(y).view(np.int32)
    n = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> np.int32(23))
    scaled = np.int32(bits - np.int32(n << np.int32(23))).view(np.float32)
    f = x if n == np.int32(0) else scaled - f4(1.0)  # not 1 + x - 1, which loses the digits of a small x
    s = f / (f4(2.0) + f)
    square = s * s
    return f4(n) * _LN2 + f4(2.0) * (s + s * (square * (_A3 + square * (_A5 + square * (_A7 + square * _A9)))))


log1p = _by_dtype(lambda x: _log1p_single(x), lambda x: math.log1p(x))


# --- sigmoid


@register_jitable(**OPTIONS)
def _sigmoid_single(x):
    # exp of -|x| never overflows, and 1 - sigmoid(|x|) = e / (1 + e) keeps the digits of small results.
    e = _exp_single(-abs(x))
    return (f4(1.0) if x >= f4(0.0) else e) / (f4(1.0) + e)


@register_jitable(**OPTIONS)
def _sigmoid_double(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


sigmoid = _by_dtype(lambda x: _sigmoid_single(x), lambda x: _sigmoid_double(x))


# --- tanh: an odd polynomial near 0, where 1 - 2 / (exp(2x) + 1) would lose all its digits

_T3, _T5, _T7 = f4(-0.3333326), f4(0.1333083), f4(-0.05368802)
_T9, _T11 = f4(0.020469418), f4(-0.0055151612)


@register_jitable(**OPTIONS)
def _tanh_single(x):
    size = abs(x)
    square = x * x
    near = x + x * (square * (_T3 + square * (_T5 + square * (_T7 + square * (_T9 + square * _T11)))))
    far = f4(1.0) - f4(2.0) / (_exp_single(size + size) + f4(1.0))
    far = far if x >= f4(0.0) else -far
    return near if size < f4(0.65) else far


tanh = _by_dtype(lambda x: _tanh_single(x), lambda x: math.tanh(x))


# --- The standard normal distribution: Phi(-a) = exp(-a^2 / 2) s q(s) for a >= 0, with s = 1 / (1 + 0.3 a)

_Q0, _Q1, _Q2, _Q3, _Q4 = f4(0.11968662), f4(0.11957284), f4(0.11022732), f4(0.07842561), f4(0.09605774)
_Q5, _Q6, _Q7, _Q8, _Q9 = f4(-0.07924716), f4(0.19158147), f4(-0.22806734), f4(0.1123757), f4(-0.020612814)
_DENSITY_AT_ZERO = f4(0.3989423)  # 1 / sqrt(2 pi)


@register_jitable(**OPTIONS)
def _normal_single(x):
    size = abs(x)
    e = _exp_single(f4(-0.5) * (size * size))
    s = f4(1.0) / (f4(1.0) + f4(0.3) * size)
    q = _Q5 + s * (_Q6 + s * (_Q7 + s * (_Q8 + s * _Q9)))
    q = _Q0 + s * (_Q1 + s * (_Q2 + s * (_Q3 + s * (_Q4 + s * q))))
    tail = e * (s * q)
    return (f4(1.0) - tail if x >= f4(0.0) else tail), e * _DENSITY_AT_ZERO


@register_jitable(**OPTIONS)
def _normal_double(x):
    return 0.5 * math.erfc(-x * 0.7071067811865476), math.exp(-0.5 * x * x) * 0.3989422804014327


normal = _by_dtype(lambda x: _normal_single(x), lambda x: _normal_double(x))
"""(Phi(x), phi(x)): probability below x and density at x. Together they cost little more than one."""


# --- The largest entry of a row. A float comparison that must respect NaN does not vectorise; integers do.


def maximum(row: Any) -> Any:
    """The largest entry of a contiguous row, -inf for an empty one; a positive NaN is the largest of all."""
    raise TypeError("this function exists inside compiled code only")


@register_jitable(**OPTIONS)
def _maximum_single(row):
    # Read as integers, floats of one sign are in order; flipping the lower bits of the negative ones orders
    # them all.
    bits = row.view(np.int32)
    best = np.int32(-2139095041)  # the image of -inf
    for i in range(bits.size):
        key = np.int32(bits[i] ^ (np.int32(bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        best = max(best, key)
    best = np.int32(best ^ (np.int32(best >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    return best.view(np.float32)


@register_jitable(**OPTIONS)
def _maximum_double(row):
    bits = row.view(np.int64)
    best = np.int64(-9218868437227405313)
    for i in range(bits.size):
        best = max(best, bits[i] ^ ((bits[i] >> 63) & 0x7FFFFFFFFFFFFFFF))
    best = np.int64(best ^ ((best >> 63) & 0x7FFFFFFFFFFFFFFF))
    return best.view(np.float64)


@overload(maximum, jit_options=OPTIONS)
def _choose_maximum(row):
    if row.dtype == types.float32:
        return lambda row: _maximum_single(row)
    if row.dtype == types.float64:
        return lambda row: _maximum_double(row)
    raise TypeError(f"maximum takes float32 or float64, not {row.dtype}")
