"""Checks of what callers pass in, with messages that say what was expected and what came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

KINDS = ("byte-level", "sentencepiece")
TIES = ("tokenizers", "lexicographic")


def check_text(text: Any) -> None:
    """TypeError unless it is a str."""
    if isinstance(text, bytes):
        raise TypeError("expected a str, got bytes: decode it first, for example with text.decode('utf-8')")
    if not isinstance(text, str):
        raise TypeError(f"expected a str, got {type(text).__name__}")


def flag(settings: Mapping[str, Any], name: str, default: Any, where: str) -> Any:
    """A setting that is true or false, or the default. ValueError for anything else, naming where it stands.

    >>> flag({"legacy": "no"}, "legacy", None, "tokenizer_config.json: ")
    Traceback (most recent call last):
    ValueError: tokenizer_config.json: legacy must be true or false, got 'no'
    """
    value = settings.get(name, default)
    if value is not default and not isinstance(value, bool):
        raise ValueError(f"{where}{name} must be true or false, got {value!r:.80}")
    return value


def utf8(text: str) -> bytes:
    """The text as UTF-8. ValueError for a lone surrogate, which no UTF-8 text can hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds a lone surrogate, {text[error.start]!r} at position {error.start}, which is no "
            "character: clean it with text.encode('utf-8', 'replace').decode('utf-8')"
        ) from None


def check_ids(ids: Any, vocab_size: int) -> list[int]:
    """Ids as a list of int. TypeError for anything but integers, ValueError for ids outside [0, vocab_size).

    >>> check_ids(np.array([3, 1]), 4)
    [3, 1]
    >>> check_ids([3, 4], 4)
    Traceback (most recent call last):
    ValueError: ids[1] is 4, but this vocabulary has ids 0 to 3
    """
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise ValueError(f"expected one sequence of ids, got an array of shape {ids.shape}: decode it row by row")
        if ids.dtype.kind not in "iu" and ids.size:
            raise TypeError(f"ids must be integers, got an array of {ids.dtype}")
        numbers = ids.tolist()
    elif isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(f"expected a sequence of ids, got {type(ids).__name__}")
    else:
        numbers = list(ids)
        for place, number in enumerate(numbers):
            if type(number) is not int:
                if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
                    raise TypeError(f"ids must be integers, but ids[{place}] is {number!r} ({type(number).__name__})")
                numbers[place] = int(number)
    if numbers and (min(numbers) < 0 or max(numbers) >= vocab_size):
        place = next(i for i, number in enumerate(numbers) if not 0 <= number < vocab_size)
        raise ValueError(f"ids[{place}] is {numbers[place]}, but this vocabulary has ids 0 to {vocab_size - 1}")
    return numbers


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")
    return int(value)


def _check_tokens(name: str, tokens: Any) -> list[str]:
    """Strings of more than one character, as a list."""
    if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Sequence):
        raise TypeError(f"{name}s must be a list of str, got {tokens!r}")
    for token in tokens:
        if not isinstance(token, str) or not token:
            raise TypeError(f"{name}s must be non-empty strings, got {token!r}")
        words = name.replace("_", " ")
        if len(token) == 1:
            raise ValueError(f"{words} {token!r} is a single character, which ordinary text needs")
        try:
            token.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{words} {token!r} holds a lone surrogate, which is no character") from None
    return list(tokens)


def check_training(
    kind: Any, vocab_size: Any, pattern: Any, special_tokens: Any, added_tokens: Any, ties: Any, min_frequency: Any
) -> tuple[list[str], list[str]]:
    """Check the settings of training; special and added tokens as lists."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}")
    if kind == "sentencepiece" and (pattern, ties) != ("gpt2", "tokenizers"):
        raise ValueError(f"pattern and ties are settings of byte-level BPE and have no meaning for kind={kind!r}")
    special = _check_tokens("special_token", special_tokens)
    added = _check_tokens("added_token", added_tokens)
    for place, token in enumerate([*special, *added]):
        if token in [*special, *added][:place]:
            raise ValueError(f"token {token!r} is given twice: special and added tokens must be distinct")
    least = 256 + len(special) + len(added)
    if _whole_number("vocab_size", vocab_size) < least:
        tokens = f"256 bytes, {len(special)} special and {len(added)} added tokens"
        raise ValueError(f"vocab_size must be at least {least} ({tokens}), got {vocab_size}")
    if _whole_number("min_frequency", min_frequency) < 0:
        raise ValueError(f"min_frequency must not be negative, got {min_frequency}")
    if ties not in TIES:
        raise ValueError(f"ties must be one of {TIES}, got {ties!r}")
    return special, added
