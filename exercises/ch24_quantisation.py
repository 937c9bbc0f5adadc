"""Chapter 24 exercises: numbers in fewer bits, from a single float to a block of a file.

Everything here is a pure function of numbers or arrays; nothing needs a model. float32 goes in, float32 comes out, and
no array that was handed in is changed. Zeros are ordinary numbers: a row or a block of them must give no warning.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch24              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch24 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("float_bits")


# Task 2 of 5: easy, about 15 minutes, 2 points
def quantize_rows(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Absmax quantisation to eight bits, a scale a row.

    weight: (outputs, inputs) float32
    returns: codes (outputs, inputs) int8 in -127 … 127, and absmax (outputs,) float32

    A row is multiplied by 127 / absmax and rounded to the nearest whole number, halves to the even one. A row of zeros
    has absmax 0 and codes 0.

    >>> quantize_rows(np.array([[1.0, -0.5, 0.26]], np.float32))
    (array([[127, -64,  33]], dtype=int8), array([1.], dtype=float32))
    """
    raise NotImplementedError("quantize_rows")


# Task 3 of 5: hard, about 45 minutes, 4 points
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
    raise NotImplementedError("int8_matmul")


# Task 4 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("pack_nf4")


# Task 5 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("quantize_q4_1")
