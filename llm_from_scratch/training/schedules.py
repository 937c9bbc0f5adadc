"""Learning rates over the course of a run: a linear warmup, then a cosine, a straight line, a constant factor
or a constant.

Each schedule is a plain function of the step, counted from 0: no state to save, none to restore. Where steps are unlike
it may be a place between two of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def cosine_schedule(step: float, *, peak: float, warmup: int, total: int, final: float = 0.0) -> float:
    """The learning rate for the update number `step` (0, 1, …): up in a line, down in half a cosine.

    The first `warmup` updates use peak·1/warmup, peak·2/warmup, …, peak. Then the rate falls along half a cosine
    from `peak` and would reach `final` at step `total`; it stays there afterwards. Raises ValueError for a negative
    step, rates that are not finite and non-negative, or a warmup longer than the run.

    >>> [round(cosine_schedule(s, peak=1.0, warmup=2, total=6, final=0.2), 3) for s in range(8)]
    [0.5, 1.0, 1.0, 0.883, 0.6, 0.317, 0.2, 0.2]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts.
    """
    _check(step, peak, warmup, total, final)
    if step < warmup:
        return peak * min(step + 1, warmup) / warmup
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * _progress(step, warmup, total)))


def linear_schedule(step: float, *, peak: float, warmup: int, total: int, final: float = 0.0) -> float:
    """As `cosine_schedule`, but falling in a straight line.

    >>> [round(linear_schedule(s, peak=1.0, warmup=2, total=6), 3) for s in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    _check(step, peak, warmup, total, final)
    if step < warmup:
        return peak * min(step + 1, warmup) / warmup
    return final + (peak - final) * (1.0 - _progress(step, warmup, total))


def constant_schedule(step: float, *, peak: float, warmup: int = 0, total: int = 0, final: float = 0.0) -> float:
    """A linear warmup, then always `peak`. `total` and `final` change nothing: every schedule takes the same arguments.

    >>> [constant_schedule(s, peak=1.0, warmup=4) for s in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    _check(step, peak, warmup, max(total, warmup), final)
    return peak * min(step + 1, warmup) / warmup if step < warmup else peak


def exponential_schedule(step: float, *, peak: float, warmup: int = 0, total: int = 0, final: float = 0.0) -> float:
    """As `cosine_schedule`, but by the same factor at each step, down to `final` or, for a range test, up.

    >>> [round(exponential_schedule(s, peak=1.0, warmup=1, total=4, final=0.001), 3) for s in range(6)]
    [1.0, 1.0, 0.1, 0.01, 0.001, 0.001]
    """
    _check(step, peak, warmup, total, final)
    if step < warmup:
        return peak * min(step + 1, warmup) / warmup
    if not (peak > 0 and final > 0):
        raise ValueError(f"an exponential schedule goes between rates above 0, got {peak} and {final}")
    return peak * (final / peak) ** _progress(step, warmup, total)


SCHEDULES: dict[str, Callable[..., float]] = {
    "cosine": cosine_schedule,
    "linear": linear_schedule,
    "constant": constant_schedule,
    "exponential": exponential_schedule,
}


def _progress(step: float, warmup: int, total: int) -> float:
    """How far the decay has come: 0 at the end of the warmup, 1 from `total` on."""
    return 1.0 if step >= total else (step - warmup) / (total - warmup)


def _check(step: float, peak: float, warmup: int, total: int, final: float) -> None:
    if step < 0:
        raise ValueError(f"steps are counted from 0, got step {step}")
    for name, rate in (("peak", peak), ("final", final)):
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"{name} must be a finite learning rate of at least 0, got {rate}")
    if not 0 <= warmup <= total:
        raise ValueError(f"warmup must lie between 0 and the total of {total} steps, got {warmup}")
