"""Several sources of text as one recipe: their shares, what happens when one runs dry, and stages of a run.

What a `Recipe` may have for its `data` instead of a single source, the same in JSON. `read_stages` reads the file that
`train --stages` is given.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.mixing import WHEN_DRY, checked_weights, mixing_weights
from ..data.sources import describe
from ..data.stages import Stage, StagedSampler, check_stages
from ..files.strict_json import strict_json


@dataclasses.dataclass(frozen=True)
class Mixture:
    """sources: as `data.sources.documents` knows them, each once. weights: {source: share of the rows}, summing to 1;
    None for shares by size, evened out by a temperature above 1. when_dry: "repeat" or "stop", when a source has been
    read to its end. stages: parts of the run with rows, contexts or shares of their own (`data.stages.Stage`, or the
    same as mappings); none for a run that is the same all along.

    >>> Mixture(["tales:9", "pydoc"], weights={"tales:9": 0.75, "pydoc": 0.25}).words()
    'tales:9 75 %, pydoc 25 %'
    """

    sources: Sequence[str]
    weights: Mapping[str, float] | None = None
    temperature: float = 1.0
    when_dry: str = "repeat"
    stages: Sequence[Stage] = ()

    def __post_init__(self) -> None:
        if isinstance(self.sources, str) or not isinstance(self.sources, Sequence):
            raise TypeError(f"sources must be a list of sources, got {self.sources!r}")
        if not self.sources or not all(isinstance(source, str) and source for source in self.sources):
            raise ValueError(f"a mixture needs at least one source, each with a name; got {list(self.sources)!r}")
        twice = [source for number, source in enumerate(self.sources) if source in self.sources[:number]]
        if twice:
            raise ValueError(f"the source {twice[0]} is named twice: give it one weight")
        mixing_weights({"": 1}, temperature=self.temperature)
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights, self.sources))
            if self.temperature != 1:
                raise ValueError("weights and a temperature are two ways of saying the same: give one of them")
        if self.when_dry not in WHEN_DRY:
            raise ValueError(f"when_dry must be one of {', '.join(WHEN_DRY)}; got {self.when_dry!r}")
        object.__setattr__(self, "sources", tuple(self.sources))
        stages = tuple(Stage(**stage) if isinstance(stage, Mapping) else stage for stage in self.stages)
        object.__setattr__(self, "stages", check_stages(stages) if stages else ())
        for stage in self.stages:
            if stage.weights is not None:
                checked_weights(stage.weights, self.sources)

    def words(self) -> str:
        """The sources, with their shares where those are settled."""
        if self.weights is None:
            return ", ".join(describe(source) for source in self.sources)
        return ", ".join(f"{describe(source)} {100 * weight:.4g} %" for source, weight in self.weights.items())

    def to_json(self) -> dict[str, Any]:
        """A dict for JSON; `Mixture(**…)` reads it back."""
        stages = [dataclasses.asdict(stage) for stage in self.stages]
        return {**dataclasses.asdict(self), "sources": list(self.sources), "stages": stages}

    def plan(self, batch_size: int, context: int) -> list[Stage]:
        """The stages with everything said, or the one that a run without stages is."""
        stages = self.stages or [Stage(context, batch_size)]
        return [dataclasses.replace(stage, weights=stage.weights or self.weights) for stage in stages]

    def sampler(self, tokens: Mapping[str, Any], batch_size: int, context: int, **settings: Any) -> StagedSampler:
        """Batches of {source: tokens}. settings: seed, separator, mode."""
        return StagedSampler(
            tokens, self.plan(batch_size, context), temperature=self.temperature, when_dry=self.when_dry, **settings
        )


def described(data: str | Mixture) -> str:
    """What a recipe's data are, in a few words, for a log."""
    return describe(data) if isinstance(data, str) else data.words()


def read_stages(path: str | os.PathLike[str], *, batch_size: int, context: int, micro_batches: int = 1) -> list[Stage]:
    """The stages in a JSON file: a list of objects, one a stage, with any of

    "steps" or "tokens" (how long; the last need not say), "context", "batch_size", "weights" ({source: share}).

    What a stage does not say of itself is `batch_size` and `context`; a step is `micro_batches` batches. Raises
    ValueError, naming the file and the stage, for anything else.
    """
    path = Path(path)
    try:
        content = strict_json(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, list) or not content or not all(isinstance(stage, dict) for stage in content):
        raise ValueError(f'{path}: expected a list of stages such as [{{"tokens": 100000, "context": 64}}, …]')
    stages = []
    for number, told in enumerate(content, start=1):
        unknown = sorted(set(told) - {"steps", "tokens", "context", "batch_size", "weights"})
        if unknown:
            raise ValueError(
                f"{path}, stage {number}: {unknown[0]!r} is not known; "
                "a stage has steps or tokens, context, batch_size and weights"
            )
        settings = {"batch_size": batch_size, "context": context, **told}
        steps = settings.pop("steps", None)
        if steps is not None:
            if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
                raise ValueError(f"{path}, stage {number}: steps must be a whole number of at least 1, got {steps!r}")
            settings["batches"] = steps * micro_batches
        try:
            stages.append(Stage(**settings))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, stage {number}: {error}") from None
    try:
        return list(check_stages(stages))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
