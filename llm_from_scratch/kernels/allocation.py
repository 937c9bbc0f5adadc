"""Asking the C library to keep the memory that a training step frees, because the next step wants it again.

glibc returns large blocks to the system as soon as they are freed; taking them anew costs a page fault for every 4 KiB.
A training step of a small model spends a fifth of its time there. Nothing here changes a single number.
"""

from __future__ import annotations

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for the two settings, see mallopt(3)


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed blocks in the process from now on (up to 1 GiB at the heap's end); whether it could be done.

    Only glibc on Linux has the setting; elsewhere, and after the first call, nothing happens.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, such as musl
        return False
    # 32 MiB is the largest size that glibc accepts for blocks served from the heap.
    return bool(mallopt(_MMAP_THRESHOLD, 32 << 20)) and bool(mallopt(_TRIM_THRESHOLD, 1 << 30))
