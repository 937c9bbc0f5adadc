"""A run's statistics as a picture: how large things are at each depth, over the steps."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..files.picture import new_figure, save_png
from .statistics_file import read_statistics

_LAYER = re.compile(r"(([a-z_]+\.)+\d+)(\..*)?")
PANELS = {
    "gradient": "length of the gradient",
    "rms": "rms of what a layer puts out",
    "update": "update, as a share of the weights",
}


def layer_of(path: str) -> str:
    """The layer that a parameter or a part belongs to; what is in no layer goes by the beginning of its path.

    >>> layer_of("layers.3.mixer.query.weight"), layer_of("embedding.weight")
    ('layers.3', 'embedding')
    """
    found = _LAYER.fullmatch(path)
    return found[1] if found else path.split(".")[0]


def by_depth(entries: list[dict[str, Any]], figure: str) -> tuple[list[str], np.ndarray]:
    """One figure of statistics as a table: the layers in their order, and values (layers, entries); NaN where unknown.

    figure: "gradient", "weight" (lengths of a layer's tensors together), "update" (of all of them, as a share), or
    "rms", "largest", "dead", "stuck" of what a layer puts out.
    """
    columns = [_of_parameters(entry, figure) or _of_activations(entry, figure) for entry in entries]
    names = list(dict.fromkeys(name for column in columns for name in column))
    table = np.array([[column.get(name, math.nan) for column in columns] for name in names], float)
    return names, table.reshape(len(names), len(entries))


def _of_parameters(entry: dict[str, Any], figure: str) -> dict[str, float]:
    squares: dict[str, float] = {}
    weights: dict[str, float] = {}
    for name, figures in entry["parameters"].items():
        if figure not in figures:
            continue
        weight = _number(figures["weight"])
        value = _number(figures[figure]) * (weight if figure == "update" else 1.0)
        squares[layer_of(name)] = squares.get(layer_of(name), 0.0) + value * value
        weights[layer_of(name)] = weights.get(layer_of(name), 0.0) + weight * weight
    if figure == "update":
        return {
            name: math.sqrt(value / weights[name]) if weights[name] else math.nan for name, value in squares.items()
        }
    return {name: math.sqrt(value) for name, value in squares.items()}


def _of_activations(entry: dict[str, Any], figure: str) -> dict[str, float]:
    # Not the last norm: what it puts out is of one size by design, and would hide how layers differ.
    whole = {n: figures for n, figures in entry["activations"].items() if layer_of(n) == n and n != "norm"}
    return {name: _number(figures[figure]) for name, figures in whole.items() if figure in figures}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def plot_statistics(
    source: str | os.PathLike[str] | list[dict[str, Any]], image: str | os.PathLike[str], title: str = ""
) -> Path:
    """Draw gradients, activations and updates by depth over the steps into a PNG file.

    source: a statistics.jsonl, a run's directory, or entries. Raises ValueError when nothing was measured.
    """
    entries = source if isinstance(source, list) else read_statistics(source)
    tables = {figure: by_depth(entries, figure) for figure in PANELS}
    tables = {figure: (names, table) for figure, (names, table) in tables.items() if np.isfinite(table).any()}
    if not tables:
        raise ValueError("no statistics yet: there is nothing to draw")

    deepest = max(len(names) for names, _ in tables.values())
    figure = new_figure(4.2 * len(tables), min(9, 2 + 0.22 * deepest))
    steps = [entry["step"] for entry in entries]
    for number, (name, (layers, table)) in enumerate(tables.items(), start=1):
        axes = figure.add_subplot(1, len(tables), number)
        with np.errstate(all="ignore"):
            shown = np.log10(np.where(table > 0, table, np.nan))
        mesh = axes.pcolormesh(_edges(steps), np.arange(len(layers) + 1), shown, cmap="viridis", shading="flat")
        axes.set_facecolor("#cc6677")  # what is not a number, or 0
        axes.set_yticks(np.arange(len(layers)) + 0.5, layers, fontsize=7)
        axes.invert_yaxis()
        axes.set_title(PANELS[name], fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        bar = figure.colorbar(mesh, ax=axes)
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value:.1g}")
        bar.ax.tick_params(labelsize=7)
    if title:
        figure.suptitle(title, fontsize=10)
    return save_png(figure, image)


def _edges(steps: list[int]) -> np.ndarray:
    """The borders of columns around the steps.

    >>> _edges([10, 20, 40]).tolist()
    [5.0, 15.0, 30.0, 50.0]
    """
    places = np.array(steps, float)
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    middle = (places[1:] + places[:-1]) / 2
    return np.concatenate([[2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]])
