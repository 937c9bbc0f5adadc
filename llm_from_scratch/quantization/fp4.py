"""FP4 as bitsandbytes has it: a sign, two bits of exponent and one of fraction, divided by the largest number, 12.

    code       0    1       2    3  4    5    6    7
    number     0  1/16      8   12  4    6    2    3      over 12; codes from 8 on are the same numbers below zero

Code 1 is the odd one: a format whose exponent went on evenly would have 1 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import four_bit

_POSITIVE = np.array([0, 1 / 16, 8, 12, 4, 6, 2, 3]) / 12
CODES = np.concatenate([_POSITIVE, -_POSITIVE]).astype(np.float32)
"""What each code stands for, (16,) float32."""


def quantize(weight: Any, block_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """As `nf4.quantize`, with the table of FP4.

    >>> packed, absmax = quantize(np.array([[12.0, -3.0], [0.0, 5.1]]))
    >>> [hex(byte) for byte in packed], absmax
    (['0x3f', '0x5'], array([12.], dtype=float32))
    """
    return four_bit.encode(weight, CODES, block_size)


def dequantize(packed: Any, absmax: Any, shape: Sequence[int], block_size: int = 64) -> np.ndarray:
    """As `nf4.dequantize`."""
    return four_bit.decode(packed, absmax, CODES, shape, block_size)
