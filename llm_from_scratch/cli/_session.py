"""What `quickstart` and `train` have in common: a run's directory from its first file to its report.

    runs/NAME/run.json       the recipe and the training settings, written before anything is trained
              data/          tokenizer and token files
              …              what `training.loop` writes: log.jsonl, loss.png, checkpoints, the finished model
              tokenizer.json, report.json

`run.json` is all that a run needs to be taken up again.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.sources import describe
from ..data.tales import consistency_score, summary
from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..generation import generate
from ..models import from_pretrained
from ..tokenizers import Tokenizer
from ..training import TrainingSettings, evaluate, train
from ..training.budget import fit_steps, seconds_per_step
from ..training.checkpoint import latest_checkpoint
from ..training.recipe import (
    Recipe,
    batches,
    build_model,
    check_model,
    prepare_corpus,
    token_bytes,
    validation_batches,
)
from ..training.workers import one_blas_thread, resolve_threads

RUN, REPORT = "run.json", "report.json"
_OURS = ("run.json", "report.json", "log.jsonl", "timing.jsonl", "loss.png", "latest", "config.json",
         "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "data")  # fmt: skip
_TALES_COUNTED = 32  # tales told to measure consistency
_LONGEST = 300  # tokens of a told text
_WIDTH = 96


@dataclasses.dataclass(frozen=True)
class Plan:
    """A new run: recipe and settings; minutes: fit the steps into so many, at most `settings.steps` if `capped`."""

    recipe: Recipe
    settings: TrainingSettings
    minutes: float | None = None
    capped: bool = False

    def __post_init__(self) -> None:
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes must be a finite number above 0, got {self.minutes}")
        check_model(self.recipe)


Say = Callable[[str], None]


def say_to(file: Any = None) -> Say:
    """A function that prints a line at once, whatever characters the terminal knows."""
    out = sys.stdout if file is None else file
    encoding = getattr(out, "encoding", None) or "utf-8"

    def say(text: str = "") -> None:
        print(text.encode(encoding, "replace").decode(encoding), file=out, flush=True)

    return say


def state_of(directory: Path) -> str:
    """'new', 'unfinished' or 'finished'; ValueError for a directory that holds something else."""
    if not directory.exists():
        return "new"
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file: choose a directory to write to")
    if not (directory / RUN).exists():
        foreign = sorted(path.name for path in directory.iterdir() if path.name not in _OURS)
        if foreign:
            raise ValueError(
                f"{directory} holds no run of this program but other files ({', '.join(foreign[:3])}): "
                "choose another directory"
            )
        return "new"  # killed while it was preparing its text
    return "finished" if (directory / REPORT).exists() else "unfinished"


def clear(directory: Path) -> None:
    """Remove a run, and nothing else that may stand beside it."""
    for path in [directory / name for name in _OURS] + list(directory.glob("step-*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def carry_out(directory: Path, plan: Plan | None, say: Say, *, progress: bool = True) -> dict[str, Any] | None:
    """Train a run to its end, from its beginning (`plan` given) or from where it stands; the report.

    None when it was interrupted: then everything needed to go on has been saved.
    """
    began = time.perf_counter()
    directory.mkdir(parents=True, exist_ok=True)
    if plan is None:
        recipe, settings = read_run(directory)
    else:
        recipe, settings = plan.recipe, plan.settings
    say(f"text       {describe(recipe.data)}")
    corpus = prepare_corpus(recipe, directory / "data")
    tokenizer = corpus.tokenizer
    per_token = corpus.train.text_bytes / max(1, len(corpus.train))
    say(
        f"tokenizer  {tokenizer.vocab_size:,} tokens; {len(corpus.train):,} of them to train on "
        f"({per_token:.2f} bytes each), {len(corpus.validation):,} held out"
    )
    model = build_model(recipe, tokenizer)
    say(f"model      {recipe.family}, {model.parameter_count:,} parameters, {recipe.layers} layers × {recipe.width}")
    sampler, validation = batches(recipe, corpus), validation_batches(recipe, corpus)
    lengths = token_bytes(corpus, model)
    if plan is not None:
        settings = dataclasses.replace(settings, threads=resolve_threads(settings.threads))
        if plan.minutes is not None:
            say("measuring a step (the first compiles the kernels, if that was not done before) …")
            seconds = seconds_per_step(model, sampler, settings)
            settings = fit_steps(settings, seconds, plan.minutes, settings.steps if plan.capped else None)
            say(f"           {seconds * 1000:.0f} ms a step: about {settings.steps * seconds / 60:.1f} minutes")
        tokenizer.save(directory)
        before = _measure(model, corpus, recipe, validation, lengths, settings.threads)
        write_json(
            directory / RUN,
            {"recipe": recipe.to_json(), "training": settings.to_json(), "untrained": before},
        )
    else:
        before = read_json_object(directory / RUN)["untrained"]
    say(
        f"training   {settings.steps:,} steps of {settings.micro_batches * recipe.batch_size} × {recipe.context} "
        f"tokens, "
        f"{settings.threads} threads, seed {recipe.seed}"
    )
    say("")
    say("before training it says:")
    say(_quoted(before["sample"], 400))
    outcome = train(
        model,
        sampler,
        settings,
        directory=directory,
        validation=validation,
        token_bytes=lengths,
        resume=plan is None,
        progress=progress,
        title=f"{directory.name}: {recipe.family}, {model.parameter_count:,} parameters on {describe(recipe.data)}",
        report=say,
    )
    if not outcome.finished:
        return None
    after = _measure(model, corpus, recipe, validation, lengths, settings.threads)
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
    }
    write_json(directory / REPORT, report)
    return report


def read_run(directory: Path) -> tuple[Recipe, TrainingSettings]:
    """What `run.json` says."""
    stored = read_json_object(directory / RUN)
    return Recipe.from_json(stored["recipe"]), TrainingSettings.from_json(stored["training"])


def how_far(directory: Path) -> str:
    """In words, where an unfinished run stands."""
    _, settings = read_run(directory)
    checkpoint = latest_checkpoint(directory)
    step = 0 if checkpoint is None else int(checkpoint.name.removeprefix("step-"))
    return f"step {step} of {settings.steps}"


def show_report(report: dict[str, Any], say: Say) -> None:
    """The figures, trained beside untrained."""
    untrained, trained = report["untrained"], report["trained"]
    say(f"\n{'':24}{'untrained':>12}{'trained':>12}")
    for key, name in (
        ("loss", "validation loss"),
        ("bits_per_byte", "bits per byte"),
        ("consistency", "consistent tales"),
    ):
        if key in trained:
            form = "{:>12.0%}" if key == "consistency" else "{:>12.3f}"
            say(f"  {name:22}" + form.format(untrained[key]) + form.format(trained[key]))
    say(
        f"\n{report['steps']:,} steps, {report['tokens']:,} tokens in {report['training_seconds']:.0f} s; "
        f"{report['seconds']:.0f} s in all"
    )


def show_tales(directory: Path, say: Say, count: int = 3, seed: int = 100) -> list[str]:
    """Let the finished model of a run tell something."""
    model, tokenizer = from_pretrained(directory), Tokenizer.from_pretrained(directory)
    texts = tell(model, tokenizer, count, seed=seed)
    for text in texts:
        say(_quoted(text) + "\n")
    return texts


def tell(model: Any, tokenizer: Any, count: int, *, seed: int, temperature: float = 0.4) -> list[str]:
    """So many texts from the beginning-of-text token on."""
    tokens = _LONGEST
    limit = getattr(model, "position_limit", None)
    tokens = tokens if limit is None else min(tokens, limit)
    ids = np.full((count, 1), tokenizer.bos_id, np.int64)
    with one_blas_thread():  # the batch is small: a second thread would wait more than work
        out = generate(
            model, ids, max_new_tokens=tokens, temperature=temperature, stop_tokens=[tokenizer.eos_id], seed=seed
        )
    return [tokenizer.decode(row[row != tokenizer.eos_id]).strip() for row in out]


def _measure(
    model: Any, corpus: Any, recipe: Recipe, validation: Any, lengths: np.ndarray, threads: int | None
) -> dict[str, Any]:
    figures = evaluate(model, validation(), token_bytes=lengths, threads=threads)
    measured = {key: figures[key] for key in ("loss", "bits_per_byte", "perplexity", "tokens")}
    tales = recipe.data.split(":")[0] == "tales"
    texts = tell(model, corpus.tokenizer, _TALES_COUNTED if tales else 1, seed=0)
    measured["sample"] = texts[0]
    if tales:
        measured["consistency"] = consistency_score(texts)
        measured["checks"] = {name: round(share, 3) for name, share in summary(texts).items()}
    return measured


def _quoted(text: str, longest: int = 2000) -> str:
    """Indented, wrapped, and without the control characters that an untrained model produces."""
    shown = "".join(c if c.isprintable() or c == "\n" else "·" for c in text[:longest])
    lines: list[str] = []
    for line in shown.split("\n"):
        lines += textwrap.wrap(line, _WIDTH) or [""]
    return "\n".join("    " + line for line in _without_runs_of_blanks(lines)).rstrip()


def _without_runs_of_blanks(lines: Sequence[str]) -> list[str]:
    return [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
