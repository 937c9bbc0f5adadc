"""The two loops of attention that are not matrix products, on one tile of scores at a time.

A tile holds the raw products q·k of some heads of some rows of the batch: scores (b, h, R, C) for R neighbouring
queries and C neighbouring keys. `Tile` says where it lies, `Masking` which pairs see each other and what is added:

    score(i, j) = scale · q_i·k_j - slope · |i - j| + key_bias_j          if query i may see key j, else -inf

i and j count in keys: query number t of the call stands at i = t + offset.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .dispatch import kernel


class Tile(NamedTuple):
    """Where a tile starts: row of the batch, head, query (in keys and in the call's own count) and key."""

    batch: int
    head: int
    query: int  # among the queries of this call
    position: int  # the same query, counted in keys
    key: int


class Masking(NamedTuple):
    """Who sees whom. Arrays of size 0 stand for "none", so that every call has the same types.

    causal: key j <= query i. window: i - j < window (0: no window). prefix (B,): keys before it are seen by all.
    slopes (H,); key_bias (B or 1, H or 1, S), -inf hides a key; segments (B, S): only pairs with equal numbers.
    """

    scale: float
    causal: bool
    window: int
    prefix: np.ndarray
    slopes: np.ndarray
    key_bias: np.ndarray
    segments: np.ndarray


@kernel(writes=("scores", "log_sum_exp", "inverse_sum"))
def softmax_tile(scores, log_sum_exp, inverse_sum, tile, *masking):
    """Turn scores into exp(score - row maximum) in place; note each row's log-sum-exp and 1 / its sum.

    scores (b, h, R, C) with every key that the R queries may see; log_sum_exp and inverse_sum (B, H, T) are written at
    the tile's rows. A query that sees nothing gets zeros, -inf and 0. Keys far below the maximum get exact zeros.
    """
    biased = _masked(scores, tile, masking)
    rows = _rows(scores, tile)
    largest = biased.max(-1, keepdims=True, initial=-np.inf)
    largest[np.isneginf(largest)] = 0
    np.exp(biased - largest, out=scores)
    scores[scores < np.finfo(scores.dtype).tiny] = 0
    total = scores.sum(-1)
    with np.errstate(divide="ignore"):
        log_sum_exp[rows] = np.log(total) + largest[..., 0]
        inverse_sum[rows] = np.where(total > 0, 1 / total, 0)


@kernel(writes=("scores", "dprobabilities"))
def softmax_tile_backward(scores, dprobabilities, log_sum_exp, delta, tile, *masking):
    """From scores and the gradient of the probabilities to probabilities and the gradient of the products, in place.

    With p = exp(score - log_sum_exp): scores becomes p, dprobabilities becomes scale · p (dp - delta), where
    delta (B, H, T) is the sum over keys of p dp, which equals the output times its gradient.
    """
    biased = _masked(scores, tile, masking)
    rows = _rows(scores, tile)
    lse = log_sum_exp[rows][..., None]
    np.exp(biased - np.where(np.isneginf(lse), 0, lse), out=scores)
    scores[scores < np.finfo(scores.dtype).tiny] = 0
    dprobabilities -= delta[rows][..., None]
    dprobabilities *= scores
    dprobabilities *= scores.dtype.type(masking[0])


def _rows(scores: np.ndarray, tile: Tile) -> tuple[slice, slice, slice]:
    b, h, r, _ = scores.shape
    return (
        slice(tile.batch, tile.batch + b),
        slice(tile.head, tile.head + h),
        slice(tile.query, tile.query + r),
    )


def _masked(scores: np.ndarray, tile: Tile, masking: tuple) -> np.ndarray:
    tile, masks = Tile(*tile), Masking(*masking)
    b, h, r, c = scores.shape
    kind = scores.dtype.type
    batch, head = slice(tile.batch, tile.batch + b), slice(tile.head, tile.head + h)
    i = tile.position + np.arange(r)[:, None]
    j = tile.key + np.arange(c)[None, :]
    biased = scores * kind(masks.scale)
    if masks.slopes.size:
        biased -= masks.slopes[head][:, None, None] * np.abs(i - j).astype(scores.dtype)
    if masks.key_bias.size:
        bias = masks.key_bias[:, :, None, tile.key : tile.key + c]
        bias = bias[batch] if len(bias) > 1 else bias
        biased += bias[:, head] if bias.shape[1] > 1 else bias
    allowed = np.ones((b, r, c), bool)
    if masks.causal:
        allowed &= j <= i
    if masks.window:
        allowed &= (i - j < masks.window) & (j - i < masks.window)
    if masks.prefix.size:
        allowed |= j < masks.prefix[batch][:, None, None]
    if masks.segments.size:
        mine = masks.segments[batch, tile.position : tile.position + r]
        theirs = masks.segments[batch, tile.key : tile.key + c]
        allowed &= mine[:, :, None] == theirs[:, None, :]
    return np.where(allowed[:, None], biased, kind(-np.inf))


def _cases(rng: np.random.Generator):
    batch, heads, queries, keys, offset = 2, 3, 5, 9, 4
    nothing, none = np.zeros((0, 0, 0)), np.zeros((0, 0), np.int64)
    slopes, bias = rng.uniform(0.1, 1, heads), np.where(rng.random((batch, 1, keys)) < 0.3, -np.inf, 0.5)
    bias[0, :, :5] = -np.inf  # queries that see nothing
    by_head = rng.normal(size=(1, heads, keys))
    segments = np.sort(rng.integers(0, 3, (batch, keys)))
    prefix, no_prefix, no_slopes = np.array([6, 0]), np.zeros(0, np.int64), np.zeros(0)
    for masks in (
        Masking(0.5, True, 0, no_prefix, no_slopes, nothing, none),
        Masking(0.5, True, 3, no_prefix, slopes, nothing, none),
        Masking(0.5, True, 0, prefix, slopes, nothing, none),
        Masking(0.5, True, 0, no_prefix, no_slopes, bias, none),
        Masking(0.5, True, 0, no_prefix, no_slopes, by_head, none),
        Masking(0.5, True, 0, no_prefix, slopes, bias + by_head, none),
        Masking(0.5, True, 0, no_prefix, no_slopes, nothing, segments),
        Masking(0.5, False, 2, no_prefix, slopes, bias, segments),
        Masking(0.5, False, 0, no_prefix, no_slopes, nothing, none),
    ):
        scores = rng.normal(size=(1, 2, queries - 1, keys - 2)) * 3
        yield scores, rng.normal(size=(batch, heads, queries)), Tile(1, 1, 1, 1 + offset, 2), masks


@softmax_tile.example
def _(rng):
    for scores, rows, tile, masks in _cases(rng):
        yield (scores, rows, rows.copy(), tile, *masks), {}


@softmax_tile_backward.example
def _(rng):
    for scores, rows, tile, masks in _cases(rng):
        yield (scores, rng.normal(size=scores.shape), rows, rng.normal(size=rows.shape), tile, *masks), {}
