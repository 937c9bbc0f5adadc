"""What `quickstart` and `train` have in common: a run from its plan to its report (its directory: `_run_files`)."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

from ..checkpoints import from_pretrained
from ..files.atomic import write_json
from ..files.digests import DIGESTS, sha256
from ..recipes.batching import batches, never_dry, planned, validation_batches
from ..recipes.beginning import taught_by
from ..recipes.measuring import Measures
from ..recipes.mixture import described
from ..recipes.recipe import Recipe, build_model, check_model, prepare_corpus, token_bytes
from ..training import Objective, TrainingSettings, next_token, train
from ..training.budget import fit_steps, seconds_per_step
from ..training.exchange import Exchange, Shared
from . import _telling
from ._run_files import REPORT, RUN, digest_of, read_run, step_of
from ._telling import Say

MEASURED = 2.0  # seconds of real steps, to say how long the rest will take
UNTRAINED = 8  # tales of the untrained model that are counted: all of them are nonsense


@dataclasses.dataclass(frozen=True)
class Plan:
    """A new run: recipe and settings; minutes: as many steps as fit into them instead of `settings.steps`."""

    recipe: Recipe
    settings: TrainingSettings
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes must be a finite number above 0, got {self.minutes}")
        check_model(self.recipe)


def carry_out(
    directory: Path,
    plan: Plan | None,
    say: Say,
    *,
    beginning: str | None = None,
    progress: bool = True,
    exchange: Exchange | None = None,
) -> dict[str, Any] | None:
    """Train a run to its end, from its beginning (`plan` given) or from where it stands; the report.

    beginning: shown now and then as the model goes on from it. None when it was interrupted: then everything
    needed to go on has been saved. For who holds the lock (`writing`). exchange: as `train` takes it; of several ranks
    all call this, and the leader holds the lock.
    """
    began = time.perf_counter()
    exchange = exchange or Exchange()
    if plan is None:
        recipe, settings, before = read_run(directory)
    else:
        recipe, settings = plan.recipe, plan.settings
    say(f"text       {described(recipe.data)}")
    exchange.check_rows(recipe.batch_size)
    exchange.agree(lambda: {"recipe": recipe.to_json(), "settings": settings.to_json()})  # before anything is written
    corpus = exchange.first(lambda: prepare_corpus(recipe, directory / "data"))
    tokenizer = corpus.tokenizer
    per_token = corpus.train.text_bytes / max(1, len(corpus.train))
    say(
        f"tokenizer  {tokenizer.vocab_size:,} tokens; {len(corpus.train):,} of them to train on "
        f"({per_token:.2f} bytes each), {len(corpus.validation):,} held out"
    )
    model = build_model(recipe, tokenizer)
    say(f"model      {recipe.family}, {model.parameter_count:,} parameters, {recipe.layers} layers × {recipe.width}")
    sampler, validation = batches(recipe, corpus), validation_batches(recipe, corpus)
    objective, identity = aim_of(recipe, model, directory)
    lengths = token_bytes(corpus, model)
    settings = dataclasses.replace(settings, threads=exchange.shards(settings.threads))
    say("measuring a step (the first compiles the kernels, if that was not done before) …")
    measured = Shared(batches(never_dry(recipe), corpus), exchange)
    own = dataclasses.replace(settings, threads=exchange.threads(settings.threads or 1))
    seconds = max(exchange.gather(seconds_per_step(model, measured, own, objective=objective, seconds=MEASURED)))
    if plan is not None and plan.minutes is not None:
        settings = fit_steps(settings, seconds, plan.minutes)
    tokens, course = planned(recipe, sampler, settings)
    measures = Measures(recipe, corpus, threads=settings.threads)
    for line in measures.costs(model):
        say(f"measuring  {line}")
    if plan is not None:
        exchange.alone(lambda: tokenizer.save(directory))
        before = exchange.alone(
            lambda: _telling.measure(model, corpus, recipe, validation, lengths, settings.threads, tales=UNTRAINED),
            patient=True,
        )
        stored = {"recipe": recipe.to_json(), "training": settings.to_json(), "untrained": before}
        exchange.alone(lambda: write_json(directory / RUN, {**stored, "sha256": digest_of(stored)}))
    else:
        exchange.alone(lambda: tokenizer.save(directory))
    where = f"{exchange.size} processes × {own.threads}" if exchange.size > 1 else f"{settings.threads}"
    say(f"training   {course[0]}, {tokens:,} in all; {where} threads, seed {recipe.seed}")
    for line in course[1:]:
        say(f"           {line}")
    left = settings.steps - step_of(directory)
    average = tokens / (settings.steps * settings.micro_batches * sampler.batch_size * sampler.context)  # of stages
    say(f"time       {seconds * 1000:.0f} ms a step now, so {_duration(left * seconds * average)} for {left:,} steps")
    if beginning is None:
        say(f"\nbefore training it says:\n{_telling.quoted(before['sample'], 400)}")
    outcome = train(
        model,
        sampler,
        settings,
        directory=directory,
        objective=objective,
        validation=validation,
        token_bytes=lengths if objective is next_token else None,
        measures=measures or None,
        resume=plan is None,
        open_model=from_pretrained,
        identity=identity,
        progress=progress,
        title=f"{directory.name}: {recipe.family}, {model.parameter_count:,} parameters on {described(recipe.data)}",
        report=say,
        on_step=None if beginning is None else _telling.glimpses(tokenizer, beginning, settings.steps, say),
        exchange=exchange,
    )
    found = exchange.alone(lambda: measures.found(directory, say))
    if not outcome.finished:
        return None
    after = exchange.alone(
        lambda: _telling.measure(model, corpus, recipe, validation, lengths, settings.threads, tales=_telling.COUNTED),
        patient=True,
    )
    report = {
        "directory": str(directory),
        "parameters": model.parameter_count,
        "steps": outcome.step,
        "tokens": outcome.tokens,
        "seconds": round(time.perf_counter() - began, 1),
        "training_seconds": round(outcome.seconds, 1),
        "training_loss": outcome.loss,
        "untrained": before,
        "trained": after,
        **({"measured": found} if measures else {}),
    }
    exchange.alone(lambda: write_json(directory / REPORT, report))
    return report


def aim_of(recipe: Recipe, model: Any, directory: Path) -> tuple[Objective, dict[str, Any]]:
    """What a run makes small, and what decides it besides its settings."""
    identity = {**recipe.to_json(), "text and tokenizer": sha256(directory / "data" / DIGESTS)}
    if recipe.teacher is None:
        return next_token, identity
    objective, weights = taught_by(recipe.teacher, model)
    return objective, {**identity, "weights of the teacher": weights}


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} seconds" if seconds < 100 else f"about {seconds / 60:.1f} minutes"
