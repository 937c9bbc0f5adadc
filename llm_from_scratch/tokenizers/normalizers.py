"""What is done to plain text before it is cut into words: the normalizers of `tokenizer.json`, a step a function.

Each is text in, text out. Which letters compose with which is a matter of the Unicode version of the Python that runs
this; the library `tokenizers` has its own, so that signs of the last years may differ.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import regex

from .charsmap import Charsmap
from .checks import flag
from .expressions import compile_pattern, escape

Part = tuple[int, int, str]
"""What became of text[start:end]."""


@dataclass(frozen=True)
class Step:
    """What is done to a text; and the same part by part, for whoever asks where a character came from.

    whole: from the text to what becomes of it. parts: the same as (start, end, what became of text[start:end]).
    """

    whole: Callable[[str], str]
    parts: Callable[[str], Iterator[Part]]

    @classmethod
    def by(cls, pattern: str, whole: Callable[[str], str]) -> Step:
        """A step that does to each match of a pattern (which leaves nothing out) what it does to the whole."""
        find = regex.compile(pattern, regex.DOTALL).finditer

        def parts(text: str) -> Iterator[Part]:
            for match in find(text):
                made = whole(match[0])
                if made == match[0]:  # nothing happens to it: each character comes from itself
                    yield from ((i, i + 1, text[i]) for i in range(*match.span()))
                else:
                    yield (*match.span(), made)

        return cls(whole, parts)


WHITE_SPACE = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | set(
    map(chr, range(0x2000, 0x200B))
)
"""The characters with Unicode's property White_Space (str.isspace counts four control characters more)."""


class Normalizer:
    """The "normalizer" of a `tokenizer.json`. ValueError names what is not supported.

    >>> Normalizer({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})("Ｈｉ ﬁsh")
    'hi fish'
    >>> Normalizer({"type": "Nmt"})
    Traceback (most recent call last):
    ValueError: normalizer 'Nmt' is not supported: expected one of ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', \
'Strip', 'StripAccents', 'Replace', 'Prepend', 'Precompiled', 'Sequence']
    """

    def __init__(self, described: Any):
        self.described = described
        self.steps = _steps(described)

    def __call__(self, text: str) -> str:
        """The normalised text."""
        for step in self.steps:
            text = step.whole(text)
        return text

    def aligned(self, text: str, start: int = 0) -> tuple[str, list[tuple[int, int]]]:
        """The normalised text, and for each of its characters where what it was made of begins and ends.

        Places are counted from `start`. What was made of nothing (a prefix) has a place without length.

        >>> Normalizer({"type": "Prepend", "prepend": "_"}).aligned("ab")
        ('_ab', [(0, 0), (0, 1), (1, 2)])
        """
        spans = [(i, i + 1) for i in range(start, start + len(text))]
        for step in self.steps:
            made, places = [], []
            for first, last, content in step.parts(text):
                place = (spans[first][0], spans[last - 1][1]) if last > first else (start, start)
                made.append(content)
                places += [place] * len(content)
            text, spans = "".join(made), places
        return text, spans

    def __reduce__(self) -> tuple[Any, ...]:
        return Normalizer, (self.described,)

    def __repr__(self) -> str:
        return f"Normalizer({self.described!r})"


def _steps(described: Any) -> list[Step]:
    kind = described.get("type") if isinstance(described, dict) else described
    if kind == "Sequence":
        inner = described.get("normalizers")
        if not isinstance(inner, list):
            raise ValueError("normalizer of type Sequence needs a list named 'normalizers'")
        return [step for part in inner for step in _steps(part)]
    if not isinstance(kind, str) or kind not in _MAKERS:
        raise ValueError(f"normalizer {kind!r} is not supported: expected one of {[*_MAKERS, 'Sequence']}")
    return [_MAKERS[kind](described)]


def _form(settings: dict[str, Any]) -> Step:
    # Nothing composes with an ASCII character that follows it, so a part may begin at each.
    return Step.by(r"[\x00-\x7f]?[^\x00-\x7f]+|.", functools.partial(unicodedata.normalize, settings["type"]))


def _lowercase(settings: dict[str, Any]) -> Step:
    # Letter by letter: str.lower looks around a Σ, the library does not.
    return Step.by(".", lambda text: "".join([character.lower() for character in text]))


def _strip(settings: dict[str, Any]) -> Step:
    white = "".join(WHITE_SPACE)
    left, right = (flag(settings, f"strip_{side}", True, "Strip: ") for side in ("left", "right"))

    def whole(text: str) -> str:
        text = text.lstrip(white) if left else text
        return text.rstrip(white) if right else text

    def parts(text: str) -> Iterator[Part]:
        begin = len(text) - len(text.lstrip(white)) if left else 0
        return ((begin + i, begin + i + 1, character) for i, character in enumerate(whole(text)))

    return Step(whole, parts)


def _strip_accents(settings: dict[str, Any]) -> Step:
    return Step.by(".", lambda text: "".join([c for c in text if not unicodedata.category(c).startswith("M")]))


def _replace(settings: dict[str, Any]) -> Step:
    content = _string(settings, "content")
    pattern = pattern_of(settings, "normalizer Replace")

    def parts(text: str) -> Iterator[Part]:
        at = 0
        for match in pattern.finditer(text):
            yield from ((i, i + 1, text[i]) for i in range(at, match.start()))
            yield (*match.span(), content)
            at = match.end()
        yield from ((i, i + 1, text[i]) for i in range(at, len(text)))

    return Step(lambda text: pattern.sub(lambda match: content, text), parts)


def _prepend(settings: dict[str, Any]) -> Step:
    prefix = _string(settings, "prepend")

    def parts(text: str) -> Iterator[Part]:
        if text:
            yield 0, 0, prefix
        yield from ((i, i + 1, character) for i, character in enumerate(text))

    return Step(lambda text: prefix + text if text else text, parts)


def _precompiled(settings: dict[str, Any]) -> Step:
    return Step.by(r"\X", Charsmap.from_base64(settings.get("precompiled_charsmap")).by_grapheme)


_MAKERS: dict[str, Callable[[dict[str, Any]], Step]] = {
    **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD"), _form),
    "Lowercase": _lowercase,
    "Strip": _strip,
    "StripAccents": _strip_accents,
    "Replace": _replace,
    "Prepend": _prepend,
    "Precompiled": _precompiled,
}


def pattern_of(settings: dict[str, Any], name: str) -> Any:
    """The compiled {"Regex": ...} or {"String": ...} of a step."""
    pattern = settings.get("pattern")
    for kind, meaning in (("Regex", str), ("String", escape)):
        if isinstance(pattern, dict) and len(pattern) == 1 and isinstance(pattern.get(kind), str) and pattern[kind]:
            return compile_pattern(meaning(pattern[kind]))
    raise ValueError(f"{name} needs a pattern of the form {{'Regex': ...}} or {{'String': ...}}, got {pattern!r:.80}")


def _string(settings: dict[str, Any], name: str) -> str:
    if not isinstance(settings.get(name), str):
        raise ValueError(f"{settings['type']}: {name} must be a string, got {settings.get(name)!r:.80}")
    return settings[name]
