"""Chat templates: how a conversation becomes the one text that a chat model was trained on.

A checkpoint brings its template as a program in Jinja. It comes from a stranger, so it runs in a sandbox that gives it
nothing but the messages: no attributes beyond those of text and lists, no files, no includes; and with limits on time
and on the size of everything it makes. What a user writes never becomes a special token, whatever it spells: otherwise
"<|im_end|>" in a question would end the question and let it speak as the system.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..files.gguf import GgufFile

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

SECONDS = 2.0  # a real template takes a millisecond
SIZE = 2_000_000  # characters, or entries of a list
LONGEST_SOURCE = 100_000

_STRING_METHODS = frozenset(
    "strip lstrip rstrip split rsplit splitlines startswith endswith upper lower title capitalize find rfind index "
    "count isdigit isalpha isspace isupper islower removeprefix removesuffix partition rpartition".split()
)
_OTHER_METHODS = {dict: {"items", "keys", "values", "get"}, list: {"index", "count"}, tuple: {"index", "count"}}
_FILTERS = frozenset(
    "trim upper lower title capitalize length count first last default d list string int float items selectattr "
    "rejectattr select reject map sort unique reverse dictsort safe abs min max sum round".split()
)


class ChatTemplate:
    """A template and the texts of its special tokens.

    >>> source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ eos_token }}"
    >>> template = ChatTemplate(source, eos="!")
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<user>Hello!'
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        if not isinstance(source, str):
            raise TypeError(f"a chat template is a text, not {type(source).__name__}")
        if len(source) > LONGEST_SOURCE:
            raise ValueError(f"the chat template has {len(source):,} characters; no honest one has {LONGEST_SOURCE:,}")
        self.source, self.bos, self.eos = source, bos, eos
        with _explained("cannot be read"):
            self._template = _Sandbox().from_string(source)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> ChatTemplate:
        """The template of a .gguf file, or of a directory with chat_template.jinja or tokenizer_config.json.

        Raises ValueError where there is none, or it cannot be read.
        """
        path = Path(path)
        source: Any = None
        if path.suffix.lower() == ".gguf":
            metadata = GgufFile(path).metadata
            source, texts = metadata.get("tokenizer.chat_template"), metadata.get("tokenizer.ggml.tokens") or []
            bos, eos = (
                texts[number] if isinstance(number, int) and number < len(texts) else ""
                for number in (metadata.get(f"tokenizer.ggml.{role}_token_id") for role in ("bos", "eos"))
            )
        else:
            settings: dict[str, Any] = {}
            if (path / "tokenizer_config.json").is_file():
                settings = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
            source = settings.get("chat_template")
            if isinstance(source, list):  # several, each with a name
                named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
                source = named.get("default")
            if (path / "chat_template.jinja").is_file():
                source = (path / "chat_template.jinja").read_text(encoding="utf-8")
            bos, eos = (
                token.get("content", "") if isinstance(token, dict) else token or ""
                for token in (settings.get("bos_token"), settings.get("eos_token"))
            )
        if not isinstance(source, str):
            raise ValueError(f"{path} has no chat template: it is not a chat model, or its template was lost")
        return cls(source, bos=bos, eos=eos)

    def render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False) -> str:
        """The text of a conversation.

        messages: each a "role" (system, user, assistant) and its "content". add_generation_prompt: end with the
        beginning of an answer. Raises ValueError when the template refuses the conversation, fails, or exceeds its
        limits; TypeError for messages that are none.
        """
        checked = _checked(messages)
        with _explained("failed"):
            pieces, size = [], 0
            for piece in _in_time(
                self._template.generate(
                    messages=checked,
                    add_generation_prompt=bool(add_generation_prompt),
                    bos_token=self.bos,
                    eos_token=self.eos,
                    tools=None,
                )
            ):
                pieces.append(piece)
                size += len(piece)
                _check_size(size)
        return "".join(pieces)

    def encode(
        self, tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """The ids of a conversation. Special tokens come from the template only, never from what messages spell."""
        checked = _checked(messages)
        everything = self.source + self.bos + self.eos + "".join(m["content"] + m["role"] for m in checked)
        mark = next(chr(code) for code in range(0xFDD0, 0xFDF0) if chr(code) not in everything)  # no character at all
        contents = sorted(tokenizer.added_tokens.by_content, key=len, reverse=True)
        for message in checked:
            for part in ("role", "content"):
                for content in contents:  # a mark inside keeps the token from being found
                    message[part] = message[part].replace(content, content[0] + mark + content[1:])
        text = self.render(checked, add_generation_prompt=add_generation_prompt)
        ids: list[int] = []
        for piece, number in tokenizer.added_tokens.segments(text, tokenizer.added_tokens.choose("all")):
            ids += [number] if number >= 0 else _plain_ids(tokenizer, piece.replace(mark, ""))
        return ids


def _plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text) if text else []


def _checked(messages: Any) -> list[dict[str, str]]:
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Iterable):
        raise TypeError(f"messages must be a list of {{'role': …, 'content': …}}, not {type(messages).__name__}")
    made = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise TypeError(f"message {number} must have the texts 'role' and 'content', got {message!r:.80}")
        made.append({"role": message["role"], "content": message["content"]})
    return made


class _explained:
    """Turns whatever goes wrong inside a template into a ValueError that says so."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _Refused):
            raise ValueError(f"the chat template refuses this conversation: {error}") from None
        if isinstance(error, RecursionError):
            raise ValueError(f"the chat template {self._what}: it calls itself without end") from None
        if isinstance(error, Exception):
            raise ValueError(f"the chat template {self._what}: {error or type(error).__name__}") from None


class _Refused(Exception):
    """The template called raise_exception."""


class _LimitError(Exception):
    """The template did too much."""


def _in_time(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces, as long as making them takes less than SECONDS in all: every line of the template looks at the clock.

    A loop that prints nothing cannot be stopped from outside its thread, so the interpreter's tracing is used.
    """
    deadline = time.monotonic() + SECONDS

    def look(frame: Any, event: str, argument: Any) -> Any:
        if time.monotonic() > deadline:
            raise _LimitError(f"it was not done after {SECONDS:.0f} seconds")
        return look

    while True:
        before = sys.gettrace()
        sys.settrace(look)
        try:
            piece = next(pieces)
        except StopIteration:
            return
        finally:
            sys.settrace(before)
        yield piece


def _check_size(size: int) -> None:
    if size > SIZE:
        raise _LimitError(f"it makes a text or list of more than {SIZE:,} entries")


class _Generator(CodeGenerator):
    """Compiles a ~ b to a call that looks at the size first."""

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:
        self.write("environment.joined('', (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with what chat templates use, and nothing that could reach out or grow without bound."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=["jinja2.ext.loopcontrols"],
            cache_size=0,
        )  # fmt: skip
        self.filters = {name: function for name, function in self.filters.items() if name in _FILTERS}
        self.filters |= {"join": self._join_filter, "replace": self._replaced, "tojson": _to_json, "trim": str.strip}
        self.globals = {
            "namespace": self.globals["namespace"],
            "dict": dict,
            "range": _range,
            "raise_exception": _refuse,
            "strftime_now": lambda form: time.strftime(str(form)[:100]),
        }

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, names in ((str, _STRING_METHODS), *_OTHER_METHODS.items()):
            if isinstance(obj, kind):
                return attr in names
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        raise jinja2.exceptions.SecurityError(f"{attribute!r} of a {type(obj).__name__} is not allowed in a template")

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, str) and attribute == "replace":
            return lambda old, new, count=-1: self._replaced(obj, old, new, count)
        if isinstance(obj, str) and attribute == "join":
            return lambda parts: self.joined(obj, parts)
        if isinstance(obj, str) and attribute not in _STRING_METHODS:  # also `format`, which jinja would let through
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        both = isinstance(obj, str) and isinstance(argument, str)
        return self.getattr(obj, argument) if both else super().getitem(obj, argument)

    def joined(self, separator: str, parts: Iterable[Any]) -> str:
        """The parts as one text, if it is not too long."""
        texts = []
        size = 0
        for part in parts:
            texts.append(str(part))
            size += len(texts[-1]) + len(separator)
            _check_size(size)
        return separator.join(texts)

    def _join_filter(self, parts: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        chosen = parts if attribute is None else (self.getitem(part, attribute) for part in parts)
        return self.joined(str(separator), chosen)

    def _replaced(self, text: Any, old: str, new: str, count: int | None = -1) -> str:
        text = str(text)
        _check_size(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
        return text.replace(old, new, -1 if count is None else count)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, (str, list, tuple)) else None for side in (left, right)]
        if operator == "%" and sizes[0] is not None:
            raise jinja2.exceptions.SecurityError("formatting with % is not allowed in a template: use ~")
        if operator == "+" and None not in sizes:
            _check_size(sizes[0] + sizes[1])  # type: ignore[operator]
        elif operator == "*" and sizes != [None, None]:
            times = right if sizes[0] is not None else left
            _check_size((sizes[0] if sizes[0] is not None else sizes[1]) * times)  # type: ignore[operator]
        elif operator in ("*", "**") and any(isinstance(side, int) and abs(side) > 2**31 for side in (left, right)):
            raise _LimitError("it computes with numbers beyond all measure")
        elif operator == "**" and abs(right) > 32:
            raise _LimitError("it computes with numbers beyond all measure")
        return super().call_binop(context, operator, left, right)


def _range(*bounds: Any) -> range:
    numbers = range(*bounds)
    _check_size(10 * len(numbers))
    return numbers


def _refuse(message: Any) -> None:
    raise _Refused(str(message))


def _to_json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))
    _check_size(len(text))
    return text
