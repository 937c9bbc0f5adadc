"""Notices when a learner's code replaces something that the checks rely on, and puts it back.

This is meant for accidents and for the obvious tricks (`numpy.allclose = lambda *a, **k: True`, or new code inside the
old function). A determined person who writes both the answer and the program that runs it can always fool it, through
the interpreter's frames or ctypes, and fools only themselves.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

_CONSTANTS = (bool, int, float, str)


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
        self._known: list[
            tuple[str, Any, Any, dict[str, Any]]
        ] = []  # label, owner, its names as they are, as they were
        self._code: dict[int, tuple[str, FunctionType, tuple[Any, ...]]] = {}
        self._loaded: dict[str, Any] = sys.modules
        self._modules: dict[str, Any] = {}
        for module in dict.fromkeys((builtins, *modules)):  # what this class itself calls is put back first
            label = module.__name__
            self._remember(label, module)
            if self._loaded.get(label) is module:
                self._modules[label] = module
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == label:
                    self._remember(f"{label}.{value.__name__}", value)

    def _remember(self, label: str, owner: Any) -> None:
        # not what Python and the libraries rewrite themselves: __warningregistry__, caches, the shell's `_`
        known = {
            name: value
            for name, value in vars(owner).items()
            if callable(value)
            or isinstance(value, (ModuleType, property, classmethod, staticmethod))
            or (isinstance(value, _CONSTANTS) and not name.startswith("_"))
        }
        known.pop("_", None)
        self._known.append((label, owner, vars(owner), known))
        for name, value in known.items():
            function = getattr(value, "__wrapped__", value)  # NumPy's functions stand behind a dispatcher
            if isinstance(function, FunctionType):
                inside = function.__code__, function.__defaults__, function.__kwdefaults__
                self._code.setdefault(id(function), (f"{label}.{name}", function, inside))

    def restore(self) -> str:
        """The first name that was replaced or removed, or an empty text; everything is put back."""
        first = ""
        for name, module in self._modules.items():
            if self._loaded.get(name) is not module:
                first = first or name
                self._loaded[name] = module
        for label, owner, now, known in self._known:
            for name, value in known.items():
                if now.get(name, self) is not value:
                    first = first or f"{label}.{name}"
                    try:
                        setattr(owner, name, value)
                    except (AttributeError, TypeError):  # built-in classes, which cannot be changed to begin with
                        continue
        for label, function, inside in self._code.values():
            if (function.__code__, function.__defaults__, function.__kwdefaults__) != inside:
                first = first or label
                function.__code__, function.__defaults__, function.__kwdefaults__ = inside
        return first
