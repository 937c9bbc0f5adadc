"""How likely a model thinks each example of a data set is: computed once in batches of similar length, kept in a file.

A file holds one model's opinion of one list of examples and is named after both; so it is never out of date, and one
that was damaged is made anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..data.examples import collate
from ..data.packing import IGNORE
from ..files.safetensors import SafetensorsFile, write_safetensors
from ..training.checkpoint import weights
from ..training.workers import balanced_shares, one_blas_thread, resolve_threads, run_over

Examples = Sequence[Mapping[str, Any]]

_FORMAT = "log-probabilities of examples 1"


def log_likelihoods(
    model: Any,
    examples: Examples,
    *,
    per_token: bool = False,
    batch_tokens: int = 4096,
    threads: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    report: Callable[[str], None] = print,
) -> Any:
    """The log-probability of each example's targets, summed over its tokens: (N,) of float64.

    examples: {"ids": (T,), "targets": (T,)} each, where targets of -100 do not count; other names are not looked at.
    per_token: not summed, a list of N rows (T,) instead, 0 where nothing counts.
    batch_tokens: how many tokens, padding among them, pass through the model at once at most (one example in any case).
    threads: batches that are computed side by side; the numbers do not depend on it. cache: a directory; what was
    computed for the very same weights and examples is read from there, and what is computed is left there. report:
    shows the message when a file there was damaged.

    Raises ValueError, naming the example, before anything is computed: for no example, other shapes, or an example
    without a target; and where the model gives a number that is not finite.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=4, n_positions=8)
    >>> model.embedding.weight.data[:] = 0.0                   # every token is as likely as any other
    >>> log_likelihoods(model, [{"ids": [1, 2, 3], "targets": [-100, 3, 0]}, {"ids": [1], "targets": [2]}]).round(3)
    array([-2.773, -1.386])
    """
    rows = [_checked(number, example) for number, example in enumerate(examples)]
    if not rows:
        raise ValueError("there are no examples")
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, (int, np.integer)) or batch_tokens < 1:
        raise ValueError(f"batch_tokens must be a whole number of at least 1, got {batch_tokens!r}")
    ends = np.cumsum([len(row["ids"]) for row in rows])
    found = _looked_up(model, rows, batch_tokens, threads, cache, report)
    parts = np.split(found, ends[:-1])
    return parts if per_token else np.array([part.sum() for part in parts])


def _looked_up(
    model: Any, rows: list[dict[str, np.ndarray]], batch_tokens: int, threads: int | None, cache: Any, report: Any
) -> np.ndarray:
    """The log-probability of every target of every row, one row after the other, as (tokens,) of float64."""
    if cache is None:
        return _computed(model, rows, batch_tokens, threads)
    key = {"model": model_digest(model), "examples": examples_digest(rows)}
    name = hashlib.sha256("".join(key.values()).encode()).hexdigest()[:24]
    path = Path(cache) / f"log-probabilities-{name}.safetensors"
    kept = _kept(path, key, sum(len(row["ids"]) for row in rows), report)
    if kept is None:
        kept = _computed(model, rows, batch_tokens, threads)
        try:
            write_safetensors(path, {"tokens": kept}, _told(key, kept))
        except OSError as error:  # a disk that is full or may not be written: the numbers are there all the same
            report(f"note: what was computed is not kept in {path} ({error})")
    return kept


def model_digest(model: Any) -> str:
    """SHA-256 of a model's weights, names and number formats, and of what it says of itself (`config`)."""
    said = model.describe() if hasattr(model, "describe") else getattr(model, "config", {})
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for name, array in sorted(weights(model).items()):
        values = np.ascontiguousarray(array)
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def examples_digest(examples: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of the ids and targets of examples, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        for name in ("ids", "targets"):
            array = np.ascontiguousarray(example[name], dtype="<i8")
            digest.update(f"{name} {len(array)} ".encode() + array.tobytes())
    return digest.hexdigest()


def _checked(number: int, example: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(example, Mapping) or not {"ids", "targets"} <= set(example):
        raise ValueError(f"example {number} must have 'ids' and 'targets', got {example!r:.80}")
    row = {name: np.asarray(example[name]) for name in ("ids", "targets")}
    for name, array in row.items():
        if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
            raise ValueError(f"example {number}: {name} must be a row of integers, got {array.dtype}{array.shape}")
    if row["ids"].shape != row["targets"].shape:
        raise ValueError(
            f"example {number} has {len(row['ids'])} ids and {len(row['targets'])} targets: make them equal"
        )
    if (row["targets"] == IGNORE).all():
        raise ValueError(f"example {number} has no target: every one is {IGNORE}")
    return row


def _computed(model: Any, rows: list[dict[str, np.ndarray]], batch_tokens: int, threads: int | None) -> np.ndarray:
    batches: list[list[int]] = [[]]
    for k in sorted(range(len(rows)), key=lambda k: len(rows[k]["ids"])):  # the longest comes last
        if batches[-1] and (len(batches[-1]) + 1) * len(rows[k]["ids"]) > batch_tokens:
            batches.append([])
        batches[-1].append(k)
    sizes = [len(batch) * len(rows[batch[-1]]["ids"]) for batch in batches]
    tokens: list[np.ndarray] = [np.empty(0)] * len(rows)
    with one_blas_thread():  # whatever the number of threads: a product's last digits depend on it
        work = functools.partial(_tokens, model, rows)
        shares = balanced_shares(sizes, resolve_threads(threads, most=len(batches)))
        for batch, found in zip(batches, run_over(batches, shares, work)):
            for k, values in zip(batch, found):
                tokens[k] = values[: len(rows[k]["ids"])]
    for number, values in enumerate(tokens):
        if not np.isfinite(values).all():
            raise ValueError(
                f"the model gives example {number} a log-probability of {values.min()}: is it a number still?"
            )
    return np.concatenate(tokens)


def _tokens(model: Any, rows: list[dict[str, np.ndarray]], batch: list[int]) -> np.ndarray:
    with no_grad():  # the switch is per thread
        return model.token_log_probabilities(collate([rows[k] for k in batch])).data.astype(np.float64)


def _kept(path: Path, key: dict[str, str], count: int, report: Callable[[str], None]) -> np.ndarray | None:
    """What the file holds; None when there is none, or it is not what it should be."""
    if not path.exists():
        return None
    try:
        file = SafetensorsFile(path)
        tokens = np.array(file["tokens"])
    except (ValueError, KeyError, OSError) as error:
        report(f"note: {path} cannot be read ({error}): it is computed again")
        return None
    if file.metadata != _told(key, tokens) or tokens.shape != (count,):
        report(f"note: {path} is not what it was when it was written: it is computed again")
        return None
    return tokens


def _told(key: dict[str, str], tokens: np.ndarray) -> dict[str, str]:
    """What the file's header says of what is in it."""
    return {
        "format": _FORMAT,
        **key,
        "sha256": hashlib.sha256(np.ascontiguousarray(tokens, "<f8").tobytes()).hexdigest(),
    }
