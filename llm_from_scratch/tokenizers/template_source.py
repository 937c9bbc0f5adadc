"""Reading chat templates, and saying what was wrong with them. Jinja's parser is used and nothing else of it runs."""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension


class _Generation(Extension):
    """{% generation %} … {% endgeneration %} stands around what the model is to learn; it changes nothing in the text.

    Nothing else in a template becomes a `Scope`: the sandbox marks what is written inside.
    """

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


# As the transformers library has it.
_PARSER = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])


def parse(source: str) -> nodes.Template:
    """The tree of a template."""
    return _PARSER.parse(source)


class RefusedError(Exception):
    """The template called raise_exception."""


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
