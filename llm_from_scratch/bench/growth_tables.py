"""How cost grows, as text: one axis as lines, and a whole run as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .growth_cases import BANDWIDTH, BASE, PEAK, STEP
from .quantities import duration, mebibytes


def course_table(axis: str, course: Mapping[str, Any]) -> str:
    """One axis as lines of text."""
    lines = [f"against {axis}" + ("" if axis == "attention" else f" ({_others(axis)})")]
    for work, numbers in course.items():
        if work == "sizes":
            continue
        fits = (f"{what} ~ {axis}^{_fit(numbers[what])}" for what in ("time", "memory"))
        lines.append(f"  {work}: {'; '.join(fits)}")
        for size, seconds, grown, share in zip(course["sizes"], *(numbers[k] for k in ("seconds", "bytes", "share"))):
            if seconds is None:
                lines.append(f"  {size:8,}  left out ({numbers['absent'][size]})")
                continue
            line = f"  {size:8,}  {1e3 * seconds:10.2f} ms" + ("" if grown is None else f"  {grown / 2**20:9,.1f} MiB")
            of = PEAK if work == STEP else BANDWIDTH
            lines.append(line + ("" if share is None else f"  {share:5.0%} of the {of}"))
    return "\n".join(lines)


def growth_markdown(measured: Mapping[str, Any]) -> str:
    """The exponents of a run as a Markdown table: each work against each size, from its smallest to its largest."""
    lines = [
        f"How cost grows ({measured['threads']} threads, {measured['rounds']} rounds; "
        f"{measured['peak'] / 1e9:,.0f} GFLOP/s of matrix products, {measured['bandwidth'] / 1e9:,.1f} GB/s read; "
        f"one size moves, the others stay: {_others('')}):",
        "",
        "| work | against | time ~ | from … to | memory ~ | from … to | share of the limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for axis, course in measured["growth"].items():
        for work, numbers in course.items():
            if work != "sizes":
                known = [size for size, seconds in zip(course["sizes"], numbers["seconds"]) if seconds is not None]
                against = f"{'length' if axis == 'attention' else axis} {known[0]:,} … {known[-1]:,}"
                times, grown = _ends(numbers["seconds"], duration), _ends(numbers["bytes"], mebibytes)
                share = _ends(numbers["share"], "{:.0%}".format)
                fits = _fit(numbers["time"]), _fit(numbers["memory"])
                lines.append(f"| {work} | {against} | {fits[0]} | {times} | {fits[1]} | {grown} | {share} |")
    return "\n".join(lines)


def _ends(values: Sequence[float | None], say: Callable[[float], str]) -> str:
    """The first and the last value that there is."""
    known = [value for value in values if value is not None]
    return f"{say(known[0])} … {say(known[-1])}" if known else ""


def _fit(fit: tuple[float, float] | None) -> str:
    return "?" if fit is None else f"{fit[0]:.2f} ± {fit[1]:.2f}"


def _others(axis: str) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in BASE.items() if name != axis)
