"""Induction heads: those that look for what followed the last time, in a text without any meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import no_grad
from ..autograd.calls import intercepted
from ..models.patching import parts


def induction_scores(
    model: Any, *, length: int = 30, rows: int = 4, seed: int = 0, tokens: tuple[int, int] | None = None
) -> np.ndarray:
    """How much each head attends to the token after the last occurrence of the one it reads: (layers, heads), 0 to 1.

    `rows` rows of `length` random tokens, each followed by the same once more; the score is the mean attention from
    every token of the second half to the place `length - 1` before it. tokens: draw ids from this range (first, end)
    only, by default from the whole vocabulary, without repeats inside a row where it is large enough. Where there is no
    head (another mixer, a layer with fewer heads) the entry is nan.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=2, n_head=2, n_embd=8, vocab_size=99, n_positions=64)
    >>> induction_scores(model).round(2)                      # nothing learned: an even look over some 45 tokens
    array([[0.02, 0.02],
           [0.02, 0.02]])

    Source: Olsson et al. 2022, arXiv:2209.11895, "prefix matching".
    """
    for name, value in (("length", length), ("rows", rows)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1 + (name == "length"):
            raise ValueError(f"{name} must be a whole number of at least {1 + (name == 'length')}, got {value!r}")
    first, end = (0, model.spec.vocab_size) if tokens is None else tokens
    if not 0 <= first < end <= model.spec.vocab_size:
        raise ValueError(f"tokens must be a range of ids within 0..{model.spec.vocab_size}, got {tokens!r}")
    limit = model.position_limit
    if limit is not None and 2 * length > limit:
        raise ValueError(f"two times {length} tokens are more than the {limit} positions of this model: length=")
    rng = np.random.default_rng(seed)
    once = np.stack([rng.choice(np.arange(first, end), length, replace=end - first < length) for _ in range(rows)])
    return offset_scores(model, np.concatenate([once, once], axis=1), length - 1, start=length)


def offset_scores(model: Any, ids: Any, offset: int, *, start: int | None = None) -> np.ndarray:
    """The mean attention of each head to the token `offset` places back, from the tokens `start` on: (layers, heads).

    start: default `offset`, the first token that has one so far back. offset 1 finds the heads that look at what stood
    before. Entries without a head are nan.
    """
    ids = np.asarray(ids)
    start = offset if start is None else start
    if ids.ndim != 2 or not 0 <= offset <= start < ids.shape[1]:
        raise ValueError(
            f"ids (B, T) and 0 <= offset <= start < T were expected; got {ids.shape}, offset {offset}, start {start}"
        )
    maps = attention_maps(model, ids)
    scores = np.full((len(maps), max((len(seen[0]) for seen in maps if seen is not None), default=0)), np.nan)
    for i, seen in enumerate(maps):
        if seen is not None:
            looked = np.diagonal(seen, -offset, axis1=2, axis2=3)[..., start - offset :]  # (B, H, T - start)
            scores[i, : len(looked[0])] = looked.mean(axis=(0, 2))
    return scores


def attention_maps(model: Any, ids: Any) -> list[np.ndarray | None]:
    """The attention of each layer to the tokens of ids (B, T), (B, H, T, T); None where a layer has no map."""
    counts: list[int] = []

    def around(_: str, call: Any, *args: Any) -> Any:
        before = len(seen.get("attention", ()))
        out = call(*args)
        counts.append(len(seen.get("attention", ())) - before)
        return out

    layers = parts(model, [f"layers.{i}" for i in range(len(model.layers))])
    with no_grad(), model.record() as seen, intercepted(layers, around):
        length = model(ids).shape[1]
    maps = iter(seen.get("attention", ()))
    per_layer = [[next(maps) for _ in range(count)] for count in counts]
    # Several maps of one layer stand side by side as its heads; a learned prefix is left out.
    return [np.concatenate(found, axis=1)[:, :, -length:, -length:] if found else None for found in per_layer]
