"""Pre-tokenisation: cutting text into the words that byte-pair merges never cross.

A `PreTokenizer` is one of the published patterns by name, a regular expression of one's own, or the steps that a
`tokenizer.json` describes. It also knows where a text may be cut in two without changing the words on either side,
which is what encoding a stream rests on.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels import splitting
from ..kernels.dispatch import backend
from ..kernels.splitting import LETTER, NUMBER, SCHEMES, SPACE, character_classes
from .added_tokens import Segment
from .byte_level import to_bytes
from .checks import utf8
from .encoding import Words
from .steps import check_byte_level, flat, make_steps, split_pattern

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2 = {**_BYTE_LEVEL, "use_regex": True}

PUBLISHED: dict[str, str] = {
    "cl100k": SCHEMES["cl100k"],
    "qwen2": SCHEMES["qwen2"],
    # GPT-4o (2024): words may start upper case and go on lower case, contractions stay with their word.
    "o200k": "|".join(
        [
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    ),
    # BLOOM (2022): words up to a space or a full stop, comma, bracket of many scripts; the rest as it comes.
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
}
"""Published patterns that are one regular expression."""

ALIASES = {
    "gpt-neox": "gpt2",
    "r50k": "gpt2",
    "llama3": "cl100k",
    "starcoder": "digits",
    "smollm": "digits",
    "smollm2": "digits",
}
"""Other names of the same patterns."""

NAMES = ("gpt2", "digits", *PUBLISHED)


def _split_then_bytes(pattern: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, _BYTE_LEVEL]


_DESCRIPTIONS: dict[str, list[dict[str, Any]]] = {
    "gpt2": [_GPT2],
    "digits": [{"type": "Digits", "individual_digits": True}, _GPT2],
    **{name: _split_then_bytes(pattern) for name, pattern in PUBLISHED.items()},
}


class PreTokenizer:
    r"""Cuts text into words.

    pattern: a name (`NAMES` or `ALIASES`), or a regular expression in the syntax of the `regex` library whose
    matches, and the stretches between them, are the words. A string of letters, digits, "-", "_" and "." that is no
    known name is taken for a misspelt name: ValueError.

    >>> PreTokenizer("gpt2").words("It's 2023,  folks")
    ['It', "'s", ' 2023', ',', ' ', ' folks']
    >>> PreTokenizer("digits").words("in 2023")
    ['in', ' ', '2', '0', '2', '3']
    >>> PreTokenizer(r"\w+").words("a, b")
    ['a', ', ', 'b']
    """

    def __init__(self, pattern: str = "gpt2"):
        if not isinstance(pattern, str):
            raise TypeError(f"pattern must be a str (a name or a regular expression), got {type(pattern).__name__}")
        name = ALIASES.get(pattern, pattern)
        if name in _DESCRIPTIONS:
            self._set(_DESCRIPTIONS[name])
        elif not pattern or pattern.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ValueError(
                f"unknown pre-tokenisation pattern {pattern!r}: expected one of {[*NAMES, *ALIASES]} "
                "or a regular expression"
            )
        else:
            self._set(_split_then_bytes(pattern))

    @classmethod
    def from_json(cls, described: Any) -> PreTokenizer:
        """Read the "pre_tokenizer" of a `tokenizer.json`. ValueError names what is not supported."""
        if not isinstance(described, dict):
            raise ValueError(
                f"pre_tokenizer must be an object with a ByteLevel step, got {described!r}: not a byte-level tokenizer"
            )
        made = cls.__new__(cls)
        made._set(flat(described))
        return made

    def to_json(self) -> dict[str, Any]:
        """The "pre_tokenizer" of a `tokenizer.json`."""
        described = copy.deepcopy(self._described)
        return described[0] if len(described) == 1 else {"type": "Sequence", "pretokenizers": described}

    def _set(self, described: list[dict[str, Any]]) -> None:
        self._described = described
        self._steps = make_steps(described)
        check_byte_level(described)
        # A space in front of the whole text (RoBERTa's way) leaves the words as they are otherwise.
        first = described[0] if described else {}
        self.prefix_space = first.get("type") == "ByteLevel" and bool(first.get("add_prefix_space", True))
        bare = [{**first, "add_prefix_space": False}, *described[1:]] if self.prefix_space else described
        self.name = next((n for n, known in _DESCRIPTIONS.items() if _simplified(known) == _simplified(bare)), None)
        self._scheme = self.name if self.name in SCHEMES else None

    @property
    def pattern(self) -> str | None:
        """The name of a published pattern, a regular expression, or None for other steps read from a file."""
        if self.name is not None and not self.prefix_space:
            return self.name
        first = self._described[0]
        if first.get("type") == "Split":
            pattern = split_pattern(first)
            if _simplified(_split_then_bytes(pattern)) == _simplified(self._described):
                return pattern
        return None

    def words(self, text: str) -> list[str]:
        """The words as strings, for looking at (a step after ByteLevel may cut a character: then "\\ufffd")."""
        data, ends = self.split(text)
        raw, borders = data.tobytes(), [0, *ends.tolist()]
        return [raw[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(borders)]

    def spaced(self, found: Iterable[Segment]) -> Iterable[Segment]:
        """The segments of a text as they are: `split` puts the space in front, if there is one."""
        return found

    def split(self, text: str) -> Words:
        """The text as UTF-8 and where its words end: (n,) uint8, (k,) int64.

        Raises ValueError for a lone surrogate, which no UTF-8 text can hold.
        """
        if self.prefix_space and text and not text.startswith(" "):
            text = " " + text
        raw = utf8(text)
        if self._scheme is not None and backend() == "numba":
            data = np.frombuffer(raw, np.uint8)
            return data, splitting.split(data, character_classes(), self._scheme)
        if self._scheme is not None:
            words = [word.encode("utf-8") for word in splitting.scheme_pattern(self._scheme).findall(text)]
        else:
            texts = [text] if text else []
            for step in self._steps:
                texts = step(texts)
            words = [to_bytes(piece) or b"" for piece in texts]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        return np.frombuffer(b"".join(words), np.uint8), np.cumsum(lengths)

    @property
    def can_stream(self) -> bool:
        """Is it known where a text may be cut? Not for regular expressions of one's own: they may look anywhere."""
        return self.name is not None

    def last_cut(self, text: str, low: int, high: int, *, at_spaces_only: bool = False) -> int:
        """The greatest position in (low, high] where the text may be cut with the same words; 0 if there is none.

        Between a letter and anything but a letter, a digit and anything but a digit, or anything but white space and
        a space, no published pattern with a hand-written splitter has a word, nor looks across. The other published
        patterns may be cut between a letter or digit and a space.
        """
        if not self.can_stream:
            return 0
        classes = character_classes()
        everywhere = self._scheme is not None and not at_spaces_only and not self.prefix_space
        for at in range(min(high, len(text) - 1), max(low, 0), -1):
            before, after = classes[ord(text[at - 1])], classes[ord(text[at])]
            solid = before == LETTER or before == NUMBER
            if text[at] == " ":
                if solid or (everywhere and before != SPACE):
                    return at
            elif everywhere and solid and after != before:
                return at
        return 0

    def __reduce__(self) -> tuple[Any, ...]:
        return PreTokenizer.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        return f"PreTokenizer({self.pattern!r})" if self.pattern else f"PreTokenizer.from_json({self.to_json()})"


def _simplified(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The settings that matter, defaults filled in."""
    simple = []
    for settings in described:
        settings = {key: value for key, value in settings.items() if key != "trim_offsets"}
        if settings.get("type") == "ByteLevel":
            settings = {"add_prefix_space": True, "use_regex": True, **settings}
        if settings.get("type") == "Split":
            settings["pattern"] = split_pattern(settings)
            # Where the matches leave nothing between them, these come to the same.
            if settings["pattern"] in SCHEMES.values() and settings.get("invert"):
                settings["behavior"] = settings["behavior"].replace("Removed", "Isolated")
                settings["invert"] = settings["behavior"] != "Isolated"
            settings = {"behavior": "Isolated", "invert": False, **settings}
        simple.append(settings)
    return simple
