"""The other kinds of stages: a run made by a function, rows written by one, a method of `align`, a reward model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...alignment.references import SIDES
from ...alignment.reward_objectives import pair_accuracy
from ...alignment.value_head import RewardModel
from ...data.examples import example_batches
from ..aligning import Setup, find_method
from ..aligning.sources import Tales
from ..stages import Start
from ..tuning import Tuning
from .opening import HELD_OUT, LONGEST, Opened, rate_for
from .preset import Asks, plainly


@dataclasses.dataclass(frozen=True)
class Written:
    """Write down what models say, or what is made of it. rows: for an opened model, JSON-able."""

    name: str
    does: str
    rows: Callable[[Opened], Sequence[Mapping[str, Any]]]
    template: str = ""
    asks: Asks = plainly

    def write(self, start: Start) -> list[dict[str, Any]]:
        """The rows; ValueError where there are none, since the next stage would have nothing to learn from."""
        rows = [dict(row) for row in self.rows(Opened(start, self.template, asks=self.asks))]
        if not rows:
            raise ValueError(f"the stage {self.name} has nothing to write: the model's answers gave no row")
        return rows


@dataclasses.dataclass(frozen=True)
class Made:
    """Train as a function says, from an opened model."""

    name: str
    does: str
    make: Callable[[Opened], Tuning]
    template: str = ""
    asks: Asks = plainly
    safety: bool = False
    leads: bool = True

    def tuning(self, start: Start) -> Tuning:
        """The run."""
        return self.make(Opened(start, self.template, asks=self.asks, safety=self.safety))


class _Pairs(Tales):
    """Preferences that a stage wrote; held out are the tales'."""

    def __init__(self, rows: Sequence[dict[str, Any]], count: int) -> None:
        super().__init__(0, count)
        self.rows = rows

    def preferences(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


@dataclasses.dataclass(frozen=True)
class Aligned:
    """A method of `align`, on preferences that a stage wrote. settings: those of the method."""

    name: str
    does: str
    method: str
    reads: str
    settings: Mapping[str, Any]
    template: str = ""
    asks: Asks = plainly
    leads: bool = True

    def tuning(self, start: Start) -> Tuning:
        """The run, measured as `align` does and as every stage is."""
        opened = Opened(start, self.template, asks=self.asks)
        method, s = find_method(self.method), start.settings
        names = ("tokens", "steps", "lr", "batch", "threads", "seed", "checkpoint_every")
        few = {"held_out": len(opened.tasks), "prompts": len(opened.tasks), "max_new_tokens": LONGEST}
        given = {**few, **self.settings, **{name: s[name] for name in names if s[name] is not None}}
        settings = {**method.resolved(given), "method": self.method, "model": start.model, "data": self.reads}
        if s["lr"] is None:
            settings["lr"] = rate_for(opened.large, settings["lr"])
        source = _Pairs(start.rows(self.reads), len(opened.tasks))
        setup = Setup(opened.model, opened.tokenizer, source, settings, template=opened.template, say=_silent)
        tuning = method.prepare(setup)
        theirs = tuning.measures

        def measures(model: Any) -> dict[str, float]:
            return {**opened.look(model), **({} if theirs is None else theirs(model))}

        return dataclasses.replace(tuning, measures=measures, samples=opened.samples)


@dataclasses.dataclass(frozen=True)
class Reward:
    """A reward model on the policy as it stands. examples: comparisons or rankings, for an opened model and a seed."""

    name: str
    does: str
    examples: Callable[[Opened, int], Iterable[Mapping[str, Any]]]
    held_out: Callable[[Opened, int], Iterable[Mapping[str, Any]]]
    objective: Any
    template: str = ""
    asks: Asks = plainly
    tokens: int = 400_000
    lr: float = 1e-3
    batch: int = 16
    leads: bool = False

    def tuning(self, start: Start) -> Tuning:
        """The run, measured by the accuracy on held-out pairs."""
        opened = Opened(start, self.template, asks=self.asks)
        batch = start.settings["batch"] or self.batch
        examples, steps = opened.gather(self.examples(opened, start.settings["seed"]), batch, self.tokens)
        pairs = list(itertools.islice(self.held_out(opened, HELD_OUT), len(opened.tasks)))
        model = RewardModel(opened.model)

        def measures(model: Any) -> dict[str, float]:
            return {"pair_accuracy": pair_accuracy(model, example_batches(pairs, 32))}

        def save(directory: Path) -> None:
            """Comparisons leave a constant open: with their mean at 0, a sigmoid of one half is the answer between."""
            batches = list(example_batches(pairs, 32))
            model.center(
                {name: batch[f"{side}_{name}"] for name in ("ids", "mask")} for batch in batches for side in SIDES
            )
            model.save_pretrained(directory)

        how: dict[str, Any] = {"objective": self.objective, "lr": self.lr, "batch": batch}
        return opened.tuning(examples, steps, **how, model=model, measures=measures, save=save)


def _silent(text: str) -> None:
    """The reference's progress is not shown: a stage has its own."""
