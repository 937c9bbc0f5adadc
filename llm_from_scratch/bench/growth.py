"""How cost grows: time and memory of a training step and of a token written, against one size of a model at a time.

A power law is a line on paper with two logarithmic axes: its exponent is the slope, fitted by least squares. Beside it
stands how near a work comes to what the machine can do at all: of the peak of its matrix products for a step, of its
read bandwidth for a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import kinds
from .growth_cases import AXES, BANDWIDTH, PEAK, growth_cases
from .growth_tables import course_table
from .runner import cores_for, run_case


def exponent(sizes: Sequence[float], costs: Sequence[float | None]) -> tuple[float, float] | None:
    """The slope of log cost against log size by least squares, and its standard error; None for fewer than 3 costs.

    A cost that is None or not positive (memory too small to be seen) does not count.

    >>> slope, error = exponent([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0])
    >>> round(slope, 6), error < 1e-6
    (2.0, True)
    """
    pairs = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if cost is not None and cost > 0]
    if len(pairs) < 3:
        return None
    x, y = np.log(np.array(pairs, np.float64)).T
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    residual = float(((y - slope * x) ** 2).sum())
    return slope, (residual / (len(pairs) - 2) / float(x @ x)) ** 0.5


def growth(
    *,
    threads: int | None = None,
    rounds: int = 3,
    seconds: float = 0.3,
    kind: str | None = None,
    quick: bool = False,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure every size of every axis, each in a process of its own, and fit the exponents.

    quick: without the two largest sizes of each axis. Returns {"growth": {axis: {"sizes", work: {"seconds", "bytes",
    "share", "time": [exponent, its standard error] or None, "memory": the same}}}, "peak": FLOP/s, "bandwidth": bytes
    a second, "machine", …}.
    """
    threads = cores_for(threads)
    kinds.environment(kind)
    settings: dict[str, Any] = {"threads": threads, "rounds": rounds, "seconds": seconds, "kind": kind}
    cases = dict(growth_cases(threads))
    able = run_case("growth/machine", cases["growth/machine"], **settings)["contenders"]
    limits = {"peak": _rate(able[PEAK], "flops", "low"), "bandwidth": _rate(able[BANDWIDTH], "bytes", "low")}
    show(f"{threads} threads: {limits['peak'] / 1e9:,.0f} GFLOP/s of matrix products, "
         f"{limits['bandwidth'] / 1e9:,.1f} GB/s read")  # fmt: skip
    found: dict[str, Any] = {}
    for axis, values in AXES.items():
        sizes = values[:-2] if quick else values
        points = [run_case(f"growth/{axis}/{n}", cases[f"growth/{axis}/{n}"], **settings)["contenders"] for n in sizes]
        found[axis] = {"sizes": list(sizes)}
        for work in points[0]:
            found[axis][work] = _course(sizes, [point[work] for point in points], limits)
        show(course_table(axis, found[axis]))
    return {**settings, "machine": kinds.machine(), **limits, "growth": found}


def _rate(numbers: dict[str, Any], what: str, when: str = "median") -> float:
    if "absent" in numbers:
        raise RuntimeError(f"the machine itself could not be measured: {numbers['absent']}")
    return numbers[what] / numbers[when]


def _course(sizes: Sequence[int], points: list[dict[str, Any]], limits: dict[str, float]) -> dict[str, Any]:
    """Time, memory and share of the limit of one work, size by size, and the exponents."""
    times, bytes_, shares, absent = [], [], [], {}
    for size, point in zip(sizes, points):
        if "absent" in point:
            absent[size] = point["absent"]
        times.append(point["median"] / point.get("runs", 1) if "median" in point else None)
        grown = point["peak"] - point["base"] if point.get("peak") and "base" in point else point.get("growth")
        bytes_.append(grown)
        limit = "peak" if "flops" in point else "bandwidth" if "bytes" in point else None
        shares.append(_rate(point, "flops" if limit == "peak" else "bytes") / limits[limit] if limit else None)
    course = {"seconds": times, "bytes": bytes_, "share": shares, "absent": absent}
    return course | {"time": exponent(sizes, times), "memory": exponent(sizes, bytes_)}
