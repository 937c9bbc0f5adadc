"""Pictures of who reads what in attention: heads that share keys, masks, and how far a token hears through layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from .style import COLOURS
from .vector import show_svg


def draw_sharing(heads: int, shared: Mapping[str, int]) -> None:
    """Draw query heads above the key-value heads that they read: a panel for each name and number of key-value heads.

    ValueError where the query heads cannot be shared out evenly.
    """
    for name, count in shared.items():
        if count < 1 or heads % count:
            raise ValueError(f"{name}: {heads} query heads cannot share {count} key-value heads evenly")
    figure, panels = plt.subplots(1, len(shared), figsize=(7.4, 2.1), squeeze=False)
    for axes, (name, count) in zip(panels[0], shared.items()):
        group = heads // count
        for k in range(count):
            middle = k * group + (group - 1) / 2
            for a in range(k * group, (k + 1) * group):
                axes.plot([a, middle], [1, 0.12], color=COLOURS["grey"], lw=1, zorder=1)
                axes.plot(a, 1, "o", ms=9, color=COLOURS["orange"], zorder=2)
            axes.add_patch(Rectangle((middle - 0.3, -0.22), 0.6, 0.34, color=COLOURS["blue"], zorder=2))
        axes.set(xlim=(-0.7, heads - 0.3), ylim=(-1.05, 1.4), title=name)
        axes.text((heads - 1) / 2, -0.95, f"{count} of {heads} kept", ha="center", fontsize=9, color="#444444")
        axes.axis("off")
    panels[0, 0].text(-0.6, 1.22, "query heads", fontsize=8, color=COLOURS["orange"])
    panels[0, 0].text(-0.6, -0.42, "keys and values", fontsize=8, color=COLOURS["blue"], va="center")
    told = [f"{name}: {count} key-value heads, each read by {heads // count}" for name, count in shared.items()]
    show_svg(figure, f"{heads} query heads above the key-value heads they read. {'; '.join(told)}.")


def heard(windows: Sequence[int | None], tokens: int) -> np.ndarray:
    """Which places the last of `tokens` hears: (layers + 1, tokens) of booleans, row 0 the input.

    windows: of each layer, the first one first; None sees everything before it.

    >>> heard([2, 2], 4).astype(int)
    array([[0, 1, 1, 1],
           [0, 0, 1, 1],
           [0, 0, 0, 1]])
    """
    distance = np.subtract.outer(np.arange(tokens), np.arange(tokens))
    rows = [np.arange(tokens) == tokens - 1]
    for window in reversed(windows):
        mask = (distance >= 0) & (distance < (window or tokens))
        rows.insert(0, rows[0] @ mask)
    return np.array(rows)


def draw_reach(designs: Mapping[str, Sequence[int | None]], tokens: int = 12) -> None:
    """Draw, for each design (its layers' windows), the masks of its first two layers and whom the last token hears."""
    figure, panels = plt.subplots(3, len(designs), figsize=(7.4, 5.4), squeeze=False, height_ratios=[1, 1, 0.7])
    told = []
    for column, (name, windows) in zip(panels.T, designs.items()):
        for layer, axes in enumerate(column[:2]):
            _mask(axes, tokens, windows[layer] or tokens)
            axes.set_title(name if not layer else "", fontsize=10)
        reach = heard(windows, tokens)
        _cone(column[2], reach, [window or tokens for window in windows])
        told.append(f"{name}: the last token hears {int(reach[0].sum())} of {tokens} through {len(windows)} layers")
    for axes, label in zip(panels[:, 0], ("layer 1", "layer 2", "the last hears")):
        axes.text(-0.06, 0.5, label, rotation=90, ha="right", va="center", fontsize=9, transform=axes.transAxes)
    show_svg(figure, f"Masks of two layers, queries down, keys across; below, who is heard. {'; '.join(told)}.")


def _mask(axes: plt.Axes, tokens: int, window: int) -> None:
    """A bar for each query, over the keys that it sees."""
    queries = np.arange(tokens)
    first = np.maximum(0, queries - window + 1)
    axes.barh(queries, np.full(tokens, tokens), left=0, height=0.84, color="#eeeeee")
    axes.barh(queries, queries + 1 - first, left=first, height=0.84, color=COLOURS["blue"])
    axes.vlines(queries[1:], -0.5, tokens - 0.5, color="white", lw=1)
    axes.set(aspect="equal", xlim=(0, tokens), ylim=(tokens - 0.5, -0.5))
    axes.axis("off")


def _cone(axes: plt.Axes, reach: np.ndarray, windows: Sequence[int]) -> None:
    """Dots for the tokens of each layer, the input lowest; lit and joined where the last token hears them."""
    xs: list[float] = []
    ys: list[float] = []
    for row, window in enumerate(windows, start=1):
        for end in np.flatnonzero(reach[row]):
            for start in range(max(0, int(end) - window + 1), int(end) + 1):
                xs += [start, float(end), np.nan]
                ys += [row - 1, row, np.nan]
    axes.plot(xs, ys, color=COLOURS["orange"], lw=0.5, alpha=0.5, zorder=1)
    for places, colour, size in ((reach, COLOURS["orange"], 5), (~reach, "#cccccc", 3)):
        rows, columns = np.nonzero(places)
        axes.plot(columns, rows, "o", color=colour, ms=size, zorder=2)
    axes.set(xlim=(-0.7, reach.shape[1] - 0.3), ylim=(-0.4, len(windows) + 0.4))
    axes.axis("off")
