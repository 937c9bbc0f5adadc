"""The table of methods: to add one, give it a `Method` in a file of its own and name its METHODS here."""

from __future__ import annotations

from . import graded, preferences, rejection, rewarded
from .method import COMMON, Method

_FILES = (preferences, graded, rewarded, rejection)
METHODS: dict[str, Method] = {method.name: method for file in _FILES for method in file.METHODS}


def find_method(name: str) -> Method:
    """The method of this name; ValueError with those that there are."""
    if name not in METHODS:
        raise ValueError(f"there is no method {name!r}; the methods are {', '.join(METHODS)}")
    return METHODS[name]


def methods_table() -> str:
    """What `align --methods` prints: a line for each method, its data and its own settings."""
    lines = []
    for method in METHODS.values():
        settings = ", ".join(f"{name} {_shown(value)}" for name, value in method.settings.items())
        lines.append(f"{method.name:10} {method.data:8} {method.about}")
        lines.append(f"{'':19} {method.source}; {settings}")
    lines.append("")
    lines.append("all: " + ", ".join(f"{name} {_shown(value)}" for name, value in COMMON.items()))
    return "\n".join(lines)


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)
