"""The loss curve of a run as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files.picture import new_figure, save_png
from .log import read_log


def smooth(values: list[float], weight: float) -> list[float]:
    """An exponential moving average that starts without bias: each value counts `weight` times the one after it.

    >>> smooth([1.0, 3.0], 0.5)           # (0.5·1 + 3) / 1.5
    [1.0, 2.3333333333333335]
    """
    total = count = 0.0
    result = []
    for value in values:
        total, count = weight * total + value, weight * count + 1.0
        result.append(total / count)
    return result


def plot_curve(
    log: str | os.PathLike[str] | list[dict[str, Any]], image: str | os.PathLike[str], title: str = ""
) -> Path:
    """Draw training and validation loss over the steps into a PNG file.

    log: a log file, a run's directory, or entries as from `read_log`. Raises ValueError when nothing was logged, or
    something else than numbers.
    """
    entries = log if isinstance(log, list) else read_log(log)
    training, validation = _points(entries, "loss"), _points(entries, "validation_loss")
    if not training and not validation:
        raise ValueError("the log has no losses yet: there is nothing to draw")

    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    if training:
        steps, losses = (list(column) for column in zip(*training))
        smoothed = smooth(losses, 0.95 if len(losses) >= 100 else 0.8)
        axes.plot(steps, losses, color="#4477aa", alpha=0.25, linewidth=0.8)
        axes.plot(steps, smoothed, color="#4477aa", linewidth=1.6, label=f"training, smoothed ({smoothed[-1]:.3f})")
    if validation:
        steps, losses = (list(column) for column in zip(*validation))
        axes.plot(
            steps,
            losses,
            color="#cc6677",
            linewidth=1.6,
            marker="o",
            markersize=4,
            label=f"validation ({losses[-1]:.3f})",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(title or "Loss during training")
    axes.grid(alpha=0.3)
    axes.legend()
    return save_png(figure, image)


def _points(entries: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    points = [(entry.get("step"), entry[name]) for entry in entries if name in entry]
    for point in points:
        if not all(isinstance(number, (int, float)) for number in point):
            raise ValueError(f"the log has a {name} of {point[1]!r} at step {point[0]!r}: numbers were expected")
    return points  # type: ignore[return-value]
