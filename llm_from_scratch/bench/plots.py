"""What was measured, drawn: the table of goals as dots on one axis, and the growth of costs as lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .growth_cases import BANDWIDTH, PEAK
from .report import FIGURES, on_what

REACHED, MISSED = "#2a7f62", "#b5432f"


def plot(measured: Mapping[str, Any], path: str | Path) -> None:
    """Draw what `bench` or `growth` returned into a .png or .svg file; ValueError for another ending."""
    check_path(path)
    figure = _growth(measured) if "growth" in measured else _goals(measured)
    figure.savefig(path, dpi=120, facecolor="white", bbox_inches="tight")


def check_path(path: str | Path) -> None:
    """ValueError for an ending that is not drawn, or a folder that is not there: before anything is measured."""
    if Path(path).suffix not in (".png", ".svg"):
        raise ValueError(f"a plot is a .png or a .svg file, not {str(path)!r}")
    if not Path(path).resolve().parent.is_dir():
        raise ValueError(f"{str(path)!r}: there is no folder {str(Path(path).parent)!r}; make it first")


def _goals(measured: Mapping[str, Any]) -> Figure:
    """How many times what must be reached is reached: a dot a goal, a bar from the worst to the best round."""
    shown = [verdict for verdict in measured["goals"] if verdict["reached"] is not None]
    figure = _figure(11, 1.2 + 0.27 * max(1, len(shown)))
    axes = figure.add_subplot()
    for row, verdict in enumerate(reversed(shown)):
        colour = REACHED if verdict["reached"] else MISSED
        higher = verdict["figure"] in ("speed", "bandwidth")
        points = [verdict[name] for name in ("low", "value", "high") if name in verdict]
        margins = [max(p, 1e-3) / verdict["must"] if higher else verdict["must"] / max(p, 1e-3) for p in points]
        axes.plot([min(margins), max(margins)], [row, row], color=colour, linewidth=2, alpha=0.4)
        middle = margins[1] if len(margins) == 3 else margins[0]
        axes.plot(middle, row, "o", color=colour)
        if verdict["aim"] is not None:
            aim = verdict["aim"] / verdict["must"] if higher else verdict["must"] / verdict["aim"]
            axes.plot(aim, row, "|", color="0.4", markersize=9)
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xscale("log")
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_yticks(range(len(shown)), [_label(verdict) for verdict in reversed(shown)], fontsize=7)
    axes.set_xlabel("times what must be reached (to the right of the line: reached; a stroke is the aim)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.grid(axis="x", color="0.9")
    axes.set_title(on_what(measured), fontsize=7, loc="left", wrap=True)
    return figure


def _label(verdict: Mapping[str, Any]) -> str:
    beside = f" beside {verdict['peer']}" if verdict["figure"] in ("speed", "memory") else ""
    what = "" if verdict["figure"] == "speed" else f", {FIGURES[verdict['figure']]}"
    return f"{verdict['case'].split('@')[0]}{what}{beside}, {verdict['threads']} thr."


def _growth(measured: Mapping[str, Any]) -> Figure:
    """Time and memory against each size, with the exponents; below, the share of what the machine can do at all."""
    found = measured["growth"]
    figure = _figure(3.4 * len(found), 8.5)
    rows = (("seconds", "time", "seconds"), ("bytes", "memory", "MiB"), ("share", "", "share of the machine's limit"))
    for column, (axis, course) in enumerate(found.items()):
        for row, (numbers, fit, unit) in enumerate(rows):
            axes = figure.add_subplot(3, len(found), row * len(found) + column + 1)
            for work in (name for name in course if name != "sizes"):
                pairs = [(x, y) for x, y in zip(course["sizes"], course[work][numbers]) if y is not None and y > 0]
                if not pairs:
                    continue
                unit_size = 2**20 if numbers == "bytes" else 1
                x, y = zip(*((size, value / unit_size) for size, value in pairs))
                slope = course[work].get(fit)
                axes.plot(
                    x, y, "o-", markersize=4, label=work + (f": {slope[0]:.2f} ± {slope[1]:.2f}" if slope else "")
                )
            axes.set_xscale("log", base=2)
            axes.set_xticks(course["sizes"], [f"{n // 1024} k" if n >= 1024 else str(n) for n in course["sizes"]])
            axes.tick_params(labelsize=7)
            axes.grid(color="0.9")
            if numbers == "share":
                axes.set_ylim(0, 1)
                axes.set_xlabel(axis)
            else:
                axes.set_yscale("log")
                axes.yaxis.set_minor_formatter(NullFormatter())
            if not axes.lines:  # attention alone has no limit of its own
                axes.set_visible(False)
                figure.axes[-2].set_xlabel("length")
            else:
                # The legend stands above the lines, never on them.
                axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0)
            if column == 0:
                axes.set_ylabel(unit)
    figure.suptitle(
        f"{on_what({**measured, 'cases': {}})}; {measured['threads']} threads; exponents with their standard error; "
        f"limits: {PEAK} {measured['peak'] / 1e9:,.0f} GFLOP/s, {BANDWIDTH} {measured['bandwidth'] / 1e9:,.1f} GB/s",
        fontsize=9,
    )
    figure.subplots_adjust(wspace=0.3, hspace=0.45, top=0.89)
    return figure


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)  # a file, never a window
    return figure
