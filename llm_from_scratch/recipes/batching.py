"""The batches of a recipe: those it learns from, and those it is judged by; what a run will read, told beforehand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..data.sampler import BatchSampler, evaluation_batches
from ..data.stages import StagedSampler, batches_of, planned_tokens
from ..data.token_file import TokenFile
from ..training import TrainingSettings
from .mixture import Mixture
from .recipe import Corpus, Recipe

# Enough for a standard error of about 0.01 nats.
_VALIDATION_TOKENS = 50_000


def batches(recipe: Recipe, corpus: Corpus) -> BatchSampler | StagedSampler:
    """The endless training batches. Attention stays inside a document. ValueError for a corpus shorter than a batch."""
    settings: dict[str, Any] = {"seed": recipe.seed, "separator": corpus.train.separator, "mode": recipe.sampling}
    if isinstance(recipe.data, Mixture):
        tokens = {source: train for source, (train, _) in corpus.parts.items()}
        return recipe.data.sampler(tokens, recipe.batch_size, recipe.context, **settings)
    return BatchSampler(corpus.train, recipe.batch_size, recipe.context, **settings)


def never_dry(recipe: Recipe) -> Recipe:
    """The recipe as it is measured and tried out: its sources are repeated for as long as that takes."""
    if not isinstance(recipe.data, Mixture):
        return recipe
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, when_dry="repeat"))


def planned(recipe: Recipe, sampler: Any, settings: TrainingSettings) -> tuple[int, list[str]]:
    """The tokens of a run, and in lines how it goes through them.

    ValueError for a source that will run dry where that is not wanted, before anything is trained.
    """
    micro, steps = settings.micro_batches, settings.steps
    if not isinstance(recipe.data, Mixture):
        shape = (micro * recipe.batch_size, recipe.context)
        return steps * math.prod(shape), [f"{steps:,} steps of {shape[0]} × {shape[1]} tokens"]
    plan, lines = sampler.stages, []
    for number, (stage, count) in enumerate(zip(plan, batches_of(plan, steps * micro)), start=1):
        name = f"stage {number}: " if len(plan) > 1 else ""
        length = f"{count / micro:,.1f}".removesuffix(".0")
        lines.append(f"{name}{length} steps of {micro * stage.batch_size} × {stage.context} tokens")
    epochs = sampler.epochs_after(steps * micro)
    for source, times in epochs.items():
        if recipe.data.when_dry == "stop" and times > 1:
            raise ValueError(
                f"the source {source} will run dry: the run wants to read it {times:.2f} times; bring more of it, give "
                "it less weight, train for fewer steps, or let it be repeated (--when-dry repeat)"
            )
    if len(epochs) > 1:
        lines += [f"{source}: read {times:.2f} times" for source, times in epochs.items()]
    return planned_tokens(plan, steps * micro), lines


def validation_batches(recipe: Recipe, corpus: Corpus) -> Callable[[], Iterable[dict[str, np.ndarray]]]:
    """What `train(validation=…)` wants: a function giving the same held-out batches each time (50,000 tokens, of
    several sources equally many of each)."""
    held_out = [kept for _, kept in corpus.parts.values()] or [corpus.validation]
    return lambda: itertools.chain(*(held_out_batches(recipe, tokens, len(held_out)) for tokens in held_out))


def held_out_batches(recipe: Recipe, tokens: TokenFile, sources: int = 1) -> Iterable[dict[str, np.ndarray]]:
    """Batches of one source's held-out text, of so many sources."""
    limit = math.ceil(_VALIDATION_TOKENS / sources / (recipe.batch_size * recipe.context))
    shape, separator = (recipe.batch_size, recipe.context), tokens.separator
    if recipe.sampling == "documents":  # judged on rows like those it learns from, in an order of their own
        sampler = BatchSampler(tokens, *shape, seed=recipe.seed, separator=separator, mode="documents")
        return itertools.islice(sampler, limit)
    return evaluation_batches(tokens, *shape, separator=separator, limit=limit)
