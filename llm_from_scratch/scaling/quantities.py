"""Large numbers as people write them, and as they read them: 1e21, 5.76e23, 300B, 1.4T, 70b."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_BYTES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
# Commas stand between groups of three digits and nowhere else: 1,5e21 is no number, where some write 1.5 so.
_FORM = re.compile(
    r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9][0-9_]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([KMBGT]?)", re.IGNORECASE
)


def parse_quantity(text: str) -> float:
    """A positive number, with a letter for thousands (K), millions, billions (B or G), trillions after it if one likes.

    >>> [parse_quantity(text) for text in ("1e21", "300B", "1.4T", "7_000", "70b")]
    [1e+21, 300000000000.0, 1400000000000.0, 7000.0, 70000000000.0]

    Raises ValueError for what is no such number, zero and what is too large for a float.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        dot = f"; did you mean {text.replace(',', '.'):.40}?" if text.count(",") == 1 and "." not in text else ""
        raise ValueError(f"{text!r:.40} is not a number such as 1e21, 300B or 1.4T{dot}")
    value = float(match.group(1).replace("_", "").replace(",", "")) * _UNITS[match.group(2).upper()]
    if not 0 < value < math.inf:
        raise ValueError(f"{text:.40} must be more than 0 and finite")
    return value


def in_letters(value: float) -> str:
    """Three digits and a letter; from a quadrillion on, as a power.

    >>> in_letters(70.5e9), in_letters(1.363e12), in_letters(5.76e23), in_letters(512)
    ('70.5B', '1.36T', '5.76e+23', '512')
    """
    if value < 1e15:
        for letter in "TBMK":
            if value >= 0.9995 * _UNITS[letter]:
                return f"{value / _UNITS[letter]:.3g}{letter}"
        return f"{value:.3g}"
    return f"{value:.3g}"


def in_bytes(value: float) -> str:
    """Four digits and a unit of thousands.

    >>> in_bytes(220e9), in_bytes(12)
    ('220 GB', '12 bytes')
    """
    for size, unit in _BYTES:
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f} bytes"
