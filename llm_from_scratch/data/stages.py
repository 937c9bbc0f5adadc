"""Stages of pretraining: rows that grow longer, batches that grow larger, sources that change their shares.

A plan is a list of `Stage`s, and `StagedSampler` follows it: to the training loop it is a sampler like any other.
XGen-7B read 800 billion tokens in rows of 2,048, then 400 billion in rows of 4,096 and 300 billion in rows of 8,192
(Nijkamp et al. 2023, arXiv:2309.03450); GLM-130B began with 192 rows a batch and ended with 4,224 (Zeng et al. 2022,
arXiv:2210.02414).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .mixing import MixtureSampler, checked_weights
from .packing import Batch
from .sampler import Origin
from .token_file import TokenFile


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run. context: tokens a row; batch_size: rows; weights: {source: share}, None for shares by size.

    batches, tokens: how long it is, in one of them; tokens are made up by whole batches, the last may go beyond. A
    last stage that says neither takes what is left of a run.

    >>> Stage(context=64, batch_size=8, tokens=1000).length
    2
    """

    context: int
    batch_size: int
    batches: int | None = None
    tokens: int | None = None
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("context", "batch_size", "batches", "tokens"):
            value = getattr(self, name)
            if value is None and name in ("batches", "tokens"):
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"a stage's {name} must be a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"a stage's {name} must be at least 1, got {value}")
        if self.batches is not None and self.tokens is not None:
            raise ValueError(f"a stage is {self.batches} batches or {self.tokens} tokens long, not both")
        if self.weights is not None:
            checked_weights(self.weights, list(self.weights) if isinstance(self.weights, Mapping) else [])
            object.__setattr__(self, "weights", dict(self.weights))

    @property
    def length(self) -> int | None:
        """Batches in all; None for what is left of a run."""
        if self.tokens is None:
            return self.batches
        return -(-self.tokens // (self.context * self.batch_size))

    @property
    def tokens_a_batch(self) -> int:
        """Tokens that a batch has."""
        return self.context * self.batch_size


def check_stages(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages as a tuple; TypeError or ValueError for none, for other things, and for one without an end that is
    not the last."""
    if isinstance(stages, (str, bytes, Mapping)) or not isinstance(stages, Sequence):
        raise TypeError(f"stages are a list of Stage, got {stages!r}")
    for number, stage in enumerate(stages, start=1):
        if not isinstance(stage, Stage):
            raise TypeError(f"stages are a list of Stage, number {number} is {stage!r}")
        if stage.length is None and number < len(stages):
            raise ValueError(f"stage {number} does not say how long it is (batches or tokens): only the last need not")
    if not stages:
        raise ValueError("a plan has at least one stage")
    return tuple(stages)


def batches_of(stages: Sequence[Stage], batches: int) -> list[int]:
    """How many of the first so many batches belong to each stage; the last goes on as long as it is asked.

    >>> batches_of([Stage(64, 8, batches=2), Stage(128, 8, batches=5)], 3), batches_of([Stage(64, 8, batches=2)], 9)
    ([2, 1], [9])
    """
    counts, left = [], batches
    for stage in stages[:-1]:
        counts.append(min(left, stage.length or left))
        left -= counts[-1]
    return [*counts, left]


def planned_tokens(stages: Sequence[Stage], batches: int) -> int:
    """Tokens in the first so many batches.

    >>> planned_tokens([Stage(64, 8, batches=2), Stage(128, 8)], 3)
    2048
    """
    return sum(count * stage.tokens_a_batch for stage, count in zip(stages, batches_of(stages, batches)))


class StagedSampler:
    """An endless iterator of batches that follows a plan of stages; otherwise a `MixtureSampler`.

    sources: {name: tokens}. The last stage goes on for as long as it is asked. Raises ValueError or TypeError for a
    plan that cannot be followed (see `Stage`, `MixtureSampler`), whichever stage it is in, at once.

    >>> plan = [Stage(context=4, batch_size=6, batches=2), Stage(context=8, batch_size=3)]
    >>> sampler = StagedSampler({"text": np.arange(500)}, plan)
    >>> [next(sampler)["ids"].shape for _ in range(4)]
    [(6, 4), (6, 4), (3, 8), (3, 8)]
    >>> sampler.figures["stage"], sampler.figures["rows text"]
    (2, 18)
    """

    def __init__(
        self,
        sources: Mapping[str, np.ndarray | TokenFile],
        stages: Sequence[Stage],
        *,
        temperature: float = 1.0,
        when_dry: str = "repeat",
        seed: int = 0,
        separator: int | None = None,
        mode: str = "epochs",
    ) -> None:
        self.stages = check_stages(stages)
        settings: dict[str, Any] = {"when_dry": when_dry, "seed": seed, "separator": separator, "mode": mode}
        # Shares by size are settled here, for all stages.
        self.mixture = MixtureSampler(sources, 1, self.stages[0].context, temperature=temperature, **settings)
        self.weights = self.mixture.weights
        self.stage = 0  # the stage that the last batch was of, from 0
        self.batch = 0  # batches given in it
        for number in reversed(range(len(self.stages))):  # ends with the first
            try:
                self._enter(number)
            except (ValueError, TypeError) as error:
                raise type(error)(f"stage {number + 1}: {error}" if len(self.stages) > 1 else str(error)) from None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self.stage + 1 < len(self.stages) and self.batch == self.stages[self.stage].length:
            self._enter(self.stage + 1)
        self.batch += 1
        return next(self.mixture)

    def _enter(self, number: int) -> None:
        stage = self.stages[number]
        weights = self.weights if stage.weights is None else stage.weights
        self.mixture.change(stage.batch_size, stage.context, weights)
        self.stage, self.batch = number, 0

    @property
    def batch_size(self) -> int:
        """Rows a batch, in the present stage."""
        return self.stages[self.stage].batch_size

    @property
    def context(self) -> int:
        """Tokens a row, in the present stage."""
        return self.stages[self.stage].context

    @property
    def origins(self) -> list[Origin]:
        """Where the rows of the last batch come from."""
        return self.mixture.origins

    @property
    def figures(self) -> dict[str, float]:
        """What the last batch was about, for the log: stage (from 1) and shape, and the sources' rows and epochs."""
        plan = {"stage": self.stage + 1, "context": self.context, "batch_size": self.batch_size}
        return {**(plan if len(self.stages) > 1 else {}), **self.mixture.figures}

    def epochs_after(self, batches: int) -> dict[str, float]:
        """How often each source will have been read after so many batches, from the first on.

        With when_dry="stop" a figure above 1 means that the source will run dry.
        """
        epochs = dict.fromkeys(self.mixture.sources, 0.0)
        for stage, count in zip(self.stages, batches_of(self.stages, batches)):
            for name, weight in (stage.weights or self.weights).items():
                if weight and count:
                    rows = count * stage.batch_size * weight
                    epochs[name] += rows / self.mixture.per_epoch(name, stage.context)
        return epochs

    def state(self) -> dict[str, Any]:
        """Where the sampler stands, JSON-able."""
        return {"plan": self._plan(), "stage": self.stage, "batch": self.batch, "mixture": self.mixture.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a state taken from a sampler with the same plan and sources; ValueError naming every difference."""
        saved = state.get("plan")
        if saved != self._plan():
            raise ValueError(f"the saved position belongs to another plan (saved {saved!r}, now {self._plan()!r})")
        stage: Any = state.get("stage")
        batch, mixture = state.get("batch"), state.get("mixture")
        length = self.stages[stage].length if type(stage) is int and 0 <= stage < len(self.stages) else -1
        last = type(stage) is int and stage == len(self.stages) - 1
        if type(batch) is not int or batch < 0 or not (last or (length is not None and batch <= length)):
            raise ValueError(f"the saved position is damaged: stage {stage!r}, batch {batch!r}")
        if not isinstance(mixture, Mapping):
            raise ValueError(f"the saved position is damaged: its mixture is {mixture!r}")
        self._enter(stage)
        self.mixture.restore(mixture)
        self.batch = batch

    def _plan(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(stage) for stage in self.stages]
