"""The sandbox that chat templates run in: an interpreter of Jinja's templates that has nothing but text and numbers.

A template is a program from a stranger. Jinja parses it, and would then make Python of it; here its tree is walked
instead, one method for each kind of node. So a template has what is written in these files and nothing else: there are
no attributes but the rows of `template_values.METHODS`, no files, nothing that changes a list or the messages, and
every step passes through `Sandbox.evaluate` or `Sandbox.execute`, which look at the clock. Texts know which of their
characters came out of a message (`template_text`), and whatever is made is weighed (`template_limits`).

Left out of Jinja, and refused by name: blocks, inclusion and inheritance, autoescape, the filters filesizeformat,
forceescape, groupby, pprint, random, striptags, urlencode, urlize, wordwrap and xmlattr, and lipsum, cycler and joiner.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.runtime import Undefined

from . import template_text as tt
from .template_limits import DEPTH, Budget, LimitError, check_size
from .template_scope import Function, Loop, Namespace, Scope
from .template_values import COMPARISONS, FILTERS, METHODS, TESTS, combined, entries, negative, summed


class _Generation(Extension):
    """{% generation %} … {% endgeneration %} stands around what the model is to learn; it changes nothing here.

    Nothing else in a template becomes a `Scope`, so that the place is known to whoever wants to mark what is inside.
    """

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


# As the transformers library has it. Only the parser is used.
_PARSER = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])


class RefusedError(Exception):
    """The template called raise_exception."""


class _Break(Exception):
    """{% break %}"""


class _Continue(Exception):
    """{% continue %}"""


class explained:
    """Turns whatever goes wrong inside a template into a ValueError that says so in one line."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception):
            return
        said = " ".join(str(getattr(error, "message", None) or error or type(error).__name__).split())
        if isinstance(error, RefusedError):
            raise ValueError(f"the chat template refuses this conversation: {said}") from None
        if isinstance(error, RecursionError):
            said = "it calls itself without end, or has too many brackets in brackets"
        elif isinstance(error, jinja2.TemplateSyntaxError):
            said = f"line {error.lineno}: {said}"
        raise ValueError(f"the chat template {self._what}: {said:.500}") from None


def parse(source: str) -> nodes.Template:
    """The tree of a template."""
    return _PARSER.parse(source)


class Sandbox:
    """One rendering of one template.

    >>> template = parse("{% for m in messages %}{{ loop.index }}. {{ m.text | trim }} {% endfor %}")
    >>> Sandbox().render(template, {"messages": [{"text": " one"}, {"text": "two "}]})
    '1. one 2. two '
    """

    def __init__(self) -> None:
        self.budget = Budget()
        self._made = self.budget.made
        self._depth = 0
        self._out: list[str] = []
        self._length = 0
        self._globals = Scope({
            "range": Function(_range),
            "dict": Function(lambda *pairs, **named: dict(*map(self._pairs, pairs), **named)),
            "namespace": Function(lambda *pairs, **named: Namespace(dict(*map(self._pairs, pairs), **named))),
            "raise_exception": Function(_refuse),
            "strftime_now": Function(_now),
        })  # fmt: skip

    def render(self, template: nodes.Template, variables: Mapping[str, Any]) -> str:
        """What the template makes of the variables."""
        for value in variables.values():
            self._made(value)
        scope = Scope(dict(variables), self._globals)
        return self._captured(lambda: self._run(template.body, scope))

    # --- Statements -------------------------------------------------------------------------------------------

    def execute(self, node: nodes.Node, scope: Scope) -> None:
        """Carry out a statement."""
        self.budget.step()
        self._method(_STATEMENTS, node)(self, node, scope)

    @staticmethod
    def _method(methods: Mapping[type, Callable], node: nodes.Node) -> Callable:
        if type(node) not in methods:
            what = type(node).__name__.lower()
            raise jinja2.exceptions.SecurityError(f"{what!r} (line {node.lineno}) is not allowed in a template")
        return methods[type(node)]

    def _run(self, body: Iterable[nodes.Node], scope: Scope) -> None:
        for node in body:
            self.execute(node, scope)

    def _captured(self, run: Callable[[], None]) -> str:
        """The text that is printed meanwhile."""
        before = self._out, self._length
        self._out, self._length = [], 0
        try:
            run()
            return self._made(tt.joined(self._out))
        finally:
            self._out, self._length = before

    def _output(self, node: nodes.Output, scope: Scope) -> None:
        for part in node.nodes:
            self._write(part.data if isinstance(part, nodes.TemplateData) else self.evaluate(part, scope))

    def _write(self, value: Any) -> None:
        text = tt.text_of(value)
        self._length += len(text)
        check_size(self._length)
        self._out.append(text)

    def _if(self, node: nodes.If, scope: Scope) -> None:
        for branch in (node, *node.elif_):
            if self.evaluate(branch.test, scope):
                return self._run(branch.body, scope)
        return self._run(node.else_, scope)

    def _for(self, node: nodes.For, scope: Scope) -> None:
        self._loop(node, self.evaluate(node.iter, scope), scope, 0)

    def _loop(self, node: nodes.For, over: Any, scope: Scope, depth: int) -> None:
        items = entries(over)
        if node.test is not None:
            items = [item for item in items if self._passes(node, item, scope)]
        loop = Loop(items, depth)
        if node.recursive:
            loop.run = lambda inner: self._captured(lambda: self._loop(node, inner, scope, depth + 1))
        self._made(items)
        if not items:
            self._run(node.else_, Scope({}, scope))
        for loop.index0, item in enumerate(items):
            inside = Scope({"loop": loop}, scope)
            self._assign(node.target, item, inside)
            try:
                self._run(node.body, inside)
            except _Continue:
                continue
            except _Break:
                break

    def _break(self, node: nodes.Break, scope: Scope) -> NoReturn:
        raise _Break

    def _continue(self, node: nodes.Continue, scope: Scope) -> NoReturn:
        raise _Continue

    def _passes(self, node: nodes.For, item: Any, scope: Scope) -> bool:
        inside = Scope({}, scope)
        self._assign(node.target, item, inside)
        return bool(self.evaluate(node.test, inside))  # type: ignore[arg-type]

    def _assign(self, target: nodes.Node, value: Any, scope: Scope) -> None:
        if isinstance(target, nodes.Name):
            scope.names[target.name] = value
        elif isinstance(target, nodes.Tuple):
            values = entries(value)
            if len(values) != len(target.items):
                raise ValueError(f"{len(values)} values for {len(target.items)} names")
            for inner, part in zip(target.items, values, strict=True):
                self._assign(inner, part, scope)
        elif isinstance(target, nodes.NSRef):
            namespace = scope.find(target.name)
            if not isinstance(namespace, Namespace):
                raise jinja2.TemplateRuntimeError(f"{target.name} is no namespace: only their attributes can be set")
            namespace.values[target.attr] = value

    def _set(self, node: nodes.Assign, scope: Scope) -> None:
        self._assign(node.target, self.evaluate(node.node, scope), scope)

    def _block(self, node: nodes.Scope, scope: Scope) -> None:
        self._run(node.body, Scope({}, scope))

    def _set_block(self, node: nodes.AssignBlock, scope: Scope) -> None:
        text = self._captured(lambda: self._block(node, scope))  # type: ignore[arg-type]
        self._assign(node.target, text if node.filter is None else self._filter(node.filter, scope, text), scope)

    def _filter_block(self, node: nodes.FilterBlock, scope: Scope) -> None:
        text = self._captured(lambda: self._block(node, scope))  # type: ignore[arg-type]
        self._write(self._filter(node.filter, scope, text))

    def _with(self, node: nodes.With, scope: Scope) -> None:
        inside = Scope({}, scope)
        for target, value in zip(node.targets, node.values, strict=True):
            self._assign(target, self.evaluate(value, scope), inside)
        self._run(node.body, inside)

    def _macro(self, node: nodes.Macro, scope: Scope) -> None:
        scope.names[node.name] = self._function(node, node.name, scope)

    def _call_block(self, node: nodes.CallBlock, scope: Scope) -> None:
        self._write(self._call(node.call, scope, caller=self._function(node, "caller", scope)))

    def _function(self, node: nodes.Macro | nodes.CallBlock, name: str, scope: Scope) -> Function:
        names = [argument.name for argument in node.args]
        defaults = dict(zip(names[len(names) - len(node.defaults) :], node.defaults, strict=True))
        used = {inner.name for part in node.body for inner in part.find_all(nodes.Name)}

        def run(*arguments: Any, **named: Any) -> str:
            inside = Scope(dict(zip(names, arguments, strict=False)), scope)
            for number, argument in enumerate(names):
                if argument in named:
                    if number < len(arguments):
                        raise TypeError(f"{name}() got two values for {argument!r}")
                    inside.names[argument] = named.pop(argument)
                elif number >= len(arguments):
                    missing = Undefined(f"parameter {argument!r} was not provided", name=argument)
                    given = defaults.get(argument)
                    inside.names[argument] = missing if given is None else self.evaluate(given, inside)
            rest = {"varargs": arguments[len(names) :], "caller": named.pop("caller", None), "kwargs": named}
            if rest["caller"] is None:
                rest["caller"] = Undefined("no caller defined", name="caller")
            elif "caller" not in used:
                raise TypeError(f"{name}() is called with a block and does not use it")
            for kind in ("varargs", "kwargs"):
                if rest[kind] and kind not in used:
                    raise TypeError(f"{name}() does not take {rest[kind]!r:.80}")
                self._made(rest[kind])
            inside.names |= {kind: value for kind, value in rest.items() if kind in used and kind not in names}
            self._depth += 1
            try:
                if self._depth > DEPTH:
                    raise RecursionError
                return self._captured(lambda: self._run(node.body, inside))
            finally:
                self._depth -= 1

        return Function(run)

    # --- Expressions ------------------------------------------------------------------------------------------

    def evaluate(self, node: nodes.Node, scope: Scope) -> Any:
        """The value of an expression."""
        self.budget.step()
        return self._method(_EXPRESSIONS, node)(self, node, scope)

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
        named = {pair.key: self.evaluate(pair.value, scope) for pair in node.kwargs}
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
        try:
            if isinstance(value, str):
                return tt.cut(value, key, key + 1 or None) if value[key] else ""
            if isinstance(value, (list, tuple, dict, range)):
                return value[key]
        except (TypeError, LookupError):
            pass
        return self.attribute(value, key, items=False) if isinstance(key, str) else Undefined(obj=value, name=key)

    def _formatted(self, form: str, arguments: tuple, named: dict[str, Any]) -> str:
        count = iter(range(len(arguments)))

        def find(field: str) -> Any:
            first, *rest = re.split(r"(\.[^.\[]+|\[[^\]]+\])", field)
            if first and not first.isdigit():
                value = named[first]
            else:
                value = arguments[_index(first) if first else next(count)]
            for part in filter(None, rest):
                name = part[1:] if part[0] == "." else part[1:-1]
                value = self.attribute(value, name) if part[0] == "." else self.item(value, _index(name))
            return value

        return tt.formatted(form, find)

    def _pairs(self, value: Any) -> Any:
        return value if isinstance(value, dict) else [entries(pair) for pair in entries(value)]


def _index(name: str) -> int | str:
    return int(name) if name.isdigit() and len(name) < 10 else name


def _range(*bounds: Any) -> range:
    made = range(*bounds)
    check_size(20 * len(made))
    return made


def _now(form: str) -> str:
    if len(form) > 100 or re.search(r"%\W?\d", form):
        raise LimitError("strftime_now takes a short format, without widths")
    return time.strftime(form)


def _refuse(message: Any = "") -> NoReturn:
    raise RefusedError(tt.text_of(message)[:500])


_STATEMENTS: dict[type, Callable[[Sandbox, Any, Scope], None]] = {
    nodes.Output: Sandbox._output,
    nodes.If: Sandbox._if,
    nodes.For: Sandbox._for,
    nodes.Break: Sandbox._break,
    nodes.Continue: Sandbox._continue,
    nodes.Assign: Sandbox._set,
    nodes.AssignBlock: Sandbox._set_block,
    nodes.Scope: Sandbox._block,
    nodes.With: Sandbox._with,
    nodes.FilterBlock: Sandbox._filter_block,
    nodes.Macro: Sandbox._macro,
    nodes.CallBlock: Sandbox._call_block,
}
_EXPRESSIONS: dict[type, Callable[[Sandbox, Any, Scope], Any]] = {
    nodes.Const: lambda sandbox, node, scope: sandbox._made(node.value),
    nodes.Name: lambda sandbox, node, scope: scope.find(node.name),
    nodes.List: lambda sandbox, node, scope: sandbox._made(sandbox._all(node.items, scope)),
    nodes.Tuple: lambda sandbox, node, scope: sandbox._made(tuple(sandbox._all(node.items, scope))),
    nodes.Dict: Sandbox._dictionary,
    nodes.Concat: lambda sandbox, node, scope: sandbox._made(summed(sandbox._all(node.nodes, scope))),
    nodes.And: lambda sandbox, node, scope: sandbox.evaluate(node.left, scope) and sandbox.evaluate(node.right, scope),
    nodes.Or: lambda sandbox, node, scope: sandbox.evaluate(node.left, scope) or sandbox.evaluate(node.right, scope),
    nodes.Not: lambda sandbox, node, scope: not sandbox.evaluate(node.node, scope),
    nodes.Neg: lambda sandbox, node, scope: negative(sandbox.evaluate(node.node, scope)),
    nodes.Pos: lambda sandbox, node, scope: +sandbox.evaluate(node.node, scope),
    nodes.CondExpr: Sandbox._conditional,
    nodes.Compare: Sandbox._compare,
    nodes.Getattr: lambda sandbox, node, scope: sandbox.attribute(sandbox.evaluate(node.node, scope), node.attr),
    nodes.Getitem: Sandbox._getitem,
    nodes.Filter: Sandbox._filter,
    nodes.Test: Sandbox._test,
    nodes.Call: Sandbox._call,
    **{kind: Sandbox._operator for kind in (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
                                            nodes.Pow)},
}  # fmt: skip
