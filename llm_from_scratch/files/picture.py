"""Pictures as PNG files, drawn without a screen, whatever backend the user of matplotlib has set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .atomic import atomic_write


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches, for `save_png`."""
    # Imported here: matplotlib takes longer to load than the rest of the package.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(figsize=(width, height), dpi=120, layout="constrained")).figure


def save_png(figure: Any, image: str | os.PathLike[str]) -> Path:
    """Write a figure of `new_figure` into a file, whole or not at all; the file's path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(new_figure(1, 1), Path(folder) / "empty.png").read_bytes()[1:4]
    b'PNG'
    """
    with atomic_write(image, "wb") as file:
        figure.canvas.print_png(file)
    return Path(image)
