"""Timings for the chapters: several ways of doing one thing, side by side, with their spread and the threads used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from .style import COLOURS


def compare_speed(
    functions: Mapping[str, Callable[[], Any]],
    *,
    title: str = "",
    seconds: float = 1.5,
    rounds: int = 9,
    threads: int = 1,
) -> dict[str, float]:
    """Time the functions in turns, print medians and spread, draw a bar for each; the medians in seconds come back.

    Each round runs every function (fast ones many times in a row), so that a busy moment of the machine hits all of
    them. `seconds` is the time to spend in all, roughly; `threads` limits BLAS. The bar is the median, the whisker
    spans the middle half of the rounds. A cell that calls this carries the tag `timing`: it is not compared.
    """
    with threadpool_limits(threads):
        quartiles = _measure(functions, seconds / len(functions) / rounds, rounds)
        used = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
    slowest = max(functions, key=lambda name: quartiles[name][1])
    width = max(map(len, functions))
    for name, (low, median, high) in quartiles.items():
        line = f"{name:{width}}  {readable(median):>8}  (middle half {readable(low)} to {readable(high)})"
        ratio = quartiles[slowest][1] / median
        if name != slowest:
            line += f"  {ratio:,.0f} ×" if ratio >= 10 else f"  {ratio:.2g} ×"
            line += f" as fast as {slowest}"
        print(line)
    pools = ", ".join(f"{name} {number}" for name, number in sorted(used.items()))
    print(f"{rounds} rounds; threads: Python 1, {pools or 'no BLAS found'}")
    _draw(quartiles, title)
    return {name: float(q[1]) for name, q in quartiles.items()}


def _measure(functions: Mapping[str, Callable[[], Any]], share: float, rounds: int) -> dict[str, np.ndarray]:
    """The quartiles of each function's time, `share` seconds a function and round."""
    repeats = {}
    for name, function in functions.items():
        function()  # compile, fill caches
        start = time.perf_counter()
        function()
        repeats[name] = max(1, int(share / max(time.perf_counter() - start, 1e-7)))
    measured: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                function()
            measured[name].append((time.perf_counter() - start) / repeats[name])
    return {name: np.percentile(times, [25, 50, 75]) for name, times in measured.items()}


def _draw(quartiles: dict[str, np.ndarray], title: str) -> None:
    names = list(quartiles)
    low, median, high = np.array([quartiles[name] for name in names]).T * 1e3
    _, axes = plt.subplots(figsize=(7, 0.6 + 0.38 * len(names)))
    axes.barh(names, median, color=COLOURS["sky"], height=0.6)
    axes.errorbar(median, names, xerr=(median - low, high - median), fmt="none", ecolor=COLOURS["black"], capsize=3)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds", title=title)
    if median.max() > 20 * median.min():
        axes.set(xscale="log", xlabel="milliseconds (logarithmic)")
    axes.grid(axis="y", visible=False)
    plt.show()


def readable(seconds: float) -> str:
    """A duration in a unit that suits it.

    >>> readable(0.00123), readable(12.0), readable(4.2e-7)
    ('1.23 ms', '12 s', '0.42 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
