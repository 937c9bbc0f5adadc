"""Scores with their intervals as a picture, and beside each what is reached without understanding anything."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.picture import new_figure, save_png
from .outcome import Outcome

_BASELINES = (("chance", "#888888", "|"), ("shortest choice", "#ccbb44", "<"), ("longest choice", "#ccbb44", ">"),
              ("choices alone", "#ee6677", "d"))  # fmt: skip


def plot_outcomes(outcomes: Sequence[Outcome], path: str | os.PathLike[str], *, title: str = "") -> Path:
    """Draw a row for each outcome into a PNG file, shares and bits per byte in panels of their own."""
    if not outcomes:
        raise ValueError("there are no outcomes to draw")

    panels = [[o for o in outcomes if o.larger_is_better == larger] for larger in (True, False)]
    panels = [panel for panel in panels if panel]
    heights = [0.9 + 0.45 * len(panel) for panel in panels]
    figure = new_figure(7.5, sum(heights) + 0.8)
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    labelled: set[str] = set()
    for number, panel in enumerate(panels):
        _draw(figure.add_subplot(grid[number]), panel, labelled)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return save_png(figure, path)


def _draw(axes: Any, panel: Sequence[Outcome], labelled: set[str]) -> None:
    for row, outcome in enumerate(panel):
        low, high = (edge if math.isfinite(edge) else outcome.value for edge in outcome.interval)
        axes.plot([low, high], [row, row], color="#4477aa", linewidth=2.5, solid_capstyle="round")
        axes.plot([outcome.value], [row], "o", color="#4477aa", label="" if "score" in labelled else "score, 95 %")
        labelled.add("score")
        for name, colour, mark in _BASELINES:
            value = outcome.details.get(name)
            if value is not None:
                place = value[0] if isinstance(value, list) else value
                axes.plot([place], [row], mark, color=colour, ms=9, label="" if name in labelled else name)
                labelled.add(name)
    axes.set_yticks(range(len(panel)), [outcome.task[:32] for outcome in panel])
    axes.set_ylim(len(panel) - 0.4, -0.6)
    axes.set_xlabel(" · ".join(dict.fromkeys(outcome.metric for outcome in panel)))
    if panel[0].larger_is_better:
        axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", alpha=0.3)
