"""The steps of a pre-tokenizer as `tokenizer.json` names them: Split, Digits, Punctuation, ByteLevel.

Each step cuts strings into smaller strings. They are the general, slow way, in plain Python over `regex`; the
published patterns with a hand-written splitter do not pass through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import regex

from ..kernels.splitting import SCHEMES
from .added_tokens import Segment
from .byte_level import to_characters
from .checks import flag, utf8
from .expressions import compile_pattern, escape
from .normalizers import WHITE_SPACE

Step = Callable[[list[str]], list[str]]

BEHAVIOURS = ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def pieces(pattern: regex.Pattern, text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into matches and what lies between them: (piece, is it a match). An empty match cuts, too."""
    at = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        if start > at:
            yield text[at:start], False
        yield text[start:end], True
        at = end
    if at < len(text):
        yield text[at:], False


def arrange(found: Iterable[tuple[str, bool]], behaviour: str) -> list[str]:
    """What becomes of the matches.

    >>> found = [("a", False), ("-", True), ("-", True), ("b", False)]
    >>> [arrange(found, behaviour) for behaviour in BEHAVIOURS]  # doctest: +NORMALIZE_WHITESPACE
    [['a', '-', '-', 'b'], ['a', 'b'], ['a-', '-', 'b'], ['a', '-', '-b'], ['a', '--', 'b']]
    """
    if behaviour == "Isolated":
        return [piece for piece, _ in found if piece]
    if behaviour == "Removed":
        return [piece for piece, matched in found if piece and not matched]
    joined: list[str] = []
    before: bool | None = None
    for piece, matched in found:
        if behaviour == "MergedWithPrevious":
            join = matched and before is False
        elif behaviour == "MergedWithNext":
            join = not matched and before is True
        else:
            join = matched == before
        if join:
            joined[-1] += piece
        else:
            joined.append(piece)
        before = matched
    return [piece for piece in joined if piece]


def _cut(pattern: regex.Pattern, behaviour: str, invert: bool = False) -> Step:
    def step(texts: list[str]) -> list[str]:
        return [
            piece
            for text in texts
            for piece in arrange(((p, matched != invert) for p, matched in pieces(pattern, text)), behaviour)
        ]

    return step


def _to_byte_level(texts: list[str]) -> list[str]:
    return [to_characters(text.encode("utf-8")) for text in texts]


def flat(described: Any) -> list[dict[str, Any]]:
    """The steps of a pre-tokenizer, those of sequences in a row. ValueError for what is no step."""
    if described is None:
        return []
    if isinstance(described, dict) and described.get("type") == "Sequence":
        inner = described.get("pretokenizers")
        if not isinstance(inner, list) or not all(isinstance(step, dict) for step in inner):
            raise ValueError("pre_tokenizer of type Sequence needs a list of objects named 'pretokenizers'")
        return [step for part in inner for step in flat(part)]
    if not isinstance(described, dict):
        raise ValueError(f"pre_tokenizer must be an object or null, got {described!r:.80}")
    return [described]


def make_steps(described: list[dict[str, Any]]) -> list[Step]:
    """Functions for the steps that a `tokenizer.json` describes. ValueError names what is not supported."""
    steps: list[Step] = []
    for settings in described:
        kind = settings.get("type")
        if not isinstance(kind, str) or kind not in _MAKERS:
            raise ValueError(f"pre_tokenizer step {kind!r} is not supported: expected one of {list(_MAKERS)}")
        for name in ("add_prefix_space", "use_regex", "individual_digits", "invert", "split"):
            flag(settings, name, False, f"pre_tokenizer {kind}: ")
        steps += _MAKERS[kind](settings)
    return steps


def check_byte_level(described: list[dict[str, Any]]) -> None:
    """ValueError unless exactly one step writes bytes."""
    count = sum(settings.get("type") == "ByteLevel" for settings in described)
    if count != 1:
        raise ValueError(
            "pre_tokenizer: two ByteLevel steps"
            if count
            else "pre_tokenizer has no ByteLevel step: this is not a byte-level tokenizer"
        )


def _byte_level(settings: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    if settings.get("add_prefix_space", True):
        steps.append(lambda texts: [text if text.startswith(" ") else " " + text for text in texts])
    if settings.get("use_regex", True):
        steps.append(_cut(compile_pattern(SCHEMES["gpt2"]), "Isolated"))
    return [*steps, _to_byte_level]


def _metaspace(settings: dict[str, Any]) -> list[Step]:
    """A replacement for every space, in front of a text, and as the beginning of words."""
    replacement, scheme = settings.get("replacement", "▁"), prepend_scheme(settings)
    if not isinstance(replacement, str) or len(replacement) != 1:
        raise ValueError(f"pre_tokenizer Metaspace: replacement must be one character, got {replacement!r:.80}")

    def step(texts: list[str]) -> list[str]:
        texts = [text.replace(" ", replacement) for text in texts]
        if scheme == "always":
            texts = [text if text.startswith(replacement) else replacement + text for text in texts]
        return texts

    split = _cut(compile_pattern(escape(replacement)), "MergedWithNext")
    return [step, split] if settings.get("split", True) else [step]


def prepend_scheme(settings: dict[str, Any]) -> str:
    """Where a Metaspace puts its replacement in front; older files say add_prefix_space."""
    scheme = settings.get("prepend_scheme", "always" if settings.get("add_prefix_space", True) else "never")
    if scheme not in ("always", "first", "never"):
        raise ValueError(f"pre_tokenizer Metaspace has the unknown prepend_scheme {scheme!r:.80}")
    return scheme


def _digits(settings: dict[str, Any]) -> list[Step]:
    behaviour = "Isolated" if settings.get("individual_digits", False) else "Contiguous"
    return [_cut(compile_pattern(r"\p{N}"), behaviour)]


def _delimiter(settings: dict[str, Any]) -> list[Step]:
    delimiter = settings.get("delimiter")
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise ValueError(f"pre_tokenizer CharDelimiterSplit: delimiter must be one character, got {delimiter!r:.80}")
    return [_cut(compile_pattern(escape(delimiter)), "Removed")]


_WHITE = "[" + "".join(sorted(WHITE_SPACE)) + "]"

_MAKERS: dict[str, Callable[[dict[str, Any]], list[Step]]] = {
    "ByteLevel": _byte_level,
    "Split": lambda settings: [_cut(compile_pattern(split_pattern(settings)), *_behaviour(settings))],
    "Digits": _digits,
    "Punctuation": lambda settings: [_cut(compile_pattern(r"[\p{P}$+<=>^`|~]"), *_behaviour(settings))],
    "Metaspace": _metaspace,
    "Whitespace": lambda settings: [_cut(compile_pattern(r"\w+|[^\w\s]+"), "Removed", True)],
    "WhitespaceSplit": lambda settings: [_cut(compile_pattern(_WHITE), "Removed")],
    "CharDelimiterSplit": _delimiter,
}


def _behaviour(settings: dict[str, Any]) -> tuple[str, bool]:
    behaviour = settings.get("behavior", "Isolated")
    if behaviour not in BEHAVIOURS:
        raise ValueError(f"pre_tokenizer behavior {behaviour!r:.80} is not supported: expected one of {BEHAVIOURS}")
    return behaviour, settings.get("invert", False)


def split_pattern(settings: dict[str, Any]) -> str:
    """The regular expression of a Split step, which may also name a plain string."""
    pattern = settings.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        return pattern["Regex"]
    if isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
        return escape(pattern["String"])
    raise ValueError(
        f"pre_tokenizer Split needs a pattern of the form {{'Regex': ...}} or {{'String': ...}}, got {pattern!r:.80}"
    )


class Steps:
    """A pre-tokenizer in general: text in, words out.

    >>> steps = Steps({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"})
    >>> [steps.split(text) for text, _ in steps.spaced([("a b", -1)])]
    [['▁a', '▁b']]
    """

    can_stream = False

    def __init__(self, described: Any):
        self.described = described
        steps = flat(described)
        self._prefix = ""
        for place, step in enumerate(steps):
            if step.get("type") == "Metaspace" and prepend_scheme(step) == "first":
                if place:
                    raise ValueError("pre_tokenizer Metaspace with prepend_scheme 'first' behind another step")
                self._prefix = step.get("replacement", "▁")
        self._steps = make_steps(steps)
        self.pattern = " + ".join(step["type"] for step in steps) or None

    def spaced(self, found: Iterable[Segment]) -> Iterator[Segment]:
        """The segments of a text, the first with the prefix of a Metaspace whose scheme is "first"."""
        for place, (text, number) in enumerate(found):
            prefixed = place == 0 and number < 0 and self._prefix and not text.startswith((self._prefix, " "))
            yield (self._prefix + text if prefixed else text), number

    def split(self, text: str) -> list[str]:
        """The words of a text."""
        utf8(text)
        texts = [text]
        for step in self._steps:
            texts = step(texts)
        return texts

    def last_cut(self, text: str, low: int, high: int, *, at_spaces_only: bool = False) -> int:
        """0: a step may look anywhere."""
        return 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Steps, (self.described,)
