"""Two histograms in one picture, as SVG: how something was spread over the documents before cleaning, and after.

Colours are the page's (classes of its style sheet), so that the picture follows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import accumulate

_WIDTH, _HEIGHT = 340, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 16, 34


def histogram(name: str, edges: Sequence[float], before: Sequence[int], after: Sequence[int], axis: str) -> str:
    """The picture. edges (n,), counts (n + 1,): below the first edge, between two, from the last one on.

    >>> histogram("words", [10, 100], [1, 5, 2], [0, 5, 2], "words in a document").count("<rect")
    5
    """
    used = [place for place, counts in enumerate(zip(before, after)) if any(counts)]
    if not used:
        return ""
    first, last = max(0, used[0] - 1), min(len(before) - 1, used[-1] + 1)
    first, last = (min(first, max(0, last - 5)), max(last, min(len(before) - 1, first + 5)))
    most = max(max(before), max(after))
    step = (_WIDTH - _LEFT - _RIGHT) / (last - first + 1)
    floor, room = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for place in range(first, last + 1):
        x = _LEFT + (place - first) * step
        for counts, kind, inset in ((before, "before", 0.06), (after, "after", 0.22)):
            if counts[place]:
                height = max(1.0, room * counts[place] / most)
                parts.append(
                    f'<rect class="{kind}" x="{x + inset * step:.1f}" y="{floor - height:.1f}" '
                    f'width="{step * (1 - 2 * inset):.1f}" height="{height:.1f}"/>'
                )
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>')
    for place in _ticks(edges, first, last):
        x = _LEFT + (place + 1 - first) * step  # edge number p stands after the bar of that number
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{short(edges[place])}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 5}">{most:,} documents</text>')
    parts.append(f'<line class="top" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_TOP}" y2="{_TOP}"/>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(axis)}</text>')
    told = escape(
        f"{name} of the middle document: {middle(edges, before)} before cleaning, {middle(edges, after)} after"
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}">{"".join(parts)}</svg>'


def middle(edges: Sequence[float], counts: Sequence[int]) -> str:
    """Where the median is, in words.

    >>> middle([10, 100], [1, 5, 2]), middle([10], [0, 3]), middle([10], [0, 0])
    ('10 to 100', '10 or more', 'none')
    """
    total = sum(counts)
    if not total:
        return "none"
    place = next(place for place, seen in enumerate(accumulate(counts)) if 2 * seen >= total)
    if place == 0:
        return f"below {short(edges[0])}"
    if place == len(edges):
        return f"{short(edges[-1])} or more"
    return f"{short(edges[place - 1])} to {short(edges[place])}"


def short(number: float) -> str:
    """A number as a label.

    >>> short(1500), short(2.25), short(3_300_000), short(0.6)
    ('1.5k', '2.25', '3.3M', '0.6')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _ticks(edges: Sequence[float], first: int, last: int) -> list[int]:
    """Which edges get a label: powers of ten where there are several, else every few."""
    inside = list(range(first, min(last, len(edges))))
    powers = [place for place in inside if f"{edges[place]:e}".startswith("1.000000e")]
    if edges[-1] > 100 and len(powers) >= 3:
        return powers
    every = max(1, round(len(inside) / 6))
    return inside[::every]
