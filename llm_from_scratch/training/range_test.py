"""The learning-rate range test: train a little while the rate rises tenfold again and again, and see where it helps.

Too low a rate changes nothing, too high a one destroys; in between the loss falls, fastest somewhere. One short run
shows all three, on a model that is put back afterwards. It says where to look, not what is best for a long run: what
only shows later a short test cannot know.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..files.picture import new_figure, save_png
from .config import TrainingSettings
from .loop import train
from .objectives import Objective, next_token
from .run import Diverged, Sampler

_WINDOW = 1 / 12  # of the rates: the losses of so many neighbours on each side are averaged
_FALL = 0.02  # of the first loss: a curve that falls by less has not fallen


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """What was seen. rates, losses, smoothed: a number an update, the loss being that after the update with that rate.

    suggestion: where the smoothed loss falls fastest, None if it does not fall. lowest: the rate at which it is lowest.
    reason: why, in words. diverged: the rate at which the test broke off, None if it came to its end.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    lowest: float | None
    reason: str
    diverged: float | None


def find_learning_rate(
    model: Any,
    sampler: Sampler,
    settings: TrainingSettings,
    *,
    objective: Objective = next_token,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 120,
    worse: float = 1.5,
) -> RangeTest:
    """Sweep the learning rate from `lowest` to `highest`, each update at a constant factor above the one before.

    settings: optimiser, clipping, micro-batches and seed are theirs; schedule, warmup and length are not. The test
    ends early at a loss of more than `worse` times the first, or one that is not finite. Weights and the sampler's
    position are afterwards as before, gradients are cleared, and the same model and seed give the same answer.

    Raises ValueError for rates that do not rise, fewer than 10 steps, a `worse` of 1 or less; Diverged, one too, where
    the first loss is not finite; KeyboardInterrupt when it was stopped.

    Source: Smith 2017, arXiv:1506.01186, section 3.3 (there in a straight line); the exponential sweep is Gugger's.
    """
    for name, value in (("lowest", lowest), ("highest", highest), ("worse", worse)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    if not lowest < highest:
        raise ValueError(f"the rates must rise, got lowest = {lowest:g} and highest = {highest:g}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 10:
        raise ValueError(f"steps must be a whole number of at least 10, or there is no curve to see; got {steps!r}")
    if worse <= 1:
        raise ValueError(f"worse must be above 1 (times the first loss), got {worse:g}")
    sweep = dataclasses.replace(
        settings, steps=steps + 1, schedule="exponential", learning_rate=lowest, warmup=0, total_tokens=None,
        final_learning_rate=lowest * (highest / lowest) ** ((steps + 1) / max(1, steps - 1)),
        evaluate_every=0, statistics_every=0,
    )  # fmt: skip
    before = {name: np.array(p.stored) for name, p in model.named_parameters() if p.requires_grad}
    position, losses = sampler.state(), []

    def look(step: int, loss: float, model: Any) -> None:
        if step:
            losses.append(loss)
        if step > 1 and loss - losses[0] > (worse - 1) * abs(losses[0]):  # which may be below 0
            raise _Enough

    broke_off: Exception | None = None
    try:
        outcome = train(
            model, sampler, sweep, objective=objective, on_step=look, progress=False, report=lambda text: None
        )
        if not outcome.finished:
            raise KeyboardInterrupt
    except (Diverged, _Enough) as error:
        if not losses:
            raise  # before any rate was tried
        broke_off = error  # what was seen until then is the answer
    finally:
        for name, p in model.named_parameters():
            if name in before:
                p.stored[...] = before[name]
                p.grad = None
        sampler.restore(position)
    # The loss of step k is that of the weights before it: what rate k did is seen one step later.
    rates = [sweep.lr(step) for step in range(len(losses))]
    if broke_off is None:
        return _read(rates[:-1], losses, None, steps)
    return _read(rates[:-1], losses, rates[-1] if isinstance(broke_off, Diverged) else rates[-2], steps)


class _Enough(Exception):
    """The loss is so bad that higher rates have nothing to tell."""


def _read(rates: list[float], losses: list[float], diverged: float | None, steps: int) -> RangeTest:
    after, reach = losses[1:], max(1, round(steps * _WINDOW))
    smoothed = centred(after, reach)
    start, noise = float(np.mean(losses[: reach + 1] or [math.nan])), float(np.std(np.subtract(after, smoothed)))
    bottom = int(np.argmin(smoothed)) if smoothed else 0
    end = "" if diverged is None else f"; it broke off at {diverged:.2g}"
    # The first rates do nothing: what batches differ by is no fall.
    if bottom < 2 or not start - smoothed[bottom] > max(_FALL * abs(start), 3 * noise / math.sqrt(reach)):
        reason = f"the loss of {start:.3f} does not fall at any rate that was tried{end}: begin lower, or end higher"
        return RangeTest(tuple(rates), tuple(after), tuple(smoothed), None, None, reason, diverged)
    slope = np.gradient(smoothed)[: bottom + 1]
    steepest = int(np.argmin(slope))
    tenfold = math.log(10) / math.log(rates[1] / rates[0])  # updates
    if bottom == len(rates) - 1 and diverged is None:
        end = ", the end of the sweep: higher rates may be better still"
    reason = (
        f"the smoothed loss falls fastest at {rates[steepest]:.2g} (by {-slope[steepest] * tenfold:.2f} while the rate "
        f"rises tenfold) and is lowest, {smoothed[bottom]:.3f}, at {rates[bottom]:.2g}{end}"
    )
    return RangeTest(tuple(rates), tuple(after), tuple(smoothed), rates[steepest], rates[bottom], reason, diverged)


def centred(values: list[float], reach: int) -> list[float]:
    """The mean of each value and up to `reach` neighbours on both sides, equally many: it lags behind nothing.

    >>> centred([1.0, 2.0, 6.0, 1.0], 1)
    [1.0, 3.0, 3.0, 1.0]
    """
    smoothed = []
    for place in range(len(values)):
        near = min(reach, place, len(values) - 1 - place)
        smoothed.append(float(np.mean(values[place - near : place + near + 1])))
    return smoothed


def plot_range_test(found: RangeTest, image: str | os.PathLike[str], title: str = "") -> Path:
    """Draw loss over learning rate into a PNG file, the suggestion marked. ValueError if nothing was seen."""
    if not found.rates:
        raise ValueError(f"there is nothing to draw: {found.reason}")

    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    axes.semilogx(found.rates, found.losses, color="#4477aa", alpha=0.3, linewidth=0.8)
    axes.semilogx(found.rates, found.smoothed, color="#4477aa", linewidth=1.8)
    if found.suggestion is not None and found.lowest is not None:
        for rate, what, colour in ((found.suggestion, "falls fastest", "#cc6677"), (found.lowest, "lowest", "#888888")):
            height = found.smoothed[found.rates.index(rate)]
            axes.plot(rate, height, "o", color=colour)
            axes.annotate(
                f"{what}: {rate:.2g}", (rate, height), (8, 8), textcoords="offset points", color=colour, fontsize=9
            )
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss after an update")
    axes.set_title(title or "Learning-rate range test")
    axes.grid(alpha=0.3)
    return save_png(figure, image)
