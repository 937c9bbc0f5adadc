"""What the grader looks at in chapter 24. Nothing is hidden: read on if a message leaves you wondering.

Floats are compared with Python's struct, or looked for among all codes of a small format, with fractions; the rest is
counted out entry by entry in Python's own numbers.
"""

from __future__ import annotations

import math
import struct
import warnings
from fractions import Fraction

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_that, inputs_stay_unchanged


def calmly(function, *arguments):
    """Call it with warnings turned into failures."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*arguments)


# --- float_bits ---


def half(x):
    return struct.unpack("<H", struct.pack("<e", x))[0]


def single(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def value(code, exponent_bits, mantissa_bits):
    """What a code of a positive, finite number stands for, exactly; the code of infinity as the number after the
    last."""
    bias = 2 ** (exponent_bits - 1) - 1
    exponent, mantissa = code >> mantissa_bits, code & (2**mantissa_bits - 1)
    whole = mantissa + (2**mantissa_bits if exponent else 0)
    return whole * Fraction(2) ** (max(exponent, 1) - bias - mantissa_bits)


def among_all(x, exponent_bits, mantissa_bits):
    """The nearest of all codes, the even one of two."""
    infinity = (2**exponent_bits - 1) << mantissa_bits
    distance = [abs(value(code, exponent_bits, mantissa_bits) - Fraction(abs(x))) for code in range(infinity + 1)]
    code = min(range(infinity + 1), key=lambda c: (distance[c], c % 2))
    return code | int(x < 0) << (exponent_bits + mantissa_bits)


@check("float_bits")
def halves_by_hand(float_bits):
    """float16: 1.0, -6.5, 0.1 and 65504, whose bits can be looked up"""
    got = type(float_bits(1.0, 5, 10))
    check_that(got is int, f"the code must be a Python int, not {got.__name__}", "wrap it in int(...).")
    expected = ["0x3c00", "0xc680", "0x2e66", "0x7bff"]
    numbers = (1.0, -6.5, 0.1, 65504.0)
    plain = [half(x) for x in numbers]
    causes = {
        "the bias is one too large": [f"{min((c & 0x7FFF) + 0x400, 0x7C00) | c & 0x8000:#06x}" for c in plain],
        "the bias is one too small": [f"{c - 0x400:#06x}" for c in plain],
        "the sign is missing": [f"{c & 0x7FFF:#06x}" for c in plain],
        "exponent and mantissa are exchanged": [f"{c & 0x8000 | (c & 0x3FF) << 5 | c >> 10 & 31:#06x}" for c in plain],
        "the 1 before the mantissa was stored": [f"{(c & 0xFC00) | 0x200 | (c & 0x3FF) >> 1:#06x}" for c in plain],
    }
    check_equal("the codes", [f"{float_bits(x, 5, 10):#06x}" for x in numbers], expected, causes)


@check("float_bits")
def zeros(float_bits):
    """0.0 and -0.0: all bits clear, but for the sign"""
    check_equal("the code of 0.0", float_bits(0.0, 5, 10), 0)
    causes = {"the sign of -0.0 is lost: -0.0 < 0 is False, math.copysign(1.0, x) < 0 is not": 0}
    check_equal("the code of -0.0", float_bits(-0.0, 5, 10), 0x8000, causes)


@check("float_bits")
def subnormal_numbers(float_bits):
    """below 2 ** -14 in float16, steps of 2 ** -24"""
    steps = [1, 2, 3, 100, 1023, 1024]
    causes = {"small numbers became zero": [0, 0, 0, 0, 0, 1024]}
    check_equal("the codes", [float_bits(k * 2.0**-24, 5, 10) for k in steps], steps, causes)
    tiny = [float_bits(x, 5, 10) for x in (1e-8, -1e-8, 4e-8, 5e-324)]
    check_equal("the codes of 1e-8, -1e-8, 4e-8, 5e-324", tiny, [0, 0x8000, 1, 0])


@check("float_bits")
def ties_go_to_even(float_bits):
    """half way between two numbers of float16, and of its subnormal ones"""
    numbers = [1 + k * 2.0**-11 for k in (1, 3, 5)] + [0.5 * 2.0**-24, 1.5 * 2.0**-24, -2.5 * 2.0**-24]
    expected = [0x3C00, 0x3C02, 0x3C02, 0, 2, 0x8002]
    causes = {
        "halves go up": [0x3C01, 0x3C02, 0x3C03, 1, 2, 0x8003],
        "the rest was cut off": [0x3C00, 0x3C01, 0x3C02, 0, 1, 0x8002],
    }
    check_equal("the codes", [float_bits(x, 5, 10) for x in numbers], expected, causes)


@check("float_bits")
def carries(float_bits):
    """rounded up to the next power of two, and from the subnormal numbers to the first normal one"""
    numbers = [2 - 2.0**-12, -(4 - 2.0**-11), 1023.6 * 2.0**-24]
    expected = [0x4000, 0xC400, 0x400]
    causes = {
        "the mantissa ran over: it must carry into the exponent": [0x3C00, 0xC000, 0],
        "the mantissa was held at its largest": [0x3FFF, 0xC3FF, 0x3FF],
    }
    check_equal("the codes", [float_bits(x, 5, 10) for x in numbers], expected, causes)


@check("float_bits")
def beyond_the_largest(float_bits):
    """65519 is the largest number, 65520 is infinity, and so are 1e300 and infinity"""
    numbers = [65519.99, 65520.0, -65520.0, 1e300, math.inf, -math.inf]
    expected = [0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0x7C00, 0xFC00]
    causes = {"what is too large became the largest number": [0x7BFF, 0x7BFF, 0xFBFF, 0x7BFF, 0x7C00, 0xFC00]}
    check_equal("the codes", [float_bits(x, 5, 10) for x in numbers], expected, causes)


@check("float_bits")
def other_formats(float_bits, rng):
    """float32 as struct has it; four and five bits of exponent with few of mantissa, by trying all codes; random
    numbers"""
    for x in [*rng.normal(size=20).tolist(), *(10.0 ** rng.uniform(-45, 38, 30) * rng.choice([-1, 1], 30))]:
        check_equal(f"the code of {float(x)!r} in 8 + 23 bits", float_bits(float(x), 8, 23), single(x))
    for exponent_bits, mantissa_bits in ((4, 3), (5, 2), (3, 4), (2, 1)):
        last = float(value((2**exponent_bits - 1) << mantissa_bits, exponent_bits, mantissa_bits))
        for x in [*(last * rng.uniform(-1, 1, 20)), *(last * 2.0 ** -rng.uniform(0, 12, 20))]:
            name = f"the code of {float(x)!r} in {exponent_bits} + {mantissa_bits} bits"
            check_equal(
                name, float_bits(float(x), exponent_bits, mantissa_bits), among_all(x, exponent_bits, mantissa_bits)
            )


# --- quantize_rows ---


def rows_one_by_one(weight):
    codes, largest = [], []
    for row in weight.tolist():
        top = max(abs(v) for v in row)
        scale = float(np.float32(127) / np.float32(top)) if top else 0.0
        codes.append([round(float(np.float32(v) * np.float32(scale))) for v in row])
        largest.append(top)
    return np.array(codes, np.int8), np.array(largest, np.float32)


@check("quantize_rows")
def rows_by_hand(quantize_rows):
    """two rows with a scale each; the largest magnitude of the first is negative"""
    weight = np.array([[1.0, -2.0, 0.25], [0.125, 0.0, 0.0625]], np.float32)
    codes, absmax = quantize_rows(weight)
    wrong = {
        "one scale for the whole matrix": [[64, -127, 16], [8, 0, 4]],
        "columns have a scale instead of rows": [[127, -127, 127], [16, 0, 32]],
        "the largest number was taken, not the largest magnitude": [[127, 2, 32], [127, 0, 64]],
        "codes wrapped around: the largest code is 127": [[64, -128, 16], [-128, 0, 64]],
        "four bits instead of eight": [[4, -7, 1], [7, 0, 4]],
        "the sign is missing": [[64, 127, 16], [127, 0, 64]],
    }
    causes = {words: np.array(v, np.int8) for words, v in wrong.items()}
    check_close("the codes", codes, np.array([[64, -127, 16], [127, 0, 64]], np.int8), 0.1, causes)
    check_close("absmax", absmax, np.array([2.0, 0.125], np.float32), 1e-6)


@check("quantize_rows")
def halves_to_even(quantize_rows):
    """a row whose scale is 1: 0.5, 1.5, 2.5 and the like"""
    weight = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 99.75, -99.75]], np.float32)
    causes = {
        "the rest was cut off": np.array([[127, 0, 1, 2, 0, -1, 99, -99]], np.int8),
        "halves go up": np.array([[127, 1, 2, 3, 0, -1, 100, -100]], np.int8),
        "halves go away from zero": np.array([[127, 1, 2, 3, -1, -2, 100, -100]], np.int8),
    }
    expected = np.array([[127, 0, 2, 2, 0, -2, 100, -100]], np.int8)
    check_close("the codes", quantize_rows(weight)[0], expected, 0.1, causes)


@check("quantize_rows")
def rows_of_zeros(quantize_rows):
    """a row of zeros between others, and nothing but zeros; no warning"""
    weight = np.array([[3.0, 1.0], [0.0, 0.0], [-1e-20, 2e-20]], np.float32)
    codes, absmax = calmly(quantize_rows, weight)
    check_close("the codes", codes, np.array([[127, 42], [0, 0], [-64, 127]], np.int8), 0.1)
    check_close("absmax", absmax, np.array([3.0, 0.0, 2e-20], np.float32), 1e-6)
    check_equal("the codes of a single zero", calmly(quantize_rows, np.zeros((1, 1), np.float32))[0].tolist(), [[0]])


@check("quantize_rows")
def many_rows(quantize_rows, rng):
    """random matrices, wide and tall, of very different size, int8 and float32"""
    for shape in ((5, 40), (30, 3), (1, 1), (4, 1)):
        weight = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6, (shape[0], 1))).astype(np.float32)
        codes, absmax = quantize_rows(weight)
        expected = rows_one_by_one(weight)
        check_close("the codes", codes, expected[0], 0.1)
        check_equal("absmax", absmax, expected[1])


# --- int8_matmul ---


def product(x, codes, absmax, threshold=6.0, *, zeroed=True, whole_columns=True, twice=False, split=True):
    """Entry by entry in Python's numbers, and as the common mistakes have it."""
    out = [i for i in range(x.shape[1]) if split and any(abs(v) >= threshold for v in x[:, i].tolist())]
    y = np.zeros((len(x), len(codes)))
    for n, row in enumerate(x.tolist()):
        inside = [v for i, v in enumerate(row) if abs(v) < threshold or not split or not zeroed]
        top = max(map(abs, inside), default=0.0)
        scale = float(np.float32(127) / np.float32(top)) if top else 0.0
        for o, line in enumerate(codes.tolist()):
            total, beside = 0, 0.0
            for i, v in enumerate(row):
                as_float = i in out and (whole_columns or abs(v) >= threshold)
                if as_float:
                    beside += v * line[i] / 127 * float(absmax[o])
                if (not as_float or twice) and not (split and abs(v) >= threshold):
                    total += round(float(np.float32(v) * np.float32(scale))) * line[i]
            y[n, o] = total * top * float(absmax[o]) / 127**2 + beside
    return y.astype(np.float32)


def a_weight(rng, outputs, inputs):
    return rows_one_by_one(rng.normal(size=(outputs, inputs)).astype(np.float32))


@check("int8_matmul")
def without_outliers(int8_matmul):
    """two rows, two outputs, and whole numbers all along"""
    x = np.array([[5.0, 0.0, -2.5], [0.0, 1.0, 0.5]], np.float32)
    codes, absmax = np.array([[127, 10, 0], [-64, 127, 20]], np.int8), np.array([12.7, 25.4], np.float32)
    expected = product(x, codes, absmax)
    rows = np.array([5.0, 1.0], np.float32)[:, None]
    causes = {
        "the scale of x is missing": expected / rows * 127,
        "absmax of the weight is missing": expected / absmax * 127,
        "a scale is missing: absmax over 127 is, twice": expected * 127,
        "both 127 are missing": expected * 127 * 127,
        "x was not rounded to int8": (x @ (codes.T / np.float32(127) * absmax)).astype(np.float32),
    }
    check_close("y", int8_matmul(x, codes, absmax), expected, 1e-4, causes)


@check("int8_matmul")
def one_outlier(int8_matmul):
    """a single row with one large number: the others keep their precision"""
    x = np.array([[0.3, -60.0, 0.7, 0.05]], np.float32)
    codes, absmax = np.array([[40, 127, -90, 127], [127, 3, 5, -100]], np.int8), np.array([2.0, 3.0], np.float32)
    expected = product(x, codes, absmax)
    causes = {
        "the outlier took the scale: nothing was split off": product(x, codes, absmax, split=False),
        "the outlier took the scale of its row": product(x, codes, absmax, zeroed=False),
        "the outlier column is missing": expected - x[:, 1:2] @ (codes[:, 1:2] / np.float32(127) * absmax[:, None]).T,
    }
    check_close("y", int8_matmul(x, codes, absmax), expected, 1e-4, causes)


@check("int8_matmul")
def in_company(int8_matmul):
    """a column is an outlier because of another row: it leaves the int8 product in all of them"""
    x = np.array([[20.0, 1.0, 0.25], [5.5, 0.03, -0.02], [0.1373, -0.5, 0.125]], np.float32)
    codes, absmax = np.array([[120, -30, 127], [127, 100, -7]], np.int8), np.array([1.5, 0.5], np.float32)
    expected = product(x, codes, absmax)
    without = x.copy()
    without[:, 0] = 0
    causes = {
        "the column counts twice, in float and in codes": product(x, codes, absmax, twice=True),
        "only the outlier entries left the int8 product": product(x, codes, absmax, whole_columns=False),
        "5.5 must count for the scale of its row": expected
        - product(without * 0 + np.where(np.abs(x) < 6, x, 0), codes * [[0, 1, 1]], absmax)
        + product(without, codes, absmax),
    }
    check_close("y", int8_matmul(x, codes, absmax), expected, 1e-5, causes)


@check("int8_matmul")
def at_the_threshold(int8_matmul):
    """exactly 6 is an outlier, and so is -6; another threshold"""
    codes, absmax = np.array([[127, 64, -100]], np.int8), np.array([1.0], np.float32)
    for x, threshold in (([6.0, 0.013, 0.021], 6.0), ([-6.0, 0.013, 0.021], 6.0), ([3.0, 0.013, 0.021], 2.5)):
        row = np.array([x], np.float32)
        causes = {"an entry that equals the threshold is an outlier": product(row, codes, absmax, split=False)}
        if threshold != 6.0:
            causes = {"the threshold is not always 6": product(row, codes, absmax)}
        expected = product(row, codes, absmax, threshold)
        check_close(
            f"y for {x}, threshold {threshold}", int8_matmul(row, codes, absmax, threshold), expected, 1e-5, causes
        )


@check("int8_matmul")
def long_sums(int8_matmul):
    """3,000 inputs, all as large as can be: sums far beyond int8 and int16"""
    x, codes = np.full((1, 3000), 2.0, np.float32), np.full((2, 3000), 127, np.int8)
    codes[1] = -127
    absmax = np.array([1.0, 0.5], np.float32)
    small = np.array([[(3000 * 127 * 127 + 128) % 256 - 128]], np.float32) / 127**2 * 2
    wrapped = small * np.array([1, -0.5], np.float32)
    causes = {"an eight-bit sum wrapped around: convert to np.int32 before the product": wrapped}
    check_close("y", int8_matmul(x, codes, absmax), np.array([[6000.0, -3000.0]], np.float32), 0.05, causes)


@check("int8_matmul")
def random_products(int8_matmul, rng):
    """random matrices with some outliers, a row of zeros, a row of outliers only; no warning"""
    for rows, outputs, inputs in ((4, 5, 12), (1, 3, 7), (6, 1, 30)):
        codes, absmax = a_weight(rng, outputs, inputs)
        x = (2 * rng.normal(size=(rows, inputs))).astype(np.float32)
        x[0, rng.integers(inputs)] = 25.0
        if rows > 1:
            x[1] = 0
            x[2] = 8.0 * np.sign(x[2])
        check_close("y", calmly(int8_matmul, x, codes, absmax), product(x, codes, absmax), 1e-4)
        calm = np.clip(x, -5, 5)
        check_close("y without outliers", int8_matmul(calm, codes, absmax), product(calm, codes, absmax), 1e-4)


# --- pack_nf4 ---

NF4 = np.array(
    [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0, 0.0795803, 0.1609302,
     0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0], np.float32)  # fmt: skip


def nearest(weight, block_size):
    """Codes and magnitudes, one number at a time, among all sixteen."""
    flat, codes, largest = weight.reshape(-1).tolist(), [], []
    for start in range(0, len(flat), block_size):
        block = flat[start : start + block_size]
        top = max(map(abs, block))
        largest.append(top)
        for v in block:
            scaled = np.float32(v) / np.float32(top) if top else np.float32(0)
            codes.append(min(range(16), key=lambda c: (abs(float(scaled) - float(NF4[c])), c)))
    return codes, np.array(largest, np.float32)


def packed(codes, last=7):
    codes = [*codes, last] if len(codes) % 2 else list(codes)
    return np.array([16 * a + b for a, b in zip(codes[::2], codes[1::2], strict=True)], np.uint8)


@check("pack_nf4")
def high_half_first(pack_nf4):
    """1, -1, 0, 1 in one block: 0xf0, 0x7f"""
    given = np.array([1.0, -1.0, 0.0, 1.0], np.float32)
    causes = {
        "the halves of the bytes are exchanged": np.array([0x0F, 0xF7], np.uint8),
        "a code a byte": np.array([15, 0, 7, 15], np.uint8),
        "the first half of the codes and the second half share bytes": np.array([0xF7, 0x0F], np.uint8),
    }
    result, absmax = pack_nf4(given, NF4)
    check_close("packed", result, np.array([0xF0, 0x7F], np.uint8), 0.1, causes)
    check_close("absmax", absmax, np.array([1.0], np.float32), 1e-6)


@check("pack_nf4")
def nearest_of_sixteen(pack_nf4):
    """numbers just beside the borders, and on one; the largest magnitude is negative"""
    borders = (NF4[1:] + NF4[:-1]) / 2
    beside = [borders * (1 - 1e-3), borders * (1 + 1e-3), [-1.0, 0.0]]
    near = np.concatenate(beside).astype(np.float32)
    codes = nearest(near, 64)[0]
    below = np.clip(np.searchsorted(NF4, near, side="right") - 1, 0, 15).tolist()
    causes = {
        "the next code below was taken: the border lies half way": packed(below),
        "the largest number was taken, not the largest magnitude": packed(nearest(near / near.max(), 1000)[0]),
    }
    check_close("packed", pack_nf4(near, NF4)[0], packed(codes), 0.1, causes)
    even = np.arange(-8, 8, dtype=np.float32) / 8
    tie = np.array([-0.9375, -1.0], np.float32)  # half way between -1 and -0.875
    check_equal("packed, half way in another table", pack_nf4(tie, even)[0].tolist(), [0])


@check("pack_nf4")
def blocks_have_their_own(pack_nf4, rng):
    """three blocks over four rows of six, each of another size"""
    weight = rng.normal(size=(4, 6)).astype(np.float32) * np.array([[1], [1], [100], [0.01]], np.float32)
    codes, absmax = nearest(weight, 8)
    causes = {
        "one scale for everything": packed(nearest(weight, 24)[0]),
        "a scale a row: blocks run over the flattened weight": packed(nearest(weight, 6)[0]),
        "blocks of 64, whatever block_size says": packed(nearest(weight, 64)[0]),
        "the weight was transposed": packed(nearest(weight.T, 8)[0]),
    }
    result = pack_nf4(weight, NF4, 8)
    check_close("packed", result[0], packed(codes), 0.1, causes)
    check_close("absmax", result[1], absmax, float(absmax.max()) * 1e-6)


@check("pack_nf4")
def odd_sizes(pack_nf4, rng):
    """counts that no block and no byte divides; a single number"""
    for shape, block_size in (((3, 7), 4), ((5, 13), 64), ((1, 1), 64), ((9,), 2)):
        weight = rng.normal(size=shape).astype(np.float32) * 10
        codes, absmax = nearest(weight, block_size)
        causes = {"the last half byte is not zero's code": packed(codes, 0)} if len(codes) % 2 else {}
        result = pack_nf4(weight, NF4, block_size)
        check_equal(f"packed {shape} in blocks of {block_size}", result[0], packed(codes), causes)
        check_close(f"absmax {shape} in blocks of {block_size}", result[1], absmax, float(absmax.max()) * 1e-6)


@check("pack_nf4")
def blocks_of_zeros(pack_nf4):
    """a block of zeros beside another: the codes of 0, and no warning"""
    weight = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, -3.0, 3.0, 0.0]], np.float32)
    result, absmax = calmly(pack_nf4, weight, NF4, 4)
    check_close("packed", result, np.array([0x77, 0x77, 0x70, 0xF7], np.uint8), 0.1)
    check_close("absmax", absmax, np.array([0.0, 3.0], np.float32), 1e-6)


# --- quantize_q4_1 ---


def block_of(codes, d, m):
    """Bytes of blocks from codes (n, 32) and lists of scales and minima."""
    rows = []
    for row, scale, low in zip(codes, d, m, strict=True):
        halves = [int(a) + 16 * int(b) for a, b in zip(row[:16], row[16:], strict=True)]
        rows.append([*struct.pack("<ee", scale, low), *halves])
    return np.array(rows, np.uint8)


@check("quantize_q4_1")
def one_block(quantize_q4_1):
    """steps of 0.5 from -2 on, the same codes in both halves"""
    codes = np.array([list(range(16)) * 2])
    given = (0.5 * codes - 2).astype(np.float32)
    causes = {
        "scale and minimum are exchanged": block_of(codes, [-2.0], [0.5]),
        "16 steps instead of 15": block_of(np.floor(codes * 16 / 15 + 0.5).clip(0, 15), [7.5 / 16], [-2.0]),
        "the largest number stands where the smallest should": block_of(15 - codes, [0.5], [5.5]),
        "big-endian": block_of(codes, [0.5], [-2.0])[:, [1, 0, 3, 2, *range(4, 20)]],
    }
    check_close("the block", quantize_q4_1(given), block_of(codes, [0.5], [-2.0]), 0.1, causes)


@check("quantize_q4_1")
def order_of_the_halves(quantize_q4_1):
    """another code in every place"""
    codes = np.array([[*range(16), *(3 * k % 16 for k in range(16))]])
    given = (0.25 * codes + 1).astype(np.float32)
    row = codes[0]
    neighbours = np.array([[*row[0::2], *row[1::2]]])
    causes = {
        "neighbours share a byte": block_of(neighbours, [0.25], [1.0]),
        "the halves of the bytes are exchanged": block_of(np.roll(codes, 16, axis=1), [0.25], [1.0]),
    }
    check_close("the block", quantize_q4_1(given), block_of(codes, [0.25], [1.0]), 0.1, causes)


@check("quantize_q4_1")
def halves_go_up(quantize_q4_1):
    """half way between codes, where the scale is exactly 1"""
    values = np.array([[0.0, 15.0, *(k + 0.5 for k in range(14)), *range(16)]], np.float32)
    up = np.array([[0, 15, *range(1, 15), *range(16)]])
    even = np.array([[0, 15, *(2 * ((k + 1) // 2) for k in range(14)), *range(16)]])
    cut = np.array([[0, 15, *range(14), *range(16)]])
    causes = {
        "halves go to the even code": block_of(even, [1.0], [0.0]),
        "the rest was cut off": block_of(cut, [1.0], [0.0]),
    }
    check_close("the block", quantize_q4_1(values), block_of(up, [1.0], [0.0]), 0.1, causes)


@check("quantize_q4_1")
def codes_from_the_exact_scale(quantize_q4_1):
    """d = 0.3335 is 0.33349609375 in float16: a number between the two borders of code 14"""
    d, m = np.float32(0.3335), np.float32(1000.3)  # m is 1000.5 in float16
    values = np.array([[m, m + 15 * d, *np.linspace(1000.4, 1005.2, 30)]], np.float32)
    exact = (values.max() - values.min()) / np.float32(15)
    ratio = (values - values.min()) / exact
    codes = np.floor(ratio + np.float32(0.5)).clip(0, 15)
    stored_m = np.float32(np.float16(values.min()))
    rounded = np.floor((values - stored_m) / np.float32(np.float16(exact)) + np.float32(0.5)).clip(0, 15)
    causes = {"codes were computed with the rounded scale and minimum": block_of(rounded, [exact], [values.min()])}
    check_close("the block", quantize_q4_1(values), block_of(codes, [exact], [values.min()]), 0.1, causes)


@check("quantize_q4_1")
def many_blocks(quantize_q4_1, rng):
    """blocks of very different size, each with its own scale; no code is half way"""
    codes = rng.integers(0, 16, (9, 32))
    codes[:, 0], codes[:, 1] = 0, 15
    d, m = 2.0 ** rng.integers(-8, 6, 9), rng.integers(-20, 20, 9) / 4
    jitter = rng.uniform(-0.4, 0.4, codes.shape) * ((codes > 0) & (codes < 15))
    given = ((codes + jitter) * d[:, None] + m[:, None]).astype(np.float32)
    expected = block_of(codes, d, m)
    result = quantize_q4_1(given)
    firsts = np.concatenate([expected[:1, :4].repeat(9, 0), expected[:, 4:]], axis=1)
    check_close("the blocks", result, expected, 0.1, {"every block has the first block's scale": firsts})
    check_equal("the shape for no blocks", quantize_q4_1(given[:0]).shape, (0, 20))


@check("quantize_q4_1")
def equal_numbers(quantize_q4_1):
    """a block of equal numbers, and one of zeros: d and all codes 0, and no warning"""
    given = np.array([[2.5] * 32, [0.0] * 32, [-1.0] * 32], np.float32)
    check_close(
        "the blocks", calmly(quantize_q4_1, given), block_of(np.zeros((3, 32)), [0.0] * 3, [2.5, 0.0, -1.0]), 0.1
    )


inputs_stay_unchanged("quantize_rows", "int8_matmul", "pack_nf4", "quantize_q4_1")
