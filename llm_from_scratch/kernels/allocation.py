"""Asking the C library to keep the memory that a training step frees, because the next step wants it again.

glibc returns large blocks to the system as soon as they are freed; taking them anew costs a page fault for every 4 KiB.
A training step of a small model spends a fifth of its time there. Each thread has a heap of its own besides, which goes
back in pieces of 64 MiB whatever is asked for the main one. Nothing here changes a single number.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterable

import numpy as np

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's names for the settings, see mallopt(3)
_COLLAPSE, _LARGE = 25, 2 << 20  # Linux's name for the advice, see madvise(2), and the usual size of a large page


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed blocks in the process from now on (up to 1 GiB at the heap's end); whether it could be done.

    Threads that have no heap of their own yet use the main one. Only glibc on Linux has the settings; elsewhere, and
    after the first call, nothing happens.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, such as musl
        return False
    # 32 MiB is the largest size that glibc accepts for blocks served from the heap.
    settings = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30), (_ARENA_MAX, 1))
    return all([bool(mallopt(name, value)) for name, value in settings])


def on_large_pages(arrays: Iterable[np.ndarray]) -> bool:
    """Move the memory of these arrays to pages of 2 MiB, where the system can; whether it could.

    What is read from end to end, once a token, is looked up by the page: with those of 4 KiB, the processor waits for
    their addresses and stops reading ahead at the end of each. Pages that hold a part of an array are moved whole.
    """
    if sys.platform != "linux":
        return False
    ends = sorted((address // _LARGE, -(-(address + size) // _LARGE)) for address, size in map(_place, arrays))
    joined: list[list[int]] = []
    for first, last in ends:
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(last, joined[-1][1])
        else:
            joined.append([first, last])
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return all([madvise(first * _LARGE, (last - first) * _LARGE, _COLLAPSE) == 0 for first, last in joined])


def _place(array: np.ndarray) -> tuple[int, int]:
    return array.__array_interface__["data"][0], array.nbytes
