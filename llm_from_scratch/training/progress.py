"""What the clock says about a run: the progress bar, and `timing.jsonl` beside the log.

Kept apart from everything the arithmetic decides, see `log.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .log import TIMING, RunLog, open_log

_BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, {elapsed} gone, {remaining} left{postfix}"


class Progress:
    """A bar with the smoothed loss, tokens a second and the time left."""

    def __init__(self, steps: int, first: int, shown: bool) -> None:
        self.bar = tqdm(
            total=steps,
            initial=first,
            disable=not shown,
            unit="step",
            dynamic_ncols=True,
            desc="training",
            bar_format=_BAR,
        )
        if shown and not self.bar.fp.isatty():
            self.bar.mininterval = 10.0  # in a log file every update is a line of its own
        self.validation = ""
        self.loss = math.nan
        self.tokens: float = 0
        self.started = time.perf_counter()

    def advance(self, loss: float, tokens: float) -> None:
        """One step more."""
        self.loss = loss if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * loss
        self.tokens += tokens
        if not self.bar.disable:
            speed = self.tokens / max(time.perf_counter() - self.started, 1e-9)
            self.bar.set_postfix_str(f"loss {self.loss:.3f}, {speed:,.0f} tokens/s{self.validation}", refresh=False)
        self.bar.update()

    def show(self, evaluation: dict[str, Any]) -> None:
        """Show the newest validation loss from now on, or without one the first of what else was measured."""
        name = "loss" if "loss" in evaluation else next(iter(evaluation), "")
        self.validation = f", {'validation' if name == 'loss' else name} {evaluation[name]:.3f}" if name else ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


class Timing:
    """Seconds and tokens of every step, in a file that is not compared."""

    def __init__(self, directory: Path | None, report: Callable[[str], None]) -> None:
        self.log: RunLog | None = None
        if directory is not None:
            path = directory / TIMING
            self.log = open_log(path, path.stat().st_size if path.is_file() else 0, None, report)
        self.last = time.perf_counter()

    def note(self, step: int, tokens: float) -> None:
        """A step has ended."""
        now = time.perf_counter()
        if self.log is not None:
            self.log.write({"step": step, "seconds": round(now - self.last, 4), "tokens": tokens})
        self.last = now

    def __enter__(self) -> Timing:
        return self

    def __exit__(self, *_: object) -> None:
        if self.log is not None:
            self.log.close()
