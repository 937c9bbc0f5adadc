"""What the time of a work is made of: a thread that looks every millisecond at where the others stand.

Kernels and matrix products release the interpreter's lock, so that the looking thread sees them as they run. A look
counts for the innermost function of the package that a thread stands in: a matrix product for the function that asks
for it, a compiled loop for its kernel.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from .case import Work

PACKAGE = str(Path(__file__).resolve().parents[1])
HERE = str(Path(__file__).resolve().parent)
EVERY = 0.001  # seconds
OUTSIDE = "outside the package"
RESTING = "kernels/team._rest"  # a helper that nobody needs


def parts(work: Work, seconds: float) -> dict[str, float]:
    """Run the work for about so long -> {function of the package: its share of the time of all busy threads}."""
    found: Counter[str] = Counter()
    over = threading.Event()
    sampler = threading.Thread(target=_look, args=(found, over), daemon=True)
    sampler.start()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        work()
    over.set()
    sampler.join()
    total = sum(found.values())
    return {name: count / total for name, count in found.most_common()}


def _look(found: Counter[str], over: threading.Event) -> None:
    me = threading.get_ident()
    while not over.wait(EVERY):
        for thread, frame in sys._current_frames().items():
            if thread != me and (place := place_of(frame)):
                found[place] += 1


def place_of(frame: FrameType | None) -> str | None:
    """The innermost function of the package on this stack; None for a thread that waits for work.

    The benchmark's own functions are no part of the work: what stands in no other is "outside the package".
    """
    inside = False
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(HERE):
            inside = True
        elif path.startswith(PACKAGE):
            module = path[len(PACKAGE) + 1 : -len(".py")].replace("\\", "/")
            name = frame.f_code.co_name
            place = f"{module} (backward)" if name == "_" else f"{module}.{name}"  # the name of every backward is _
            return None if place == RESTING else place
        frame = frame.f_back
    return OUTSIDE if inside else None
