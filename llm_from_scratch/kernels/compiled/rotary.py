"""Compiled version of `kernels.rotary`."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled


def rotary(x, cos, sin, interleaved):
    if x.size == 0:
        return np.empty_like(x)
    source, strides = _window(x)
    if source is None:
        x = np.array(x, order="C")
        source, strides = _window(x)
    y = np.empty_like(x)  # keeps the order of the axes in memory
    target, target_strides = _window(y)
    per_row = cos.ndim == 3
    loop = _interleaved if interleaved else _halves
    loop(
        source, strides, np.ascontiguousarray(cos).reshape(-1), np.ascontiguousarray(sin).reshape(-1),
        target, target_strides, x.shape, cos.shape[-1], per_row,
    )  # fmt: skip
    return y


def _window(x):
    """The memory under a view as one contiguous array from its first entry on, and its strides in entries.

    (None, ()) for a view whose last axis is not contiguous, or that runs backwards. Numba would otherwise
    compile the loop for unknown strides, which does not vectorise.
    """
    strides = tuple(stride // x.itemsize for stride in x.strides[:3])
    usable = x.flags.aligned and x.flags.writeable and (x.strides[3] == x.itemsize or x.shape[3] == 1)
    if not usable or min(strides) < 0 or any(stride % x.itemsize for stride in x.strides[:3]):
        return None, ()
    if x.flags.c_contiguous:
        return x.reshape(-1), strides
    extent = sum((count - 1) * stride for count, stride in zip(x.shape, strides, strict=False)) + x.shape[3]
    return np.lib.stride_tricks.as_strided(x, (extent,), (x.itemsize,)), strides


@compiled
def _halves(x, strides, cos, sin, y, target_strides, shape, half, per_row):
    batch, length, heads, width = shape
    for b in range(batch):
        for t in range(length):
            at = (b * length + t if per_row else t) * half
            c, s = cos[at : at + half], sin[at : at + half]
            for h in range(heads):
                start = b * strides[0] + t * strides[1] + h * strides[2]
                first, second = x[start : start + half], x[start + half : start + 2 * half]
                to = b * target_strides[0] + t * target_strides[1] + h * target_strides[2]
                # One loop a result: LLVM gives up where many arrays would have to be checked for overlap.
                out = y[to : to + half]
                for i in range(c.size):
                    out[i] = first[i] * c[i] - second[i] * s[i]
                out = y[to + half : to + 2 * half]
                for i in range(c.size):
                    out[i] = second[i] * c[i] + first[i] * s[i]
                if width > 2 * half:
                    rest, out = x[start + 2 * half : start + width], y[to + 2 * half : to + width]
                    for i in range(rest.size):
                        out[i] = rest[i]


@compiled
def _interleaved(x, strides, cos, sin, y, target_strides, shape, half, per_row):
    batch, length, heads, width = shape
    for b in range(batch):
        for t in range(length):
            at = (b * length + t if per_row else t) * half
            c, s = cos[at : at + half], sin[at : at + half]
            for h in range(heads):
                start = b * strides[0] + t * strides[1] + h * strides[2]
                to = b * target_strides[0] + t * target_strides[1] + h * target_strides[2]
                row, out = x[start : start + 2 * half], y[to : to + 2 * half]
                for i in range(c.size):
                    out[2 * i] = row[2 * i] * c[i] - row[2 * i + 1] * s[i]
                    out[2 * i + 1] = row[2 * i + 1] * c[i] + row[2 * i] * s[i]
                if width > 2 * half:
                    rest, out = x[start + 2 * half : start + width], y[to + 2 * half : to + width]
                    for i in range(rest.size):
                        out[i] = rest[i]
