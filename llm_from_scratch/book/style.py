"""How every figure of the book looks: one place for colours, fonts and sizes."""

from __future__ import annotations

import matplotlib as mpl
from cycler import cycler

# Okabe and Ito's palette: told apart by readers with any of the common colour blindnesses, and in grey.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#E69F00",
    "black": "#222222",
    "grey": "#999999",
}


def use_style() -> None:
    """Set matplotlib's defaults for this process to the book's; every chapter calls it in its first code cell."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.0),
            "figure.dpi": 100,  # a full-width figure is some 30 kB of PNG
            "figure.constrained_layout.use": True,
            "savefig.bbox": None,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.prop_cycle": cycler(color=list(COLOURS.values())),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e4e4e4",
            "grid.linewidth": 0.7,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "cividis",
        }
    )
