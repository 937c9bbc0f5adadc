"""Drawn pictures as SVG: sharp at any size, small, and with words for readers who cannot see them."""

from __future__ import annotations

import io
import re
import sys
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def as_svg(figure: Figure, description: str) -> str:
    """The figure as SVG whose alternative text is `description`; the same figure gives the same text every time.

    ValueError if the description is empty.

    >>> figure = plt.figure(figsize=(1, 1))
    >>> as_svg(figure, "nothing yet")[:41]
    '<svg role="img" aria-label="nothing yet" '
    >>> plt.close(figure)
    """
    if not description.strip():
        raise ValueError("a picture needs a description: what does it show a reader who cannot see it?")
    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "book"}):
        figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"\A.*?<svg ", "", file.getvalue(), flags=re.DOTALL)
    return f'<svg role="img" aria-label="{escape(description)}" {svg}'


def show_svg(figure: Figure, description: str) -> None:
    """Show the figure as SVG with alternative text in a notebook, close it, and do no more than that elsewhere."""
    svg = as_svg(figure, description)
    plt.close(figure)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        from IPython.display import display

        display({"image/svg+xml": svg, "text/plain": description}, raw=True)
