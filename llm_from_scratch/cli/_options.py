"""Refusals in the words of the command line: the package speaks of its settings, who typed an option looks for that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_TYPED = {
    "num_beams": "--beams", "no_repeat_ngram_size": "--no-repeat-ngram",
    **{name: "--" + name.replace("_", "-") for name in (
        "length_penalty", "max_new_tokens", "min_p", "repetition_penalty", "temperature", "top_k", "top_p", "typical_p",
    )},
}  # fmt: skip
_SETTING = re.compile(rf"\b({'|'.join(_TYPED)})\b(=?)")


@contextmanager
def in_options() -> Iterator[None]:
    """Inside the block, a ValueError names what was typed in place of a setting of `generation`.

    >>> with in_options():
    ...     raise ValueError("num_beams: min_p=0.5 would do nothing")
    Traceback (most recent call last):
    ValueError: --beams: --min-p 0.5 would do nothing
    """
    try:
        yield
    except ValueError as error:
        said = _SETTING.sub(lambda found: _TYPED[found[1]] + (" " if found[2] else ""), str(error))
        raise ValueError(said) from error
