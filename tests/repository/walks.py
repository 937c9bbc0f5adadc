"""Which rooms of the package a computation enters, and from where: a record of its calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any


@dataclass
class Walk:
    """entered: the rooms in the order in which they were first entered; calls: (from room, to room), each pair once."""

    entered: list[str] = field(default_factory=list)
    calls: set[tuple[str, str]] = field(default_factory=set)


@contextmanager
def traced(root: Path) -> Iterator[Walk]:
    """Record the calls between rooms of the package at `root` inside the block, in this thread.

    The caller is the nearest function of the package further up; what modules do when they are imported does not count.
    """
    walk = Walk()
    rooms: dict[str, str | None] = {}

    def room_of(frame: FrameType) -> str | None:
        file = frame.f_code.co_filename
        if file not in rooms:
            path = Path(file)
            rooms[file] = path.relative_to(root).parts[0].removesuffix(".py") if path.is_relative_to(root) else None
        return rooms[file]

    def note(frame: FrameType, event: str, _: Any) -> None:
        here = room_of(frame) if event == "call" else None
        if here is None or frame.f_code.co_name == "<module>":
            return
        caller, outside = None, frame.f_back
        while outside is not None:
            if outside.f_code.co_name == "<module>" and room_of(outside) is not None:
                return
            caller = caller or room_of(outside)
            outside = outside.f_back
        if caller is None and here in walk.entered or caller == here:
            return
        if here not in walk.entered:
            walk.entered.append(here)
        if caller is not None:
            walk.calls.add((caller, here))

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(before)
