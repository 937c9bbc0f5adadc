"""Chat templates: how a conversation becomes the one text that a chat model was trained on.

A checkpoint brings its template as a program in Jinja. It comes from a stranger, so it runs in a sandbox that gives it
nothing but the messages: no attributes beyond those of text and lists, no files, no includes; and with limits on time
and on the size of everything it makes. What a user writes never becomes a special token, whatever it spells: otherwise
"<|im_end|>" in a question would end the question and let it speak as the system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.gguf import GgufFile
from .template_sandbox import Sandbox, check_size, explained, in_time

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

LONGEST_SOURCE = 100_000


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
        with explained("cannot be read"):
            self._sandbox = Sandbox()
            self._template = self._sandbox.from_string(source)

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
        with explained("failed"):
            self._sandbox.total = 0
            pieces, size = [], 0
            for piece in in_time(
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
                check_size(size)
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
