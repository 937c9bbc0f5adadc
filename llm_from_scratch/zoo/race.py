"""The designs of the year side by side: a miniature of each, equally large, on the same text in the same order.

Every run has the same batches, optimiser, schedule and number of parameters in its layers (those that a token uses),
and starts as its own paper says. What it can show is how designs differ at this size; it says little about large ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoints
from ..data.sampler import BatchSampler, evaluation_batches
from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..recipes.miniature import layer_parameters, miniature
from ..recipes.recipe import Corpus, Recipe, prepare_corpus, token_bytes
from ..scaling.bill import costs
from ..training.config import TrainingSettings
from ..training.loop import train
from ..training.validation import evaluate


@dataclasses.dataclass(frozen=True)
class Course:
    """What all runs have in common. layers, width, heads give the size, that of a GPT of this shape."""

    layers: int = 4
    width: int = 64
    heads: int = 4
    context: int = 128
    batch_size: int = 8
    vocabulary: int = 512
    steps: int = 400
    learning_rate: float = 3e-3
    data: str = "tales"
    seed: int = 0

    @property
    def parameters(self) -> int:
        """In the layers of a GPT of this shape: 12 d² each."""
        return 12 * self.width**2 * self.layers


def race(
    names: Iterable[str],
    course: Course,
    folder: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a miniature of every released model in `names`; {"course": …, "runs": {name: result}}.

    A name may be followed by changes of its config, as in "pythia-1b,use_parallel_residual=false".

    folder: where the text is prepared. out: a JSON file that is written after each run; runs it already holds are not
    repeated, those with another seed are kept beside them as "NAME, seed N". A result has "loss" (held-out, nats a
    token), "bits_per_byte", "curve" ([step, training loss], averaged between), "parameters", "layer_parameters" and
    "memory_per_token". Raises ValueError when `out` holds runs of another course, which would be lost.
    """
    done: dict[str, Any] = {"course": dataclasses.asdict(course), "runs": {}}
    if out is not None and Path(out).exists():
        earlier = read_json_object(Path(out))
        was = dict(earlier.get("course") or {})
        if {**was, "seed": course.seed} != done["course"]:
            differing = [key for key, value in done["course"].items() if key != "seed" and was.get(key) != value]
            raise ValueError(f"{out} holds runs of another course (other {', '.join(differing)}): name another file")
        done = earlier
    recipe = Recipe(data=course.data, vocabulary=course.vocabulary, context=course.context, seed=0)
    corpus = prepare_corpus(recipe, folder)
    for name in names:
        key = name if course.seed == done["course"]["seed"] else f"{name}, seed {course.seed}"
        if key in done["runs"]:
            continue
        done["runs"][key] = _run(name, course, corpus, report)
        if out is not None:
            write_json(Path(out), done)
    return done


def _run(title: str, course: Course, corpus: Corpus, report: Callable[[str], None]) -> dict[str, Any]:
    sizes = {key: getattr(course, key) for key in ("layers", "width", "heads", "context", "vocabulary")}
    sizes["vocabulary"] = corpus.tokenizer.vocab_size
    name, *changes = title.split(",")
    config = miniature(name, parameters=course.parameters, changes=_changes(changes), **sizes)
    family = config.pop("model_type")
    model = checkpoints.build(family, seed=course.seed, **config)
    sampler = BatchSampler(corpus.train, course.batch_size, course.context, seed=course.seed)
    warmup = max(1, course.steps // 10)
    settings = TrainingSettings(course.steps, course.learning_rate, warmup=warmup, threads=1)
    losses: list[float] = []

    def note(step: int, loss: float, _: Any) -> None:
        if step:  # the call before the first step has no loss
            losses.append(loss)

    if not train(model, sampler, settings, on_step=note, progress=False, report=report).finished:
        raise KeyboardInterrupt  # the loop ends politely; a race keeps finished runs only
    every = max(1, course.steps // 20)
    means = [float(np.mean(losses[start : start + every])) for start in range(0, course.steps, every)]
    limit = max(1, 40_000 // (course.batch_size * course.context))
    held_out = evaluation_batches(corpus.validation, course.batch_size, course.context, limit=limit)
    found = evaluate(model, held_out, token_bytes=token_bytes(corpus, model), threads=1)
    bill = costs(model.spec)
    report(f"{title:20} {found['loss']:.4f}")
    return {
        "loss": round(found["loss"], 4),
        "bits_per_byte": round(found["bits_per_byte"], 4),
        "curve": [[start + every // 2, round(mean, 4)] for start, mean in zip(range(0, course.steps, every), means)],
        "parameters": bill.parameters,
        "layer_parameters": layer_parameters(model.spec),
        "memory_per_token": bill.memory_per_token,
    }


def _changes(texts: Iterable[str]) -> dict[str, Any]:
    """Config keys from the command line; values as in JSON, other words as text.

    >>> _changes(["use_parallel_residual=false", "rotary_pct=1.0", "hidden_act=relu"])
    {'use_parallel_residual': False, 'rotary_pct': 1.0, 'hidden_act': 'relu'}
    """
    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ValueError(f"a change of the config is written key=value, such as rotary_pct=1.0; not {text!r}")
        try:
            changes[key] = json.loads(value)
        except json.JSONDecodeError:
            changes[key] = value
    return changes
