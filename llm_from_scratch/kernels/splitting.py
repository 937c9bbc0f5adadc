"""Cutting text into pre-tokens, and counting the distinct ones.

Byte-level BPE never merges across the borders of pre-tokens ("words" below: letters with the space before them, digits,
punctuation, spaces). A published pattern says where the borders are. Here it is a regular expression; the compiled
version of `split` is written by hand and looks characters up in a table of classes. Text is UTF-8 bytes throughout.
"""

from __future__ import annotations

import functools

import numpy as np
import regex

from .dispatch import kernel

OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
CODE_POINTS = 0x110000

_GPT2_TAIL = r"| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CL100K_HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"

SCHEMES: dict[str, str] = {
    # Contractions, then runs of one class with the space before them; a run of spaces leaves its last one to the
    # word that follows.
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+" + _GPT2_TAIL,
    # Every digit on its own, the text between digits cut as by gpt2 (so that a digit ends a run of spaces).
    "digits": r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+",
    # Contractions of either case, a letter run with any one sign before it, digits in threes, line ends together.
    "cl100k": _CL100K_HEAD + r"|\p{N}{1,3}" + _CL100K_TAIL,
    # The same with single digits.
    "qwen2": _CL100K_HEAD + r"|\p{N}" + _CL100K_TAIL,
}
"""The patterns that have a hand-written splitter, as regular expressions of the `regex` library."""


@functools.cache
def character_classes() -> np.ndarray:
    r"""The class of every code point: LETTER for \p{L}, NUMBER for \p{N}, SPACE for \s, else OTHER.

    -> (0x110000,) uint8, read from the `regex` library (never from the interpreter's own tables), built once.

    >>> [int(character_classes()[ord(c)]) for c in "é٣ !"]
    [1, 2, 3, 0]
    """
    # Surrogates (U+D800 to U+DFFF) are no characters: a placeholder keeps positions and code points equal.
    characters = np.arange(CODE_POINTS, dtype="<u4")
    characters[0xD800:0xE000] = 0
    text = characters.tobytes().decode("utf-32-le")
    classes = np.zeros(CODE_POINTS, np.uint8)
    for number, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        for run in regex.finditer(pattern, text):
            classes[run.start() : run.end()] = number
    return classes


@functools.cache
def scheme_pattern(scheme: str) -> regex.Pattern:
    """The compiled regular expression of one of `SCHEMES`."""
    return regex.compile(SCHEMES[scheme])


@kernel
def split(data: np.ndarray, classes: np.ndarray, scheme: str) -> np.ndarray:
    """Where each pre-token ends.

    data (n,) uint8, valid UTF-8; classes as `character_classes()` gives them (the twin asks `regex` itself);
    scheme one of `SCHEMES` -> ends (k,) int64 in bytes, increasing, the last one n.

    >>> text = "it's  42"
    >>> ends = split(np.frombuffer(text.encode(), np.uint8), character_classes(), "gpt2")
    >>> [text[a:b] for a, b in zip([0, *ends], ends)]
    ['it', "'s", ' ', ' 42']
    """
    text = data.tobytes().decode("utf-8")
    lengths = [len(word.encode("utf-8")) for word in scheme_pattern(scheme).findall(text)]
    return np.cumsum(np.array(lengths, np.int64), dtype=np.int64)


@split.example
def _(rng):
    signs = "aZé漢٣7½ \t\n\r\u00a0\u3000.,'’-👍\u200d\u0301ſ" + "'s're'LL  "
    for scheme in SCHEMES:
        for length in (0, 1, 7, 400):
            text = "".join(rng.choice(list(signs), length))
            yield (np.frombuffer(text.encode(), np.uint8), character_classes(), scheme), {}


@kernel
def unique_words(data: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the distinct words in the order in which they first appear.

    data (n,) uint8, ends (k,) int64 -> first (u,) int64: index into `ends` of each word's first appearance,
    counts (u,) int64, which (k,) int32: the number of each word.

    >>> data = np.frombuffer(b"to be to", np.uint8)
    >>> unique_words(data, np.array([2, 3, 5, 6, 8]))      # to, space, be, space, to
    (array([0, 1, 2]), array([2, 2, 1]), array([0, 1, 2, 1, 0], dtype=int32))
    """
    text = data.tobytes()
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    which = np.empty(ends.size, np.int32)
    start = 0
    for k, end in enumerate(ends.tolist()):
        word = text[start:end]
        start = end
        number = numbers.setdefault(word, len(first))
        if number == len(first):
            first.append(k)
        which[k] = number
    counts = np.bincount(which, minlength=len(first)).astype(np.int64)
    return np.array(first, np.int64), counts, which


@unique_words.example
def _(rng):
    for letters, size in ((2, 3000), (26, 40000), (1, 0)):
        data = (97 + rng.integers(0, letters, size)).astype(np.uint8)
        cuts = np.unique(rng.integers(0, size + 1, size // 3)).astype(np.int64)
        yield (data, cuts[cuts > 0]), {}
