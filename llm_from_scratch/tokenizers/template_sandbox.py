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
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.runtime import Undefined

from . import template_limits as limits
from . import template_text as tt
from .template_expressions import Expressions, method_for
from .template_limits import LimitError, check_entries, check_size
from .template_scope import Function, Loop, Namespace, Scope
from .template_source import RefusedError
from .template_values import entries


class _Break(Exception):
    """{% break %}"""


class _Continue(Exception):
    """{% continue %}"""


class Sandbox(Expressions):
    """One rendering of one template.

    >>> from llm_from_scratch.tokenizers.template_source import parse
    >>> template = parse("{% for m in messages %}{{ loop.index }}. {{ m.text | trim }} {% endfor %}")
    >>> Sandbox().render(template, {"messages": [{"text": " one"}, {"text": "two "}]})
    '1. one 2. two '
    """

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._out: list[str] = []  # what is printed
        self._length = 0
        self._generated = 0  # generation blocks so far
        self._globals = Scope({
            "range": Function(_range),
            "dict": Function(lambda *pairs, **named: dict(*map(self._pairs, pairs), **named)),
            "namespace": Function(lambda *pairs, **named: Namespace(dict(*map(self._pairs, pairs), **named))),
            "raise_exception": Function(_refuse),
            "strftime_now": Function(_now),
        })  # fmt: skip

    def render(self, template: nodes.Template, variables: Mapping[str, Any]) -> str:
        """What the template makes of the variables."""
        try:
            for value in variables.values():
                self._made(value)
        except LimitError:
            raise LimitError(f"the conversation is too long, more than {limits.SIZE:,} characters") from None
        scope = Scope(dict(variables), self._globals)
        return self._captured(lambda: self._run(template.body, scope))

    # --- Statements -------------------------------------------------------------------------------------------

    def execute(self, node: nodes.Node, scope: Scope) -> None:
        """Carry out a statement."""
        self.budget.step()
        method_for(_STATEMENTS, node)(self, node, scope)

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
        if depth > limits.DEPTH:
            raise RecursionError
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

    def _generation(self, node: nodes.Scope, scope: Scope) -> None:
        before, number = len(self._out), self._generated
        self._generated += 1
        try:
            self._block(node, scope)
        finally:  # also where a {% break %} leaves the block
            self._out[before:] = [tt.generated(part, number) for part in self._out[before:]]

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
                if self._depth > limits.DEPTH:
                    raise RecursionError
                return self._captured(lambda: self._run(node.body, inside))
            finally:
                self._depth -= 1

        return Function(run)


def _range(*bounds: Any) -> range:
    made = range(*bounds)
    check_entries(len(made))
    return made


def _now(form: str) -> str:
    if len(form) > 100 or re.search(r"%\W?\d", form):
        raise LimitError("strftime_now takes a short format, without widths")
    return datetime.now().strftime(form)


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
    nodes.Scope: Sandbox._generation,
    nodes.With: Sandbox._with,
    nodes.FilterBlock: Sandbox._filter_block,
    nodes.Macro: Sandbox._macro,
    nodes.CallBlock: Sandbox._call_block,
}
