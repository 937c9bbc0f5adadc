"""From tokens as they are written in `tokenizer.json` back to text: its decoders, a step a function.

A step takes the tokens of a text and gives back tokens; the text is what they are in a row. Without a decoder the
library `tokenizers` puts spaces between tokens, and so does this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .byte_level import to_bytes
from .normalizers import pattern_of
from .steps import prepend_scheme

Step = Callable[[list[str]], list[str]]


class TokenDecoder:
    """The "decoder" of a `tokenizer.json`. ValueError names what is not supported.

    >>> steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
    ...          {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    >>> TokenDecoder({"type": "Sequence", "decoders": steps})(["▁a", "▁", "<0xC3>", "<0xA9>"])
    'a é'
    """

    def __init__(self, described: Any):
        self.described = described
        self._steps = _steps(described)

    def __call__(self, tokens: list[str]) -> str:
        for step in self._steps:
            tokens = step(tokens)
        return (" " if self.described is None else "").join(tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenDecoder, (self.described,)


def _steps(described: Any) -> list[Step]:
    if described is None:
        return []
    kind = described.get("type") if isinstance(described, dict) else described
    if kind == "Sequence":
        inner = described.get("decoders")
        if not isinstance(inner, list) or not all(isinstance(part, dict) for part in inner):
            raise ValueError("decoder of type Sequence needs a list of objects named 'decoders'")
        return [step for part in inner for step in _steps(part)]
    if not isinstance(kind, str) or kind not in _MAKERS:
        raise ValueError(f"decoder {kind!r:.80} is not supported: expected one of {[*_MAKERS, 'Sequence']}")
    return [_MAKERS[kind](described)]


def _byte_level(settings: dict[str, Any]) -> Step:
    def step(tokens: list[str]) -> list[str]:
        parts = [(to_bytes(token), token) for token in tokens]
        data = b"".join([token.encode("utf-8") if spelt is None else spelt for spelt, token in parts])
        return [data.decode("utf-8", "replace")]

    return step


def _replace(settings: dict[str, Any]) -> Step:
    content, pattern = settings.get("content"), pattern_of(settings, "decoder Replace")
    if not isinstance(content, str):
        raise ValueError(f"decoder Replace: content must be a string, got {content!r:.80}")
    return lambda tokens: [pattern.sub(lambda match: content, token) for token in tokens]


def _byte_of(token: str) -> int | None:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16) if token[3:5].isalnum() and token.isascii() else None
        except ValueError:
            return None
    return None


def _byte_fallback(tokens: list[str]) -> list[str]:
    made: list[str] = []
    waiting = bytearray()

    def flush() -> None:
        if waiting:
            try:
                made.append(waiting.decode("utf-8"))
            except UnicodeDecodeError:
                made.extend("\ufffd" * len(waiting))
            waiting.clear()

    for token in tokens:
        byte = _byte_of(token)
        if byte is None:
            flush()
            made.append(token)
        else:
            waiting.append(byte)
    flush()
    return made


def _strip(settings: dict[str, Any]) -> Step:
    content = settings.get("content")
    start, stop = (settings.get(side, -1) for side in ("start", "stop"))
    if not isinstance(content, str) or len(content) != 1 or not all(type(n) is int and n >= 0 for n in (start, stop)):
        raise ValueError(f"decoder Strip needs a character and two counts, got {settings!r:.120}")

    def strip(token: str) -> str:
        left = len(token) - len(token.lstrip(content))
        right = len(token) - len(token.rstrip(content))
        return token[min(left, start) : max(min(left, start), len(token) - min(right, stop))]

    return lambda tokens: [strip(token) for token in tokens]


def _metaspace(settings: dict[str, Any]) -> Step:
    replacement, stays = settings.get("replacement", "▁"), prepend_scheme(settings) == "never"
    if not isinstance(replacement, str) or len(replacement) != 1:
        raise ValueError(f"decoder Metaspace: replacement must be one character, got {replacement!r:.80}")
    return lambda tokens: [
        token.replace(replacement, " " if place or stays else "") for place, token in enumerate(tokens)
    ]


_MAKERS: dict[str, Callable[[dict[str, Any]], Step]] = {
    "ByteLevel": _byte_level,
    "Replace": _replace,
    "ByteFallback": lambda settings: _byte_fallback,
    "Fuse": lambda settings: lambda tokens: ["".join(tokens)],
    "Strip": _strip,
    "Metaspace": _metaspace,
}
