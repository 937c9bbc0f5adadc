"""Products of two matrices of int8, summed in int32: the exact inside of LLM.int8().

A product of two codes is at most 128² in magnitude, so that 131,071 of them fit into an int32 whatever they are. Sums
of whole numbers are exact and do not depend on their order: the twin and the compiled version agree to the last bit.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

MOST_INPUTS = (2**31 - 1) // 128**2
"""How many products of two int8 an int32 can hold the sum of: 131,071."""


@kernel
def int8_matmul(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """x Wᵀ in whole numbers: x (N, inputs) int8, codes (outputs, inputs) int8 -> (N, outputs) int32.

    >>> int8_matmul(np.array([[127, -1]], np.int8), np.array([[127, 2], [-128, 0]], np.int8))
    array([[ 16127, -16256]], dtype=int32)
    """
    return x.astype(np.int32) @ codes.T.astype(np.int32)


@int8_matmul.check
def _(x, codes):
    for name, part in (("x", x), ("codes", codes)):
        if part.dtype != np.int8 or part.ndim != 2:
            raise TypeError(f"int8_matmul: {name} is a matrix of int8, got {part.dtype} {part.shape}")
    if x.shape[1] != codes.shape[1]:
        raise ValueError(f"int8_matmul: x {x.shape} and codes {codes.shape} differ in their inputs")
    if x.shape[1] > MOST_INPUTS:
        raise ValueError(f"int8_matmul: {x.shape[1]} inputs can overflow an int32, at most {MOST_INPUTS} cannot")


@int8_matmul.example
def _(rng):
    for rows, outputs, inputs in ((1, 5, 64), (1, 70, 33), (3, 9, 16), (40, 6, 1100), (2, 0, 3), (0, 4, 3), (2, 3, 0)):
        yield tuple(rng.integers(-128, 128, (n, inputs)).astype(np.int8) for n in (rows, outputs)), {}
    yield (np.full((1, 2000), -128, np.int8), np.full((2, 2000), -128, np.int8)), {}
