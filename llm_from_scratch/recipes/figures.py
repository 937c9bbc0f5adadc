"""What a run measured on its way, as a picture: a small panel for each figure."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..files.picture import new_figure, save_png
from ..training import read_log
from ..training.curve import smooth

_KNOWN = {"step", "lr", "grad_norm", "tokens"}  # what every run logs, and no figure of its technique


def figures_of(entries: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """The logged numbers by name, each as (step, value).

    >>> figures_of([{"step": 1, "loss": 2.0, "lr": 0.1}, {"step": 1, "kl": 0.5}])
    {'loss': [(1, 2.0)], 'kl': [(1, 0.5)]}
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in entries:
        for name, value in entry.items():
            if name not in _KNOWN and isinstance(value, (int, float)):
                found.setdefault(name, []).append((entry["step"], float(value)))
    return found


def plot_figures(
    log: str | os.PathLike[str], image: str | os.PathLike[str], title: str = "", only: Collection[str] | None = None
) -> Path:
    """Draw everything that a run's log holds over its steps (or `only` these) into a PNG file; ValueError when there is
    nothing."""
    found = figures_of(read_log(log))
    found = {name: points for name, points in found.items() if only is None or name in only}
    if not found:
        raise ValueError("the log has no figures yet")

    columns = min(3, len(found))
    rows = math.ceil(len(found) / columns)
    figure = new_figure(4 * columns, 2.6 * rows)
    for number, (name, points) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        steps, values = (list(column) for column in zip(*points))
        if len(points) > 30:  # a value for each step: the course is what matters
            axes.plot(steps, values, color="#4477aa", alpha=0.25, linewidth=0.8)
            axes.plot(steps, smooth(values, 0.9), color="#4477aa", linewidth=1.6)
        else:
            axes.plot(steps, values, color="#cc6677", linewidth=1.6, marker="o", markersize=3)
        axes.set_title(f"{name.replace('_', ' ')} ({values[-1]:.3g})", fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title, fontsize=10)
    return save_png(figure, image)
