"""Chapter 24 exercises: numbers in fewer bits, from a single float to a block of a file.

Everything here is a pure function of numbers or arrays; nothing needs a model. float32 goes in, float32 comes out, and
no array that was handed in is changed. Zeros are ordinary numbers: a row or a block of them must give no warning.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "halves_by_hand: the 1 before the mantissa was stored": (
            "A normal number's mantissa begins with 1 by definition, so that 1 is not written down."
        ),
        "halves_by_hand: the bias is one too large": "The bias is 2 ** (exponent_bits - 1) - 1: 15 for five bits.",
        "subnormal_numbers: small numbers became zero": (
            "Below the smallest normal number the spacing stays what it is there: count in steps of "
            "2 ** (1 - bias - mantissa_bits), with an exponent field of 0."
        ),
        "ties_go_to_even: the rest was cut off": (
            "Round to the nearest; Python's round() takes halves to the even number."
        ),
        "ties_go_to_even: halves go up": "int(x + 0.5) takes every half up; round() takes it to the even number.",
        "carries: the mantissa ran over": (
            "Rounded up, a mantissa can reach 2. Adding its steps to the exponent shifted left lets it carry by itself."
        ),
        "OverflowError: cannot convert float infinity to integer": (
            "Infinity has a code of its own: all exponent bits set."
        ),
    },
    why="""Nothing about a float is magic: it is a whole number of steps, and the exponent says how long a step is. Put
    side by side, exponent before mantissa, the codes of positive numbers are consecutive whole numbers in the order of
    the numbers. That is why rounding up may simply carry from the mantissa into the exponent, from the subnormal
    numbers into the normal ones, and at the top into infinity, without a single special case.""",
)
def float_bits(x: float, exponent_bits: int, mantissa_bits: int) -> int:
    """The code of the nearest number in a format as IEEE 754 has it: a sign, an exponent, a mantissa.

    x: a number, or an infinity; never NaN
    returns: a Python int of 1 + exponent_bits + mantissa_bits bits, the sign on top, the mantissa at the bottom

    The bias is 2 ** (exponent_bits - 1) - 1. A normal number is 2 ** (exponent - bias) * (1 + mantissa / 2 **
    mantissa_bits); an exponent field of 0 holds zero and the subnormal numbers, 2 ** (1 - bias) * mantissa / 2 **
    mantissa_bits. Halves go to the even mantissa. What is, once rounded, beyond the largest number is infinity: all
    exponent bits set, mantissa 0. -0.0 keeps its sign.

    >>> [hex(float_bits(x, 5, 10)) for x in (1.0, -6.5, 0.1)]                        # float16
    ['0x3c00', '0xc680', '0x2e66']
    >>> f"{float_bits(-6.5, 8, 7):016b}"                                              # bfloat16
    '1100000011010000'
    """
    lowest = 2 - 2 ** (exponent_bits - 1)  # the exponent of the smallest normal numbers
    infinity = (2**exponent_bits - 1) << mantissa_bits
    sign = int(math.copysign(1.0, x) < 0) << (exponent_bits + mantissa_bits)
    if math.isinf(x):
        return sign | infinity
    exponent = max(math.frexp(x)[1] - 1, lowest) if x else lowest
    steps = round(math.ldexp(abs(x), mantissa_bits - exponent))
    return sign | min(((exponent - lowest) << mantissa_bits) + steps, infinity)


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "rows_by_hand: one scale for the whole matrix": "Take the largest magnitude along the last axis: one a row.",
        "rows_by_hand: the largest number, not the largest magnitude": "np.abs before max: -2 is larger than 1 here.",
        "rows_by_hand: codes wrapped around": "128 does not fit into int8 and becomes -128. The largest code is 127.",
        "halves_to_even: the rest was cut off": ".astype(np.int8) cuts towards zero: round before it, with np.rint.",
        "RuntimeWarning: divide by zero": "A row of zeros has absmax 0. Divide it by 1 instead.",
    },
    why="""One large weight spoils the scale of everything that shares it. That is why scales are not shared by a
    matrix:
    a row is an output, and its scale can be taken out of the product again, y = (x · codes) * absmax / 127. Finer
    still, groups within a row, would need the product to be cut into pieces; whole matrices would be cheaper and
    worse.""",
)
def quantize_rows(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Absmax quantisation to eight bits, a scale a row.

    weight: (outputs, inputs) float32
    returns: codes (outputs, inputs) int8 in -127 … 127, and absmax (outputs,) float32

    A row is multiplied by 127 / absmax and rounded to the nearest whole number, halves to the even one. A row of zeros
    has absmax 0 and codes 0.

    >>> quantize_rows(np.array([[1.0, -0.5, 0.26]], np.float32))
    (array([[127, -64,  33]], dtype=int8), array([1.], dtype=float32))
    """
    absmax = np.abs(weight).max(axis=1)
    scale = 127 / np.where(absmax > 0, absmax, 1)
    return np.rint(weight * scale[:, None]).astype(np.int8), absmax


@task(
    points=4,
    difficulty="hard",
    minutes=45,
    hints={
        "without_outliers: a scale is missing": (
            "The sum is of codes. Two scales undo it: absmax of the row over 127, twice."
        ),
        "long_sums: an eight-bit sum wrapped around": (
            "int8 times int8 is int8 in NumPy, and wraps. Convert both to np.int32 before the product."
        ),
        "one_outlier: the outlier took the scale": (
            "Set the outlier entries to 0 before you take a row's largest magnitude."
        ),
        "one_outlier: the outlier column is missing": "Multiply x[:, outliers] with the dequantised columns, in float.",
        "in_company: the column counts twice": (
            "A column that is an outlier in one row leaves the int8 product in all rows: set its codes to 0."
        ),
        "in_company: only the outlier entries left": (
            "If one entry is an outlier, the whole column is multiplied in float."
        ),
    },
    why="""In models of several billion parameters a few inputs, the same in nearly all tokens, are twenty times as
    large
    as the rest. Sharing a scale with them leaves the others a handful of codes. They are too few to cost anything in
    floating point, a thousandth of the columns, and too important to be rounded: so the product is split. What is below
    the threshold in an outlier column could stay in int8, but columns are what matrix products are made of.""",
)
def int8_matmul(x: np.ndarray, codes: np.ndarray, absmax: np.ndarray, threshold: float = 6.0) -> np.ndarray:
    """A product with a weight in int8, as bitsandbytes computes LLM.int8().

    x: (N, inputs) float32; codes: (outputs, inputs) int8 and absmax: (outputs,) float32, as quantize_rows makes them
    returns: (N, outputs) float32

    An entry of x is an outlier if its magnitude is at least `threshold`; a column with an outlier in any row is an
    outlier column. The rows of x become int8 as in quantize_rows, with outlier entries counting as 0 for the largest
    magnitude. Outlier columns, whole, do not take part in the product of codes, which is summed in int32. They are
    multiplied in float, as they are, with codes / 127 * absmax, and added.

    >>> codes, absmax = np.array([[127, -64, 33]], np.int8), np.array([1.0], np.float32)
    >>> int8_matmul(np.array([[0.3, 0.7, 60.0]], np.float32), codes, absmax).round(2)
    array([[15.54]], dtype=float32)
    """
    outlier = np.abs(x) >= threshold
    columns = outlier.any(axis=0)
    kept = np.where(outlier, np.float32(0), x)
    largest = np.abs(kept).max(axis=1)
    rows = np.rint(kept * (127 / np.where(largest > 0, largest, 1))[:, None]).astype(np.int8)
    rows[:, columns] = 0
    whole = rows.astype(np.int32) @ codes.T.astype(np.int32)
    in_codes = whole.astype(np.float32) / 127 / 127 * largest[:, None] * absmax
    weight = codes[:, columns].astype(np.float32) / 127 * absmax[:, None]
    return in_codes + x[:, columns] @ weight.T


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "high_half_first: the halves of the bytes are exchanged": (
            "The first of two codes goes into the high half: code << 4."
        ),
        "nearest_of_sixteen: the next code below": "The border between two codes lies half way between their numbers.",
        "blocks_have_their_own: one scale for everything": "Every block of block_size numbers has a largest magnitude.",
        "odd_sizes: the last half byte is not zero's code": (
            "An odd count leaves half a byte. It holds the code of 0, as if one more zero had come."
        ),
        "ValueError: cannot reshape array": (
            "The last block may be short: fill it up with zeros, which change no maximum."
        ),
        "RuntimeWarning: invalid value encountered": "A block of zeros has absmax 0. Divide it by 1 instead.",
    },
    why="""Even steps are right for numbers that are spread evenly. Weights are spread like a bell, so NF4 puts its
    sixteen
    numbers where as many weights fall to each of them. Nothing but the table knows of that: codes are the nearest
    numbers, two a byte, and any other table of sixteen would be packed by the same lines. FP4 is.""",
)
def pack_nf4(weight: np.ndarray, table: np.ndarray, block_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Four bits a weight: the nearest of sixteen numbers, times the largest magnitude of its block.

    weight: any shape, float32, n numbers; table: (16,) float32, ascending, from -1 to 1, with a 0
    returns: packed (ceil(n / 2),) uint8 and absmax (ceil(n / block_size),) float32

    Blocks run over the flattened weight; the last may be short. A code is the index of the number in the table nearest
    to weight / absmax; where two are equally near, the lower. The first of two codes is in the high half of its byte;
    if n is odd, the last low half holds the code of 0. A block of zeros has absmax 0 and the codes of 0.

    >>> table = np.linspace(-1, 1, 16, dtype=np.float32); table[7] = 0
    >>> pack_nf4(np.array([[2.0, -1.0, 0.0]], np.float32), table)
    (array([244, 119], dtype=uint8), array([2.], dtype=float32))
    """
    flat = weight.reshape(-1)
    blocks = -(-flat.size // block_size)
    padded = np.zeros(blocks * block_size + 1, np.float32)
    padded[: flat.size] = flat
    grouped = padded[:-1].reshape(blocks, block_size)
    absmax = np.abs(grouped).max(axis=1)
    padded[:-1] = (grouped / np.where(absmax > 0, absmax, 1)[:, None]).reshape(-1)
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, padded).astype(np.uint8)
    codes = codes[: flat.size + flat.size % 2]
    return codes[0::2] << 4 | codes[1::2], absmax


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "one_block: scale and minimum are exchanged": "The scale d comes first, then the minimum m.",
        "one_block: 16 steps instead of 15": "Codes 0 … 15 have fifteen steps between them.",
        "order_of_the_halves: neighbours share a byte": (
            "Byte j holds code j in its low half and code j + 16 in its high half."
        ),
        "codes_from_the_exact_scale: codes were computed with the rounded scale": (
            "Divide by d as it is in float32; only what is stored is float16."
        ),
        "halves_go_up: halves go to the even code": (
            "np.rint takes halves to the even number; np.floor(x + 0.5) takes them up."
        ),
        "RuntimeWarning: invalid value encountered": (
            "In a block of equal numbers d is 0. Divide by 1 instead: all codes are 0."
        ),
    },
    why="""Q4_1 spends its two half-precision numbers on the range of a block, from the smallest number to the largest.
    Its
    sibling Q4_0 spends one on the largest magnitude, takes half a bit less, and wastes codes where a block is
    lopsided. The model that this book opens was published in Q4_1. Codes computed with the exact scale but read with
    the rounded one are off by up to a two-thousandth: the reference does it so, and whoever wants its bytes has to do
    the same.""",
)
def quantize_q4_1(values: np.ndarray) -> np.ndarray:
    """GGUF's Q4_1 blocks of numbers.

    values: (n, 32) float32, one block a row
    returns: (n, 20) uint8

    m is the smallest number of a block, d the difference to the largest, over 15. A code is (value - m) / d in float32,
    rounded to the nearest whole number, halves up. Bytes 0 and 1 are d, bytes 2 and 3 are m, as float16, little-endian;
    byte 4 + j holds code j in its low half and code j + 16 in its high half. In a block of equal numbers d and all
    codes are 0.

    >>> quantize_q4_1(np.linspace(-1, 14.5, 32, dtype=np.float32)[None])[0, :6].tolist()
    [34, 60, 0, 188, 128, 128]
    """
    m = values.min(axis=1, keepdims=True)
    d = (values.max(axis=1, keepdims=True) - m) / np.float32(15)
    codes = np.floor((values - m) / np.where(d > 0, d, 1) + np.float32(0.5)).astype(np.uint8)
    codes = np.minimum(codes, 15)
    halves = codes[:, :16] | codes[:, 16:] << 4
    return np.concatenate([d.astype("<f2").view(np.uint8), m.astype("<f2").view(np.uint8), halves], axis=1)
