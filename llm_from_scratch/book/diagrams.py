"""Small diagrams drawn by matplotlib: where a piece sits in the whole model, and graphs of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from .style import COLOURS

# Name -> (centre x, centre y, width, label). One picture for the whole book: chapters light up their piece.
_PIECES = {
    "data": (0.55, 1.0, 0.9, "text"),
    "tokenizer": (1.75, 1.0, 1.0, "tokenizer"),
    "embedding": (3.05, 1.0, 1.1, "embedding"),
    "norm": (4.85, 1.0, 0.7, "norm"),
    "attention": (5.95, 1.0, 1.0, "attention"),
    "residual": (6.85, 1.0, 0.34, "+"),
    "norm 2": (7.85, 1.0, 0.7, "norm"),
    "feed-forward": (9.0, 1.0, 1.1, "feed-\nforward"),
    "residual 2": (9.95, 1.0, 0.34, "+"),
    "norm 3": (10.95, 1.0, 0.7, "norm"),
    "head": (11.95, 1.0, 0.8, "head"),
    "loss": (13.0, 1.0, 0.8, "loss"),
    "positions": (5.95, 2.1, 1.0, "positions"),
    "sampling": (11.95, 2.1, 1.0, "sampling"),
    "optimiser": (3.05, -0.2, 1.1, "optimiser"),
    "backward": (8.8, -0.2, 8.4, "backward: the gradient of every weight"),
}
_HEIGHT = 0.62


def where_it_sits(*names: str) -> None:
    """Draw the whole of a language model and its training, with the named pieces lit up.

    Names: data, tokenizer, embedding, positions, norm, attention, residual, feed-forward, block, head, loss, sampling,
    backward, optimiser.
    """
    known = {name.split(" ")[0] for name in _PIECES} | {"block"}
    if not names or set(names) - known:
        raise ValueError(f"where_it_sits knows {', '.join(sorted(known))}; got {names}")
    figure, axes = plt.subplots(figsize=(9, 2.3))
    lit = "block" in names
    axes.add_patch(
        Rectangle(
            (4.0, 0.42),
            6.35,
            1.08,
            fill=lit,
            fc="#fbe3d2",
            ec=COLOURS["orange" if lit else "grey"],
            ls="--",
            lw=1,
        )
    )
    axes.text(10.32, 1.56, "× number of layers", ha="right", fontsize=8, color="#666666")
    for name, (x, y, width, label) in _PIECES.items():
        _box(axes, x, y, width, label, lit=name.split(" ")[0] in names)
    row = [name for name, piece in _PIECES.items() if piece[1] == 1.0]
    for before, after in zip(row, row[1:]):
        _arrow(
            axes,
            (_PIECES[before][0] + _PIECES[before][2] / 2, 1.0),
            (_PIECES[after][0] - _PIECES[after][2] / 2, 1.0),
        )
    edge = _HEIGHT / 2
    for x, start, end in ((5.95, 2.1, 1.0), (11.95, 1.0, 2.1), (13.0, 1.0, -0.2), (3.05, -0.2, 1.0)):
        sign = 1 if end > start else -1
        _arrow(axes, (x, start + sign * edge), (x, end - sign * edge))
    _arrow(axes, (4.6, -0.2), (3.6, -0.2))
    axes.text(2.95, 0.4, "new weights", ha="right", fontsize=8, color="#666666", va="center")
    for start, end in ((4.2, 6.85), (7.25, 9.95)):  # the residual stream passes each branch by
        axes.plot([start, start, end, end], [1.0, 0.55, 0.55, 1.0 - edge], color="#666666", lw=0.9, zorder=1)
    axes.set(xlim=(0, 13.5), ylim=(-0.6, 2.5))
    axes.axis("off")
    plt.show()


def draw_graph(
    inputs: Mapping[str, Sequence[str]],
    labels: Mapping[str, str] | None = None,
    *,
    lit: Sequence[str] = (),
    title: str = "",
    axes: Any = None,
) -> None:
    """Draw a graph of operations from left to right: `inputs` names, for every node, what it was computed from.

    An input used twice gets two arrows. `labels` may put more text into a box; `lit` boxes are coloured. Without
    `axes` the figure is shown at once.
    """
    columns = _columns(inputs)
    own = axes is None
    if own:
        rows = max(list(columns.values()).count(column) for column in columns.values())
        _, axes = plt.subplots(figsize=(1.8 * max(columns.values()) + 1.5, 0.4 + 0.8 * rows))
    place: dict[str, tuple[float, float]] = {}
    for column in sorted(set(columns.values())):
        members = [name for name in inputs if columns[name] == column]
        for i, name in enumerate(members):
            place[name] = (2.4 * column, 1.3 * ((len(members) - 1) / 2 - i))
    for name, (x, y) in place.items():
        _box(axes, x, y, 1.3, (labels or {}).get(name, name), lit=name in lit, height=0.8)
        for source in dict.fromkeys(inputs[name]):
            start = (place[source][0] + 0.65, place[source][1])
            copies = list(inputs[name]).count(source)
            for i in range(copies):
                around = -0.25 if columns[name] - columns[source] > 1 else 0.0  # not through the boxes between
                bend = around if copies == 1 else 0.5 * (i / (copies - 1) - 0.5)
                _arrow(axes, start, (x - 0.65, y), bend)
    ys = [y for _, y in place.values()]
    axes.set(xlim=(-0.9, 2.4 * max(columns.values()) + 0.9), ylim=(min(ys) - 0.8, max(ys) + 0.9), title=title)
    axes.axis("off")
    if own:
        plt.show()


def _columns(inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many steps each node is from a leaf, along the longest way."""
    columns: dict[str, int] = {}
    while len(columns) < len(inputs):
        ready = [n for n in inputs if n not in columns and all(source in columns for source in inputs[n])]
        if not ready:
            raise ValueError("draw_graph: every input must be a node of the graph, and there must be no circle")
        for name in ready:
            columns[name] = max((columns[source] + 1 for source in inputs[name]), default=0)
    return columns


def _box(axes: Any, x: float, y: float, width: float, label: str, *, lit: bool, height: float = _HEIGHT) -> None:
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        fc=COLOURS["orange"] if lit else "#f2f2f2",
        ec=COLOURS["orange"] if lit else "#888888",
        zorder=2,
    )
    axes.add_patch(box)
    axes.text(x, y, label, ha="center", va="center", fontsize=8.5, color="white" if lit else "#222222", zorder=3)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=8, lw=0.9, color="#666666", shrinkA=0, shrinkB=0, zorder=1,
            connectionstyle=f"arc3,rad={bend}",
        )
    )  # fmt: skip
