"""Seconds and bytes as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three digits, or all before the point, with the unit that suits them.

    >>> duration(0.01234), duration(2.5), duration(0.00025)
    ('12.3 ms', '2.50 s', '250 µs')
    """
    value, unit = next(
        ((seconds * k, u) for k, u in ((1, "s"), (1e3, "ms")) if seconds * k >= 1), (seconds * 1e6, "µs")
    )
    return f"{value:.3g} {unit}" if value < 1 else f"{value:,.{2 - (value >= 10) - (value >= 100)}f} {unit}"


def mebibytes(size: float) -> str:
    """Bytes as whole MiB, as tenths below ten.

    >>> mebibytes(3 << 30), mebibytes(3 << 19)
    ('3,072 MiB', '1.5 MiB')
    """
    return f"{size / 2**20:,.{size < 10 * 2**20:d}f} MiB"
