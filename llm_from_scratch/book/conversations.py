"""Pictures of conversations as tokens: which of them are trained, and how several share a row."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from .style import COLOURS
from .tokens import readable_token

_GREY, _LIT = "#f2f2f2", "#fbe3d2"


def draw_mask(tokens: Sequence[str], trained: np.ndarray, *, wrap: int = 64) -> None:
    """Draw tokens in a row, the trained ones lit, and below each what its position has to predict.

    An arrow leads from a position to its target: the token to its right. wrap: characters in a line.
    """
    shown = [readable_token(token) for token in tokens]
    targets = [text if lit else "–" for text, lit in zip(shown[1:], trained[1:])] + ["–"]
    widths = [max(len(text), len(target)) + 1.0 for text, target in zip(shown, targets)]
    lines: list[list[int]] = [[]]
    for number, width in enumerate(widths):
        if lines[-1] and sum(widths[k] for k in lines[-1]) + width > wrap:
            lines.append([])
        lines[-1].append(number)
    _, axes = plt.subplots(figsize=(9.5, 1.35 * len(lines) + 0.2))
    for row, members in enumerate(lines):
        at, y = 0.0, -2.7 * row
        for number in members:
            width, predicts = widths[number], targets[number] != "–"
            _cell(axes, at, y, width, shown[number], lit=bool(trained[number]))
            _cell(axes, at, y - 1.25, width, targets[number], lit=predicts)
            if predicts:
                ends = (at + width / 2, y - 0.42), (at + width / 2, y - 0.83)
                axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=8, color=COLOURS["orange"]))
            at += width
        axes.text(-0.6, y, "token", ha="right", va="center", fontsize=8, color="#666666")
        axes.text(-0.6, y - 1.25, "predicts", ha="right", va="center", fontsize=8, color="#666666")
    axes.set(xlim=(-7, wrap + 12), ylim=(-2.7 * len(lines) + 0.7, 0.6))
    axes.axis("off")
    plt.show()


def draw_segments(rows: Sequence[np.ndarray]) -> None:
    """Draw packed rows: a box for each conversation, with its number and length; what is empty stays white."""
    _, axes = plt.subplots(figsize=(9.5, 0.5 + 0.34 * len(rows)))
    tints = ("#cfe3f1", "#fbe3d2", "#e6f3ec", "#f3dfe9")
    for row, segments in enumerate(rows):
        for number in range(int(segments.max()) + 1):
            places = np.flatnonzero(segments == number)
            axes.add_patch(
                Rectangle((places[0], row - 0.4), len(places), 0.8, fc=tints[number % 4], ec="#666666", lw=0.6)
            )
            axes.text(places[0] + len(places) / 2, row, str(len(places)), ha="center", va="center", fontsize=8)
        axes.add_patch(Rectangle((0, row - 0.4), len(segments), 0.8, fill=False, ec="#888888", lw=0.8))
    axes.set(
        xlim=(-2, len(rows[0]) + 2), ylim=(len(rows) - 0.4, -0.6), xlabel="place in the row", yticks=range(len(rows))
    )
    axes.set_title("conversations in rows, with their lengths", fontsize=10)
    plt.show()


def _cell(axes: plt.Axes, x: float, y: float, width: float, text: str, *, lit: bool) -> None:
    axes.add_patch(
        Rectangle(
            (x, y - 0.4), width, 0.8, fc=_LIT if lit else _GREY, ec=COLOURS["orange"] if lit else "#bbbbbb", lw=0.8
        )
    )
    colour = "#222222" if lit else "#888888"
    axes.text(
        x + width / 2,
        y,
        text,
        ha="center",
        va="center",
        fontsize=7.5,
        family="monospace",
        color=colour,
    )
