"""What names stand for while a chat template runs: scopes, and the values that are neither text nor number nor list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from jinja2.runtime import Undefined

from .template_limits import Budget


class Scope:
    """Names and their values; what is not here is looked for in the scope around.

    >>> Scope({"a": 1}, Scope({"a": 2, "b": 3})).find("b")
    3
    """

    __slots__ = ("names", "around")

    def __init__(self, names: dict[str, Any], around: Scope | None = None) -> None:
        self.names, self.around = names, around

    def find(self, name: str) -> Any:
        """The value of a name; Jinja's Undefined if there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.around
        return Undefined(name=name)


class Function:
    """What a template may call."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.run(*arguments, **named)

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()}>"


class Namespace:
    """The one thing whose attributes can be set; loops have scopes of their own, so it carries state out of them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def attribute(self, name: str) -> Any:
        """What was set, or Undefined."""
        return self.values[name] if name in self.values else Undefined(obj=self, name=name)

    def __repr__(self) -> str:
        return "<namespace>"


class Loop(Function):
    """`loop` inside a for loop; the loop itself sets `index0`."""

    def __init__(self, items: list[Any], depth0: int) -> None:
        super().__init__(self._not_recursive)
        self.items, self.depth0, self.index0 = items, depth0, 0
        self._before: Any = None

    def attribute(self, name: str) -> Any:
        """loop.name, or Undefined."""
        at, length = self.index0, len(self.items)
        if name == "previtem" and at > 0:
            return self.items[at - 1]
        if name == "nextitem" and at + 1 < length:
            return self.items[at + 1]
        values = {
            "index": at + 1, "index0": at, "revindex": length - at, "revindex0": length - at - 1, "first": at == 0,
            "last": at == length - 1, "length": length, "depth": self.depth0 + 1, "depth0": self.depth0,
            "cycle": Function(self._cycle), "changed": Function(self._changed),
        }  # fmt: skip
        return values[name] if name in values else Undefined(f"there is no {name!r} of the loop here")

    def _cycle(self, *values: Any) -> Any:
        return values[self.index0 % len(values)]

    def _changed(self, *values: Any) -> bool:
        before, self._before = self._before, values
        return before != values

    @staticmethod
    def _not_recursive(*arguments: Any) -> None:
        raise TypeError("loop() needs a loop that is marked recursive")


class Evaluator(Protocol):
    """What filters ask of that which evaluates expressions."""

    budget: Budget

    def filtered(self, name: str, value: Any, /, *arguments: Any, **named: Any) -> Any:
        """value | name(…)"""

    def tested(self, name: str, value: Any, /, *arguments: Any, **named: Any) -> bool:
        """value is name(…)"""

    def attribute(self, value: Any, name: str, *, items: bool = True) -> Any:
        """value.name"""

    def item(self, value: Any, key: Any) -> Any:
        """value[key]"""
