"""Chat templates: how a conversation becomes the one text that a chat model was trained on.

A checkpoint brings its template as a program in Jinja. It comes from a stranger, so it runs in a sandbox of its own
(`template_sandbox`) that gives it nothing but the messages. What a user writes never becomes a special token, whatever
it spells and whatever the template does with it (`template_text`). What templates get, and how they are read, is as in
the transformers library.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.atomic import write_text
from ..files.gguf import GgufFile
from ..files.strict_json import read_json_object
from .formats.surroundings import Surroundings
from .template_sandbox import Sandbox
from .template_source import explained, parse
from .template_text import from_messages, marked

Messages = Iterable[Mapping[str, Any]]

LONGEST_SOURCE = 100_000
ROLES = frozenset("system user assistant tool function developer ipython observation".split())
"""What a message's role usually is. These words steer, as the caller wants them to: a template that spells special
tokens with them ("<|" + role + "|>") means it. Any other role is text like the rest of the message."""

_GGUF_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "sep": "seperator"}  # spelt like that


class ChatTemplate:
    """A template and the texts of its special tokens.

    source: the template, or several by name: "default", "tool_use" and others
    tokens: further special tokens by role, {"unk": "<unk>"}: the template sees unk_token

    >>> source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ eos_token }}"
    >>> template = ChatTemplate(source, eos="!")
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<user>Hello!'
    """

    def __init__(
        self,
        source: str | Mapping[str, str],
        *,
        bos: str = "",
        eos: str = "",
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.sources = dict(source) if isinstance(source, Mapping) else {"default": source}
        self.bos, self.eos = bos, eos
        self._tokens = {f"{role}_token": text for role, text in {**(tokens or {}), "bos": bos, "eos": eos}.items()}
        for name, text in {**self.sources, **self._tokens}.items():
            if not isinstance(text, str):
                what = name if name in self._tokens else "a chat template"
                raise TypeError(f"{what} is a text, not {type(text).__name__}")
            if len(text) > LONGEST_SOURCE:
                raise ValueError(
                    f"the chat template has {len(text):,} characters; no honest one has {LONGEST_SOURCE:,}"
                )
        with explained("cannot be read"):
            self._parsed = {name: parse(text) for name, text in self.sources.items()}

    @property
    def source(self) -> str:
        """The template that is used when none is named."""
        return self.sources["default"] if "default" in self.sources else next(iter(self.sources.values()), "")

    @classmethod
    def from_pretrained(cls, path: str | Path) -> ChatTemplate:
        """The template of a .gguf file, or of a directory with chat_template.jinja or tokenizer_config.json.

        Raises ValueError where there is none, or it cannot be read.
        """
        found = cls.beside(path)
        if found is None:
            raise ValueError(f"{path} has no chat template: it is not a chat model, or its template was lost")
        return found

    @classmethod
    def beside(cls, path: str | Path) -> ChatTemplate | None:
        """`from_pretrained`, or None where there is none; a file that is no GGUF stands for its directory."""
        path = Path(path)
        if path.suffix.lower() == ".gguf":
            sources, tokens = _from_gguf(path)
        else:
            sources, tokens = _from_directory(path.parent if path.is_file() else path)
        if not sources:
            return None
        return cls(sources, bos=tokens.pop("bos", ""), eos=tokens.pop("eos", ""), tokens=tokens)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `chat_template.jinja`, and further templates to `additional_chat_templates/NAME.jinja`."""
        for name, source in self.sources.items():
            file = "chat_template.jinja" if name == "default" else f"additional_chat_templates/{name}.jinja"
            write_text(Path(directory) / file, source)

    def render(
        self,
        messages: Messages,
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """The text of a conversation.

        messages:  each a "role" (system, user, assistant …) and its "content": a text, a list of parts, or None
                   beside other keys such as "tool_calls"; whatever else a message has is passed on
        add_generation_prompt: end with the beginning of an answer
        tools, documents: as the template expects them, usually JSON schemas of functions, and titles with texts
        template:  which of several; by default "tool_use" if there are tools and it exists, else "default"
        variables: anything else the template reads, such as `enable_thinking`

        Raises ValueError when the template refuses the conversation, fails, or exceeds its limits; TypeError for
        messages that are none.
        """
        return str(self.rendered(messages, add_generation_prompt=add_generation_prompt, tools=tools,
                                 documents=documents, template=template, **variables))  # fmt: skip

    def rendered(
        self,
        messages: Messages,
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """`render`, with the origin of each character (`template_text`): 2 + the number of its message, modulo 60."""
        if template is None:
            template = "tool_use" if tools is not None and "tool_use" in self._parsed else "default"
        if template not in self._parsed:
            raise ValueError(f"there is no chat template {template!r}: name one of {list(self._parsed)}")
        checked = _checked(messages)
        given = {"tools": tools, "documents": documents, **variables}
        for name, value in given.items():
            try:
                given[name] = marked(value)
            except (TypeError, RecursionError) as error:
                raise TypeError(f"{name}: {error}") from None
        with explained("failed"):
            return Sandbox().render(
                self._parsed[template],
                {**self._tokens, **given, "messages": checked, "add_generation_prompt": bool(add_generation_prompt)},
            )

    def encode(
        self,
        tokenizer: Any,
        messages: Messages,
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        **variables: Any,
    ) -> list[int]:
        """The ids of what `render` gives, by a `Tokenizer`.

        A special token counts only where the template wrote all of it: one that has a character of a message in it, or
        of another variable that was passed, is encoded as plain text.
        """
        text = self.rendered(messages, add_generation_prompt=add_generation_prompt, tools=tools,
                             documents=documents, template=template, **variables)  # fmt: skip
        added = tokenizer.added_tokens
        found = added.segments(str(text), added.choose("all"), written_by_template(text))
        return [number for ids in tokenizer.encode_segments(found) for number in ids.tolist()]


def message_number(place: int) -> int:
    """The origin of what comes out of the message at this place of a conversation."""
    return 2 + place % 60


def written_by_template(text: str) -> Callable[[int, int], bool]:
    """The question about a place in a rendered text: is none of it from a message?"""
    said = from_messages(text)
    return lambda start, end: 1 not in said[start:end]


def _checked(messages: Any) -> list[dict[str, Any]]:
    """A marked copy of the messages."""
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Iterable):
        raise TypeError(f"messages must be a list of {{'role': …, 'content': …}}, not {type(messages).__name__}")
    made = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str) or len(message) < 2:
            raise TypeError(f"message {number} must have a text 'role' and a 'content', got {message!r:.80}")
        if not isinstance(message.get("content"), (str, list, tuple, type(None))):
            raise TypeError(f"message {number} must have a text or a list as 'content', got {message!r:.80}")
        try:
            copy = marked(message, message_number(number))
        except (TypeError, RecursionError) as error:
            raise TypeError(f"message {number}: {error}") from None
        if message["role"] in ROLES:
            copy["role"] = str(message["role"])
        made.append(copy)
    return made


# --- Where templates are found --------------------------------------------------------------------------------


def _named(entries: Any, path: Path) -> dict[str, str]:
    """Several templates by name, from a list of {"name", "template"}; or one, from a text."""
    if entries is None or isinstance(entries, str):
        return {} if entries is None else {"default": entries}
    named = {e["name"]: e["template"] for e in entries if isinstance(e, dict) and isinstance(e.get("name"), str)
             and isinstance(e.get("template"), str)} if isinstance(entries, list) else {}  # fmt: skip
    if not named:
        raise ValueError(f"{path}: chat_template must be a text or a list of names and templates")
    return named


def _from_directory(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The templates of a directory by name, and its special tokens by role."""
    sources: dict[str, str] = {}
    tokens: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json", "chat_template.json"):  # the later one counts
        if not (path / name).is_file():
            continue
        settings = read_json_object(path / name)
        sources |= _named(settings.get("chat_template"), path / name)
        for key, token in settings.items():
            token = token.get("content") if isinstance(token, dict) else token
            if key.endswith("_token") and isinstance(token, str):
                tokens[key.removesuffix("_token")] = token
    tokens |= {role: token for role, token in Surroundings(path).roles.items() if token}  # as the tokenizer has them
    files = {file.stem: file for file in sorted(path.glob("additional_chat_templates/*.jinja"))}
    if (path / "chat_template.jinja").is_file():
        files["default"] = path / "chat_template.jinja"
    return sources | {name: file.read_text(encoding="utf-8") for name, file in files.items()}, tokens


def _from_gguf(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The templates of a .gguf file by name, and its special tokens by role."""
    metadata = GgufFile(path).metadata
    sources = _named(metadata.get("tokenizer.chat_template"), path)
    for name in metadata.get("tokenizer.chat_templates") or []:
        if isinstance(source := metadata.get(f"tokenizer.chat_template.{name}"), str):
            sources[str(name)] = source
    texts, tokens = metadata.get("tokenizer.ggml.tokens") or [], {}
    for role, key in _GGUF_ROLES.items():
        number = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if number is None:
            continue
        if not isinstance(number, int) or not 0 <= number < len(texts):
            raise ValueError(f"{path}: {key}_token_id is {number!r}, but there are {len(texts)} tokens")
        tokens[role] = texts[number]
    return sources, tokens
