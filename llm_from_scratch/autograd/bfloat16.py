"""A parameter that takes two bytes a number: stored in bfloat16, seen and computed with in float32.

All arithmetic stays what it is. Whoever asks for `data` gets float32 numbers, made at that moment; what is assigned to
`data` is rounded. So a forward pass holds the numbers of a weight from its use until its gradient takes their place,
and between two steps nothing but the two bytes is left.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from ..kernels import bfloat16 as kernels
from .tensor import Tensor

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_held: Any = Tensor.__dict__["data"]  # where a Tensor has its array; here that holds bfloat16


class BFloat16Tensor(Tensor):
    """What `store_bfloat16` makes of a Tensor; `stored` is the bfloat16 array itself, `data` its numbers in float32.

    >>> w = store_bfloat16(Tensor(np.array([1.0, 2.004], np.float32), requires_grad=True))
    >>> w.data, w.stored.nbytes
    (array([1., 2.], dtype=float32), 4)
    >>> w.data[0] = 5.0
    Traceback (most recent call last):
    ValueError: assignment destination is read-only
    """

    __slots__ = ()

    @property
    def data(self) -> np.ndarray:  # type: ignore[override]
        """The numbers in float32, made anew. Read-only, for a change to them would be lost: assign to `data`."""
        numbers = widened(self.stored)
        numbers.flags.writeable = False
        return numbers

    @data.setter
    def data(self, numbers: Any) -> None:
        array = np.asarray(numbers)
        if array.dtype == np.float32:
            array = rounded(array)
        elif array.dtype != BFLOAT16:
            raise TypeError(f"a parameter stored in bfloat16 takes float32 numbers, not {array.dtype}: see widen")
        _held.__set__(self, array)

    @property
    def stored(self) -> np.ndarray:
        """The array that is kept."""
        return _held.__get__(self)

    # Asked for all the time, and known without making the numbers.
    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:
        """float32: that of the numbers."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.stored.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


def store_bfloat16(tensor: Tensor) -> Tensor:
    """Keep a tensor's numbers in bfloat16 from now on, rounded to the nearest; the tensor, which stays the same one.

    Whoever holds it (a layer, a tied head, an optimiser) goes on as before. TypeError for other numbers than float32.
    """
    if isinstance(tensor, BFloat16Tensor):
        return tensor
    if tensor._node is not None or tensor.dtype != np.float32:
        raise TypeError(
            f"a float32 leaf can be stored in bfloat16, not {tensor.dtype} or what was computed from others"
        )
    numbers = tensor.data
    tensor.__class__ = BFloat16Tensor
    tensor.data = numbers
    return tensor


def widen(tensor: Tensor) -> Tensor:
    """The way back: the same tensor, its numbers (which do not change) kept in float32."""
    if isinstance(tensor, BFloat16Tensor):
        numbers = widened(tensor.stored)
        tensor.__class__ = Tensor  # type: ignore[assignment]
        tensor.data = numbers
    return tensor


def widened(array: np.ndarray) -> np.ndarray:
    """bfloat16 (...) -> float32 (...), exactly."""
    bits = array.view(np.uint16).astype(np.uint32)
    return np.left_shift(bits, 16, out=bits).view(np.float32)


def rounded(array: np.ndarray, key: int | None = None, first: int = 0) -> np.ndarray:
    """float32 (...) -> bfloat16 (...): to the nearest, or with a key by chance, see `kernels.bfloat16`."""
    bits = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
    upper = kernels.round_to_nearest(bits) if key is None else kernels.round_by_chance(bits, key, first)
    return upper.view(BFLOAT16).reshape(array.shape)
