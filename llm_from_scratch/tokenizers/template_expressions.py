"""The expressions of chat templates: one method for each kind of node, and what a template may do with a value.

See `template_sandbox` for why they are walked through instead of being made into Python.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Undefined

from . import template_text as tt
from .template_filters import FILTERS, TESTS
from .template_limits import Budget
from .template_scope import Function, Loop, Namespace, Scope
from .template_values import COMPARISONS, METHODS, combined, entries, negative, positive, summed


def method_for(methods: Mapping[type, Callable], node: nodes.Node) -> Callable:
    """What carries out this kind of node."""
    if type(node) not in methods:
        what = type(node).__name__.lower()
        raise jinja2.exceptions.SecurityError(f"{what!r} (line {node.lineno}) is not allowed in a template")
    return methods[type(node)]


class Expressions:
    """The half of the sandbox that computes.

    >>> node = jinja2.Environment().parse("{{ 'a' ~ x[1:] | upper }}").body[0].nodes[0]
    >>> Expressions().evaluate(node, Scope({"x": "bcd"}))
    'aCD'
    """

    def __init__(self) -> None:
        self.budget = Budget()
        self._made = self.budget.made

    def evaluate(self, node: nodes.Node, scope: Scope) -> Any:
        """The value of an expression."""
        self.budget.step()
        return method_for(_EXPRESSIONS, node)(self, node, scope)

    def _all(self, items: Iterable[nodes.Node], scope: Scope) -> list[Any]:
        return [self.evaluate(item, scope) for item in items]

    def _conditional(self, node: nodes.CondExpr, scope: Scope) -> Any:
        if self.evaluate(node.test, scope):
            return self.evaluate(node.expr1, scope)
        if node.expr2 is None:
            return Undefined("the condition is false and there is no else")
        return self.evaluate(node.expr2, scope)

    def _compare(self, node: nodes.Compare, scope: Scope) -> bool:
        left, result = self.evaluate(node.expr, scope), True
        for operand in node.ops:
            right = self.evaluate(operand.expr, scope)
            result = COMPARISONS[operand.op](left, right)
            if not result:
                break
            left = right
        return result

    def _operator(self, node: nodes.BinExpr, scope: Scope) -> Any:
        left, right = self.evaluate(node.left, scope), self.evaluate(node.right, scope)
        return self._made(combined(type(node).__name__, self._made(left), self._made(right)))

    def _dictionary(self, node: nodes.Dict, scope: Scope) -> dict:
        return self._made({self.evaluate(p.key, scope): self.evaluate(p.value, scope) for p in node.items})

    def _getitem(self, node: nodes.Getitem, scope: Scope) -> Any:
        value = self.evaluate(node.node, scope)
        if not isinstance(node.arg, nodes.Slice):
            return self.item(value, self.evaluate(node.arg, scope))
        parts = [None if p is None else self.evaluate(p, scope) for p in (node.arg.start, node.arg.stop, node.arg.step)]
        if isinstance(value, str):
            return self._made(tt.cut(value, *parts))
        if isinstance(value, (list, tuple, range)):
            return self._made(value[slice(*parts)])
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        raise TypeError(f"nothing can be cut out of a value of type {type(value).__name__}")

    def _filter(self, node: nodes.Filter, scope: Scope, block: Any = None) -> Any:
        """`block`: what a chain of filters begins with that stands at the head of a block."""
        if node.node is None:
            value = block
        elif isinstance(node.node, nodes.Filter):
            value = self._filter(node.node, scope, block)
        else:
            value = self.evaluate(node.node, scope)
        arguments, named = self._arguments(node, scope)
        return self.filtered(node.name, value, *arguments, **named)

    def filtered(self, name: str, value: Any, /, *arguments: Any, **named: Any) -> Any:
        """value | name(…)"""
        self.budget.step()
        if name not in FILTERS:
            raise jinja2.TemplateRuntimeError(f"No filter named {name!r:.80} in the sandbox")
        return self._made(FILTERS[name](self, value, *arguments, **named))

    def _test(self, node: nodes.Test, scope: Scope) -> bool:
        value = self.evaluate(node.node, scope)
        arguments, named = self._arguments(node, scope)
        return self.tested(node.name, value, *arguments, **named)

    def tested(self, name: str, value: Any, /, *arguments: Any, **named: Any) -> bool:
        """value is name(…)"""
        self.budget.step()
        if name not in TESTS:
            raise jinja2.TemplateRuntimeError(f"No test named {name!r:.80} in the sandbox")
        return bool(TESTS[name](value, *arguments, **named))

    def _call(self, node: nodes.Call, scope: Scope, **more: Any) -> Any:
        function = self.evaluate(node.node, scope)
        arguments, named = self._arguments(node, scope)
        if isinstance(function, Undefined):
            function._fail_with_undefined_error()
        if not isinstance(function, Function):
            raise TypeError(f"a value of type {type(function).__name__} cannot be called")
        return self._made(function.run(*arguments, **named, **more))

    def _arguments(self, node: nodes.Call | nodes.Filter | nodes.Test, scope: Scope) -> tuple[list, dict[str, Any]]:
        arguments = [self.evaluate(argument, scope) for argument in node.args]
        named = {str(pair.key): self.evaluate(pair.value, scope) for pair in node.kwargs}
        if node.dyn_args is not None:
            arguments += entries(self.evaluate(node.dyn_args, scope))
        if node.dyn_kwargs is not None:
            named |= self.evaluate(node.dyn_kwargs, scope)
        return arguments, named

    # --- Values -----------------------------------------------------------------------------------------------

    def attribute(self, value: Any, name: str, *, items: bool = True) -> Any:
        """value.name: a method if the type has such a one, else the entry of that name."""
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        if isinstance(value, (Loop, Namespace)):
            return value.attribute(name)
        kind = next((kind for kind in METHODS if isinstance(value, kind)), type(value))
        if name in METHODS.get(kind, {}):
            return Function(lambda *arguments, **named: METHODS[kind][name](value, *arguments, **named))
        if kind is str and name == "format":
            return Function(lambda *arguments, **named: self._formatted(value, arguments, named))
        if items and isinstance(value, dict) and name in value:
            return value[name]
        if name.startswith("__") or hasattr(kind, name):
            what = f"{str(name)!r:.80} of a {kind.__name__}"
            raise jinja2.exceptions.SecurityError(f"{what} is not allowed in a template")
        return Undefined(obj=str(value) if kind is str else value, name=name)

    def item(self, value: Any, key: Any) -> Any:
        """value[key], or value.key if there is no such entry."""
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        with contextlib.suppress(TypeError, LookupError):  # no such entry: then an attribute may have that name
            if isinstance(value, str):
                at = range(len(value))[key]
                return tt.cut(value, at, at + 1)
            if isinstance(value, (list, tuple, dict, range)):
                return value[key]
        return self.attribute(value, key, items=False) if isinstance(key, str) else Undefined(obj=value, name=key)

    def _formatted(self, form: str, arguments: tuple, named: dict[str, Any]) -> str:
        count = iter(range(len(arguments)))

        def find(field: str) -> Any:
            first, *rest = re.split(r"(\.[^.\[]+|\[[^\]]+\])", field)
            if first and not first.isdigit():
                value = named[first]
            else:
                value = arguments[int(first[:9]) if first else next(count, len(arguments))]
            for part in filter(None, rest):
                name = part[1:] if part[0] == "." else part[1:-1]
                value = self.attribute(value, name) if part[0] == "." else self.item(value, _index(name))
            return value

        return tt.formatted(form, find)

    def _pairs(self, value: Any) -> Any:
        return value if isinstance(value, dict) else [entries(pair) for pair in entries(value)]


def _index(name: str) -> int | str:
    return int(name) if name.isdigit() and len(name) < 10 else name


_EXPRESSIONS: dict[type, Callable[[Expressions, Any, Scope], Any]] = {
    nodes.Const: lambda sandbox, node, scope: sandbox._made(node.value),
    nodes.Name: lambda sandbox, node, scope: scope.find(node.name),
    nodes.List: lambda sandbox, node, scope: sandbox._made(sandbox._all(node.items, scope)),
    nodes.Tuple: lambda sandbox, node, scope: sandbox._made(tuple(sandbox._all(node.items, scope))),
    nodes.Dict: Expressions._dictionary,
    nodes.Concat: lambda sandbox, node, scope: sandbox._made(summed(sandbox._all(node.nodes, scope))),
    nodes.And: lambda sandbox, node, scope: sandbox.evaluate(node.left, scope) and sandbox.evaluate(node.right, scope),
    nodes.Or: lambda sandbox, node, scope: sandbox.evaluate(node.left, scope) or sandbox.evaluate(node.right, scope),
    nodes.Not: lambda sandbox, node, scope: not sandbox.evaluate(node.node, scope),
    nodes.Neg: lambda sandbox, node, scope: negative(sandbox.evaluate(node.node, scope)),
    nodes.Pos: lambda sandbox, node, scope: positive(sandbox.evaluate(node.node, scope)),
    nodes.CondExpr: Expressions._conditional,
    nodes.Compare: Expressions._compare,
    nodes.Getattr: lambda sandbox, node, scope: sandbox.attribute(sandbox.evaluate(node.node, scope), node.attr),
    nodes.Getitem: Expressions._getitem,
    nodes.Filter: Expressions._filter,
    nodes.Test: Expressions._test,
    nodes.Call: Expressions._call,
    **{kind: Expressions._operator for kind in (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
                                            nodes.Pow)},
}  # fmt: skip
