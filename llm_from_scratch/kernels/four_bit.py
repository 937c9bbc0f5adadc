"""Four bits a number: the nearest of sixteen values, times the largest magnitude in its block.

A format is a table of sixteen numbers in [-1, 1]. Blocks run over the flattened array, and the last may be short. Two
codes share a byte, the first number's in the high half; where the count is odd, the last low half holds zero's code.
What the tables are, and how well they serve: `quantization.nf4` and `quantization.fp4`.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel


@kernel
def four_bit_encode(
    values: np.ndarray, absmax: np.ndarray, borders: np.ndarray, order: np.ndarray, block_size: int
) -> np.ndarray:
    """The nearest code of every value / absmax of its block, packed: values (n,), absmax (blocks,) -> (⌈n / 2⌉,) uint8.

    borders (15,) are half way between neighbours of the sorted table, order (16,) uint8 the codes in that order: see
    `ranked`. A value on a border goes to the lower neighbour. Numbers must be finite.

    >>> borders, order = ranked(np.arange(-8.0, 8.0) / 8)
    >>> four_bit_encode(np.array([2.0, -4.0, 1.0]), np.array([4.0]), borders, order, 64).tolist()
    [192, 168]
    """
    places = np.repeat(np.where(absmax > 0, absmax, values.dtype.type(1)), block_size)[: len(values)]
    scaled = np.zeros(len(values) + len(values) % 2, values.dtype)
    scaled[: len(values)] = values / places
    codes = order[np.searchsorted(borders, scaled)]
    return (codes[::2] << 4) | codes[1::2]


@kernel
def four_bit_decode(packed: np.ndarray, absmax: np.ndarray, table: np.ndarray, block_size: int, n: int) -> np.ndarray:
    """The first n numbers that the codes stand for: packed (⌈n / 2⌉,) uint8, absmax (blocks,), table (16,) -> (n,).

    >>> four_bit_decode(np.array([192, 168], np.uint8), np.array([4.0]), np.arange(-8.0, 8.0) / 8, 64, 3)
    array([ 2., -4.,  1.])
    """
    codes = np.stack([packed >> 4, packed & 0x0F], axis=1).reshape(-1)[:n]
    return table[codes] * np.repeat(absmax, block_size)[:n]


@kernel
def four_bit_matmul(
    x: np.ndarray, packed: np.ndarray, absmax: np.ndarray, table: np.ndarray, block_size: int
) -> np.ndarray:
    """One row times a packed matrix (outputs, inputs), whose rows are whole blocks: x (inputs,) -> (outputs,).

    >>> packed, absmax = np.array([192, 168, 128, 136], np.uint8), np.array([4.0, 1.0])
    >>> four_bit_matmul(np.array([1.0, 1.0, 2.0, 0.0]), packed, absmax, np.arange(-8.0, 8.0) / 8, 4)
    array([ 0., -1.])
    """
    matrix = four_bit_decode.__wrapped__(packed, absmax, table, block_size, 2 * len(packed))
    return matrix.reshape(-1, len(x)) @ x


def ranked(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The borders half way between neighbours of a table (16,) once it is sorted, (15,), and the codes in that order.

    >>> borders, order = ranked(np.array([0.0, *range(8, -7, -1)]) / 8)
    >>> borders[:2].tolist(), order[:3].tolist()
    ([-0.6875, -0.5625], [15, 14, 13])
    """
    order = np.argsort(table, kind="stable").astype(np.uint8)
    inner = table[order]
    return (inner[1:] + inner[:-1]) / 2, order


def _check(array, count, absmax, block_size):
    if isinstance(block_size, bool) or not isinstance(block_size, (int, np.integer)) or block_size < 1:
        raise ValueError(f"the size of a block is a positive integer, not {block_size!r}")
    blocks = -(-count // block_size)
    if array.ndim != 1 or absmax.shape != (blocks,):
        raise ValueError(
            f"{count} numbers in blocks of {block_size} have {blocks} largest magnitudes, got {absmax.shape} of them"
            f" and an array {array.shape}"
        )


@four_bit_encode.check
def _(values, absmax, borders, order, block_size):
    _check(values, values.size, absmax, block_size)
    if borders.shape != (15,) or order.dtype != np.uint8 or order.shape != (16,) or order.max() > 15:
        raise ValueError(f"15 borders and the order of 16 codes are needed, got {borders.shape} and {order.shape}")


@four_bit_decode.check
def _(packed, absmax, table, block_size, n):
    _check(packed, n, absmax, block_size)
    if table.shape != (16,):
        raise ValueError(f"a table of four bits has 16 numbers, got {table.shape}")
    if packed.dtype != np.uint8 or packed.shape != (-(-n // 2),):
        raise ValueError(f"{n} numbers of four bits are {-(-n // 2)} uint8, got {packed.dtype} {packed.shape}")


@four_bit_matmul.check
def _(x, packed, absmax, table, block_size):
    count = 2 * packed.size
    _check(packed, count, absmax, block_size)
    if packed.dtype != np.uint8 or table.shape != (16,):
        raise ValueError(f"uint8 codes and a table of 16 numbers are needed, got {packed.dtype} and {table.shape}")
    if x.ndim != 1 or not x.size or block_size % 2 or x.size % block_size or count % x.size:
        raise ValueError(f"{count} codes are no rows of whole blocks of {block_size} for an input {x.shape}")


def _cases(rng):
    sorted_table = np.sort(np.concatenate([[-1.0, 0.0, 1.0], rng.uniform(-1, 1, 13)]))
    for n, block_size, table in (
        (300, 64, sorted_table),
        (33, 8, rng.permutation(sorted_table)),
        (23, 5, sorted_table),
        (7, 64, sorted_table),
        (0, 64, sorted_table),
    ):
        values = rng.normal(size=n)
        values[:block_size] *= n % 2  # one block of zeros
        padded = np.concatenate([values, np.zeros(-n % block_size)]).reshape(-1, block_size)
        yield values, np.abs(padded).max(axis=1), table, block_size


@four_bit_encode.example
def _(rng):
    for values, absmax, table, block_size in _cases(rng):
        yield (values, absmax, *ranked(table), block_size), {}


@four_bit_decode.example
def _(rng):
    for values, absmax, table, block_size in _cases(rng):
        packed = rng.integers(0, 256, -(-len(values) // 2)).astype(np.uint8)
        yield (packed, absmax, table, block_size, len(values)), {}


@four_bit_matmul.example
def _(rng):
    for inputs, outputs, block_size in ((128, 5, 64), (6, 3, 2), (16, 1, 16)):
        packed = rng.integers(0, 256, inputs * outputs // 2).astype(np.uint8)
        absmax = rng.uniform(0.5, 2, inputs * outputs // block_size)
        yield (rng.normal(size=inputs), packed, absmax, rng.uniform(-1, 1, 16), block_size), {}
