"""Where a run's statistics leave the range they had: which step, which layer, which tensor, in the order of a step.

A step begins with its weights, goes forward through the layers, and back through them with gradients. The first of
these that is out of its range is where a spike began: what comes after it has read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

# How far beyond the largest (or below the smallest) of the steps before a number has to be. Activations and weights are
# means over very many numbers; gradients depend on a few rows.
FACTORS = {"weight": 2.0, "activation": 2.0, "gradient": 4.0}
LEAST = 4  # steps that must have gone before, to speak of a range
_MANY = 50  # steps that count as recent


@dataclasses.dataclass(frozen=True)
class Excursion:
    """A number out of its range.

    kind: "weight", "activation" or "gradient"; path: whose; figure: which of its figures. value: None where it is not
    finite. low, high: what it was in the `steps` steps before; both None where there were too few.
    """

    step: int
    kind: str
    path: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    steps: int

    @property
    def ratio(self) -> float:
        """How far out it is, as a factor; infinite for what is not a number, or was 0."""
        if self.value is None or self.high is None or self.low is None:
            return float("inf")
        above = self.value / self.high if self.high else float("inf") if self.value else 1.0
        below = self.low / self.value if self.value else float("inf") if self.low else 1.0
        return max(above, below)


def in_order(entry: dict[str, Any]) -> Iterator[tuple[str, str, str, float | None]]:
    """The figures of a step as (kind, path, figure, value), as they come about: weights, forward, backward."""
    parameters = entry["parameters"]
    for path, figures in parameters.items():
        yield "weight", path, "weight", figures["weight"]
    for path, figures in entry["activations"].items():
        for name in ("rms", "largest"):
            yield "activation", path, name, figures[name]
    for path, figures in reversed(parameters.items()):
        yield "gradient", path, "gradient", figures["gradient"]


def excursions(entries: list[dict[str, Any]]) -> list[list[Excursion]]:
    """For each of some consecutive steps what is out of the range of those before it, in the order of the step.

    What was out of range itself is not part of the range of what follows, so that an excursion that lasts stays one.

    >>> def step(number, weight):
    ...     return {"step": number, "activations": {}, "parameters": {"w": {"weight": weight, "gradient": 1.0}}}
    >>> found = excursions([step(n, 5.0 if n < 8 else 50.0) for n in range(10)])
    >>> [len(out) for out in found], found[8][0].path, found[8][0].ratio
    ([0, 0, 0, 0, 0, 0, 0, 0, 1, 1], 'w', 10.0)
    """
    usual: dict[tuple[str, str, str], list[float]] = {}
    found = []
    for entry in entries:
        out = []
        for kind, path, figure, value in in_order(entry):
            before = usual.setdefault((kind, path, figure), [])[-_MANY:]
            known = len(before) >= LEAST
            low, high = (min(before), max(before)) if known else (None, None)
            here = Excursion(entry["step"], kind, path, figure, value, low, high, len(before))
            if value is None or (known and here.ratio > FACTORS[kind]):
                out.append(here)
            else:
                usual[kind, path, figure].append(value)
        found.append(out)
    return found


def beginning(entries: list[dict[str, Any]]) -> list[Excursion]:
    """What left its range where the excursion began that lasts to the last step; empty where that step is as usual.

    Numbers that are not finite come first, whatever else is out of range in that step.
    """
    found = excursions(entries)
    first = len(found)
    while first and found[first - 1]:
        first -= 1
    if first == len(found):
        return []
    return sorted(found[first], key=lambda out: out.value is not None)
