"""What came out of a task, item by item, as a file; and whether two models differ on the same items."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..scoring.intervals import Difference, Estimate, paired_bootstrap

RESULTS = "results.json"
_FORMAT = "evaluation 1"


@dataclasses.dataclass(frozen=True)
class Outcome(Estimate):
    """value, interval, count of a task's score; keys (N,): a name for each item, scores (N,): each item's.

    details: what stands beside it, as JSON can hold it.
    """

    task: str = ""
    metric: str = ""
    keys: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    larger_is_better: bool = True
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a mapping that JSON can hold; an interval without bounds is null."""
        told = dataclasses.asdict(self)
        return told | {"interval": [None if not np.isfinite(edge) else edge for edge in self.interval]}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Outcome:
        """The outcome that `to_json` told; ValueError for anything else."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(told, Mapping) or set(told) != names or len(told["keys"]) != len(told["scores"]):
            raise ValueError("this is no result of an evaluation")
        low, high = told["interval"]
        edges = (-np.inf if low is None else low, np.inf if high is None else high)
        return cls(**{**told, "interval": edges, "keys": tuple(told["keys"]), "scores": tuple(told["scores"])})


@dataclasses.dataclass(frozen=True)
class Comparison(Difference):
    """value: the first minus the second on the items that both have; missing: how many items only one has."""

    task: str = ""
    metric: str = ""
    first: float = 0.0
    second: float = 0.0
    missing: int = 0
    larger_is_better: bool = True

    @property
    def verdict(self) -> str:
        """In words: which is better, if chance alone does not explain it."""
        if self.count < 2:
            return "one item says nothing about others"
        low, high = self.interval
        if low <= 0 <= high or self.p_value >= 0.05:
            return "no difference that chance could not make"
        better = "the first" if (self.value > 0) == self.larger_is_better else "the second"
        return f"{better} is better"


def compare(first: Outcome, second: Outcome, rng: np.random.Generator | int = 0) -> Comparison:
    """Whether two outcomes of one task differ: the items that both have, paired.

    ValueError for outcomes of different tasks, metrics or settings, and for no common item.
    """
    for name in ("task", "metric", "settings"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise ValueError(f"the two differ in their {name}, {one!r} and {other!r}: what is compared must be equal")
    scores = dict(zip(second.keys, second.scores))
    pairs = [(score, scores[key]) for key, score in zip(first.keys, first.scores) if key in scores]
    if not pairs:
        raise ValueError(f"the two were asked different items of {first.task!r}: none is the same")
    a, b = np.array(pairs).T
    found = paired_bootstrap(a, b, rng)
    return Comparison(
        found.value, found.interval, found.count, found.p_value, first.task, first.metric, float(a.mean()),
        float(b.mean()), len(set(first.keys) ^ set(second.keys)), first.larger_is_better,
    )  # fmt: skip


def write_outcomes(directory: str | os.PathLike[str], model: str, outcomes: Sequence[Outcome]) -> None:
    """`results.json` in a directory."""
    told = {"format": _FORMAT, "model": model, "outcomes": [outcome.to_json() for outcome in outcomes]}
    write_json(Path(directory) / RESULTS, told)


def read_outcomes(path: str | os.PathLike[str]) -> tuple[str, dict[str, Outcome]]:
    """The model's name and the outcomes, by task, of a directory or its results.json; ValueError for what is none."""
    place = Path(path) / RESULTS if Path(path).is_dir() else Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there are no results in {path}: make them with evaluate --out {path}")
    told = read_json_object(place)
    if told.get("format") != _FORMAT or not isinstance(told.get("outcomes"), list):
        raise ValueError(f"{place} holds no results of evaluate")
    try:
        outcomes = [Outcome.from_json(one) for one in told["outcomes"]]
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{place} is damaged ({error})") from None
    return str(told.get("model", "")), {outcome.task: outcome for outcome in outcomes}
