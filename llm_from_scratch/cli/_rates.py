"""`train --find-lr`: the learning-rate range test on a run's text and fresh model; nothing that was trained is kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ..recipes.batching import batches, never_dry
from ..recipes.mixture import described
from ..recipes.recipe import build_model, prepare_corpus
from ..training.range_test import find_learning_rate, plot_range_test
from ..training.workers import resolve_threads
from ._run_files import RATES
from ._session import Plan, aim_of
from ._telling import Say


def find(directory: Path, plan: Plan, say: Say, *, as_json: bool = False) -> int:
    """Prepare the text in `directory`/data, test, and draw `directory`/learning-rate.png; the exit code."""
    recipe = plan.recipe
    say(f"text       {described(recipe.data)}")
    corpus = prepare_corpus(recipe, directory / "data")
    model = build_model(recipe, corpus.tokenizer)
    say(f"model      {recipe.family}, {model.parameter_count:,} parameters, {recipe.layers} layers × {recipe.width}")
    say("testing    120 steps, each with a higher learning rate than the one before …")
    settings = dataclasses.replace(plan.settings, threads=resolve_threads(plan.settings.threads))
    objective, _ = aim_of(recipe, model, directory)
    found = find_learning_rate(model, batches(never_dry(recipe), corpus), settings, objective=objective)
    say(f"found      {found.reason}")
    if found.rates:
        plot_range_test(found, directory / RATES, f"{model.parameter_count:,} parameters on {described(recipe.data)}")
        say(f"the picture is {directory / RATES}; the model is thrown away, its text in {directory / 'data'} is kept")
    if found.suggestion is not None:
        say(f"try        --lr {found.suggestion:.1g}; a long run may want less, --clip and --warmup allow more")
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    return 0
