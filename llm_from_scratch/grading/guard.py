"""Notices when a learner's code replaces something that the checks rely on, and puts it back.

This is meant for accidents and for the obvious trick (`numpy.allclose = lambda *a, **k: True`). A determined
person who writes both the answer and the program that runs it can always fool it, and fools only themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Guard:
    """Remembers what every name of some modules, and of their classes, stands for.

    >>> import types
    >>> library = types.ModuleType("library")
    >>> library.allclose = lambda a, b: a == b
    >>> guard = Guard([library])
    >>> guard.restore()
    ''
    >>> library.allclose = lambda a, b: True
    >>> guard.restore()
    'library.allclose'
    >>> library.allclose(1, 2)
    False
    """

    def __init__(self, modules: Iterable[Any]) -> None:
        self._known: list[tuple[str, Any, dict[str, Any]]] = []
        for module in modules:
            self._known.append((module.__name__, module, dict(vars(module))))
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__:
                    self._known.append((f"{module.__name__}.{value.__name__}", value, dict(vars(value))))

    def restore(self) -> str:
        """The first name that was replaced or removed, or an empty text; everything is put back."""
        first = ""
        for label, owner, known in self._known:
            now = vars(owner)
            for name, value in known.items():
                if name.startswith("__") and not callable(value):
                    continue  # bookkeeping that Python itself rewrites: __warningregistry__ and the like
                if now.get(name, self) is not value and name != "_":
                    first = first or f"{label}.{name}"
                    try:
                        setattr(owner, name, value)
                    except (
                        AttributeError,
                        TypeError,
                    ):  # slots of built-in classes cannot be replaced to begin with
                        continue
        return first
