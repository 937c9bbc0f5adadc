"""A task carried out: the right way of scoring for its kind, and everything that belongs beside the score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..scoring.intervals import bootstrap
from ..tokenizers import Tokenizer
from .choices import MultipleChoice, multiple_choice
from .endings import ending_accuracy
from .generating import generation_accuracy
from .outcome import Outcome
from .reliability import calibration
from .task import Task, with_shots
from .text import bits_per_byte


def run_task(
    model: Any,
    tokenizer: Tokenizer,
    task: Task,
    *,
    normalize: str | None = None,
    shots: int = 0,
    seed: int = 0,
    template: Any = None,
    truncate: bool = False,
    prior: bool = True,
    threads: int | None = None,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Ask the model every item of a task. normalize: default what the task's kind is usually scored with.

    shots: solved examples in front of each item, drawn by `seed`. Otherwise as `multiple_choice`. Raises what the
    scoring raises, before anything is computed.
    """
    asked = with_shots(task, shots, seed=seed)
    common: dict[str, Any] = {
        "template": template,
        "truncate": truncate,
        "cache": cache,
        "progress": progress,
        "seed": seed,
    }
    settings: dict[str, Any] = {"shots": shots, "seed": seed if shots else None}
    if task.kind == "choices":
        settings["normalize"] = task.normalize if normalize is None else normalize
        result = multiple_choice(
            model, tokenizer, asked.items, normalize=settings["normalize"], prior=prior, threads=threads, **common
        )
        details = _beside(model, tokenizer, asked, result, threads=threads, **common)
        return _outcome(task, "accuracy", result, result.correct, settings, details)
    if normalize is not None:
        raise ValueError(f"{task.name} has no choices whose length could be divided by: leave normalize out")
    if task.kind == "endings":
        found = ending_accuracy(model, tokenizer, asked.items, threads=threads, **common)
        details = {"perplexity per ending": found.perplexity, "truncated": found.truncated}
        return _outcome(task, "accuracy", found, found.matches, settings, details)
    if task.kind == "answers":
        extract: dict[str, Any] = {} if task.extract is None else {"extract": task.extract, "normalize": str}
        room: dict[str, Any] = {"max_new_tokens": task.max_new_tokens, "stop": task.stop}
        written = generation_accuracy(model, tokenizer, asked.items, **room, **extract, **common)
        details = {"truncated": written.truncated, "texts": written.texts}
        return _outcome(task, "exact match", written, written.matches, settings, details)
    raise ValueError(f"{task.name} asks for conversations that only a judge can score: name another model and a judge")


def _outcome(
    task: Task, metric: str, result: Any, scores: Any, settings: Mapping[str, Any], details: Mapping[str, Any]
) -> Outcome:
    return Outcome(
        result.value, result.interval, result.count, task.name, metric, item_keys(task.items),
        tuple(float(score) for score in scores), settings=dict(settings), details=dict(details),
    )  # fmt: skip


def _beside(model: Any, tokenizer: Tokenizer, task: Task, result: MultipleChoice, **settings: Any) -> dict[str, Any]:
    """Baselines, calibration, and what else items ask for."""
    confidences = [float(share.max()) for share in result.probabilities]
    calibrated = calibration(confidences, result.correct)
    details: dict[str, Any] = {
        "chance": result.chance,
        "shortest choice": result.shortest,
        "longest choice": result.longest,
        "choices alone": None if result.prior is None else [result.prior.value, *result.prior.interval],
        "calibration error": [calibrated.value, calibrated.by_chance],
        "truncated": result.truncated,
    }
    if all("truths" in item for item in task.items):
        settings = {**settings, "progress": lambda count: None}
        many = [
            {
                "context": item["context"],
                "choices": item["truths"]["choices"],
                "answer": item["truths"]["labels"].index(1),
            }
            for item in task.items
        ]
        shares = multiple_choice(model, tokenizer, many, **settings).probabilities
        mass = [float(share @ np.array(item["truths"]["labels"])) for share, item in zip(shares, task.items)]
        found = bootstrap(mass)
        details["truth's share of probability (mc2)"] = [found.value, *found.interval]
    groups = _by_group(task.items, result.correct)
    return {**details, "groups": groups} if groups else details


def _by_group(items: Sequence[Mapping[str, Any]], scores: Any) -> dict[str, list[float]]:
    """{what items say they are about: [mean score, items]}; numbers from 0 to 1, such as depths, in fifths."""
    found: dict[str, list[float]] = {}
    for item, score in zip(items, scores):
        about = item.get("about", "")
        if isinstance(about, float):
            fifth = min(int(about * 5), 4)
            about = f"{fifth / 5:.1f} to {(fifth + 1) / 5:.1f}"
        if about != "":
            found.setdefault(str(about), []).append(float(score))
    if not 1 < len(found) <= 60:
        return {}
    return {about: [float(np.mean(found[about])), len(found[about])] for about in sorted(found)}


def item_keys(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A name for each item by what it asks, the same in any order and after any number of shots."""
    seen: dict[str, int] = {}
    keys = []
    for item in items:
        asked = {name: item.get(name) for name in ("context", "choices", "answer", "ending", "turns")}
        key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key}/{seen[key]}")
    return tuple(keys)


def run_text(
    model: Any,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    *,
    name: str = "perplexity",
    context: int | None = None,
    stride: int | None = None,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """Bits per byte of documents, the items being blocks of bytes. context: default the model's own, at most 512."""
    from_model = model.spec.context_length if model.position_limit is None else model.position_limit
    context = min(512, from_model) if context is None else context
    stride = max(1, context // 2) if stride is None else stride
    found = bits_per_byte(model, tokenizer, documents, context=context, stride=stride, cache=cache, progress=progress)
    mark = hashlib.sha256("\0".join(documents).encode()).hexdigest()[:12]
    scale = found.count / found.bytes  # of equal weight for each byte: their mean is the value
    return Outcome(
        found.value, found.interval, found.count, name, "bits per byte",
        tuple(f"{mark}/{k}" for k in range(found.count)), tuple((found.block_bits * scale).tolist()),
        larger_is_better=False,
        settings={"context": context, "stride": stride},
        details={
            "perplexity per token": found.token_perplexity, "perplexity per byte": found.byte_perplexity,
            "perplexity per word": found.word_perplexity, "tokens": found.tokens, "bytes": found.bytes,
            "words": found.words,
        },
    )  # fmt: skip
