"""Attention with relative positions, as in Transformer-XL: a score also depends on how far back the key stands.

    score(i, j) = scale · [(q_i + u)·k_j + (q_i + v)·r_{i-j}]        for keys j <= i

The second product is computed for every distance, and then each row is moved into place: query i wants distance i - j
in column j. With the distances written from the largest to the smallest, row t of a block of n queries has to move left
by n - 1 - t columns, one less with every row, which is the same memory read with rows one number shorter. The way back
reads with rows one number longer. There is never an array of queries × keys × width; memory is that of a block of
queries against all keys.

Glossary: B rows of the batch, H heads, T queries, S keys, D width of a head; u is `content_bias`, v `position_bias`,
r `relative`: the projected embedding of each distance.

Source: Dai et al. 2019, arXiv:1901.02860, section 3.3 and appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..autograd import primitive
from ..checks import floating
from ..kernels import attention as kernels
from ..kernels.attention import Tile
from ..kernels.row_products import is_batch_invariant, product
from .tiled_attention import _masking

BLOCK = 128  # queries in a tile
TILE_BYTES = 1 << 20  # a tile should stay in the second-level cache between its products and its softmax


@primitive
def relative_attention(
    q, k, v, relative, content_bias, position_bias, /, *, scale=None, key_offset=0, key_bias=None, segments=None
):  # fmt: skip
    """Causal attention whose scores hold a term for the distance between query and key.

    q (B, H, T, D), k (B, H, S, D), v (B, H, S, E) -> (B, H, T, E). relative (H, N, D): row d belongs to distance d, for
    all distances 0 … key_offset + T - 1 at least. content_bias, position_bias (H, D): added to every query before its
    products with keys and with distances.

    scale, key_offset, key_bias (B, S), segments (B, S): as in `attention`. Distances are counted in places of the row,
    so the tokens of a document must be neighbours.

    >>> zero, one = np.zeros((1, 1, 3, 1)), np.ones((1, 1))
    >>> values = np.array([1.0, 3.0, 8.0]).reshape(1, 1, 3, 1)
    >>> one_back = np.array([0.0, 50.0, 0.0]).reshape(1, 3, 1)         # prefers the key one place back
    >>> relative_attention(zero, zero, values, one_back, one, one).data.ravel()
    array([1., 1., 3.])
    """
    masks = _masking(q, k, v, True, scale, None, None, segments, None, key_bias, key_offset)
    _check(q, k, relative, content_bias, position_bias, key_offset)
    batch, heads, length, _ = q.shape
    y = np.empty((batch, length, heads, v.shape[3]), q.dtype).transpose(0, 2, 1, 3)  # so that the heads join as a view
    log_sum_exp = np.empty((batch, heads, length), q.dtype)
    inverse_sum = np.empty((batch, heads, length), q.dtype)
    parts = _parts(q, relative, content_bias, position_bias, key_offset)
    scratch = _Scratch(q.dtype)
    for mine, theirs, tile in _tiles(q, key_offset):
        scores = _scores(parts, k, mine, theirs, scratch)
        kernels.softmax_tile(scores, log_sum_exp, inverse_sum, tile, *masks)
        np.multiply(scratch.matmul(1, scores, v[theirs]), inverse_sum[mine][..., None], out=y[mine])
    return y, (q, k, v, relative, content_bias, position_bias, y, log_sum_exp, masks, key_offset)


@relative_attention.backward
def _(dy, saved, needs):
    # As in attention, dscore = scale · p (dp - Σ p dp). It reaches both products: the one with keys as it is, the one
    # with distances moved back. Queries and biases get what reaches their sum.
    q, k, v, relative, content_bias, position_bias, y, log_sum_exp, masks, offset = saved
    delta = np.einsum("bhte,bhte->bht", dy, y)
    parts = _parts(q, relative, content_bias, position_bias, offset)
    to_content, to_position, to_distant = (np.zeros(x.shape, x.dtype) for x in parts)
    dk, dv = (np.zeros(x.shape, x.dtype) for x in (k, v))
    scratch = _Scratch(q.dtype)
    for mine, theirs, tile in _tiles(q, offset):
        scores = _scores(parts, k, mine, theirs, scratch)
        dscores = scratch.matmul(1, dy[mine], v[theirs].swapaxes(-1, -2))
        kernels.softmax_tile_backward(scores, dscores, log_sum_exp, delta, tile, *masks)  # scores are now p
        if needs[2]:
            dv[theirs] += scratch.matmul(2, scores.swapaxes(-1, -2), dy[mine])
        if needs[1]:
            dk[theirs] += scratch.matmul(2, dscores.swapaxes(-1, -2), parts[0][mine])
        if needs[0] or needs[4]:
            to_content[mine] = scratch.matmul(2, dscores, k[theirs])
        if needs[0] or needs[3] or needs[5]:
            by_distance, some = _to_distances(dscores), (mine[1], slice(-dscores.shape[3], None))
            to_position[mine] = scratch.matmul(2, by_distance, parts[2][some])
            to_distant[some] += scratch.matmul(2, by_distance.swapaxes(-1, -2), parts[1][mine]).sum(axis=0)
    drelative = np.zeros(relative.shape, relative.dtype)
    drelative[:, : to_distant.shape[1]] = to_distant[:, ::-1]
    return (
        to_content + to_position if needs[0] else None,
        dk if needs[1] else None,
        dv if needs[2] else None,
        drelative if needs[3] else None,
        to_content.sum(axis=(0, 2)) if needs[4] else None,
        to_position.sum(axis=(0, 2)) if needs[5] else None,
    )


@relative_attention.example
def _(rng):
    return _inputs(rng, 2, 3, 4, 4), {}


@relative_attention.example
def _(rng):
    bias = np.array([[-np.inf, -np.inf, 0.0, 0.3, 0.0], [0.0, 0.1, -np.inf, 0.0, 0.0]])
    return _inputs(rng, 2, 2, 3, 5, spare=2), {"key_offset": 2, "key_bias": bias, "scale": 0.4}


@relative_attention.example
def _(rng):
    return _inputs(rng, 2, 2, 5, 5), {"segments": np.array([[0, 0, 0, 1, 1], [0, 1, 1, 1, 2]])}


def _inputs(rng, batch, heads, queries, keys, spare=0):
    q, k = rng.normal(size=(batch, heads, queries, 4)), rng.normal(size=(batch, heads, keys, 4))
    v, relative = rng.normal(size=(batch, heads, keys, 3)), rng.normal(size=(heads, keys + spare, 4))
    return q, k, v, relative, rng.normal(size=(heads, 4)), rng.normal(size=(heads, 4))


def _parts(q, relative, content_bias, position_bias, offset):
    """q + u, q + v, and the distances that occur, the largest first."""
    distant = np.ascontiguousarray(relative[:, : offset + q.shape[2]][:, ::-1])
    return q + content_bias[:, None], q + position_bias[:, None], distant


def _tiles(q: np.ndarray, offset: int) -> Iterator[tuple[tuple, tuple, Tile]]:
    """Blocks of queries of some heads and rows: index for queries, index for the keys they may see, and the tile."""
    batch, heads, length, _ = q.shape
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        for (rows, some, _), _, head in _shares((batch, heads, 1), 2 * (stop - start) * (offset + stop) * q.itemsize):
            tile = Tile(rows.start, head, start, start + offset, 0)
            yield (rows, some, slice(start, stop)), (rows, some, slice(offset + stop)), tile


def _scores(parts, k, mine, theirs, scratch: _Scratch) -> np.ndarray:
    """Both products of a tile, unscaled, (b, h, n, keys); what lies above the diagonal has no meaning."""
    with_keys = scratch.matmul(0, parts[0][mine], k[theirs].swapaxes(-1, -2))
    distant = parts[2][mine[1], -with_keys.shape[3] :]
    with_keys += _to_keys(scratch.matmul(1, parts[1][mine], distant.swapaxes(-1, -2)))
    return with_keys


def _to_keys(products: np.ndarray) -> np.ndarray:
    """Products with distances, the largest first, moved so that column j belongs to key j: a view of (b, h, n, keys).

    >>> _to_keys(np.array([[[[2, 1, 0], [2, 1, 0]]]]))[0, 0]     # distances: keys 0, 1 for query 1; all for query 2
    array([[1, 0, 2],
           [2, 1, 0]])
    """
    b, h, n, keys = products.shape
    shifted = products.reshape(b, h, n * keys)[:, :, n - 1 :]
    block, one = products.strides[:2], products.itemsize
    return as_strided(shifted, products.shape, (*block, (keys - 1) * one, one), writeable=False)


def _to_distances(dscores: np.ndarray) -> np.ndarray:
    """The way back: what stood at key j moved to its distance's column. What lies above the diagonal must be zero.

    >>> _to_distances(np.array([[[[7, 8, 0], [4, 5, 6]]]]))[0, 0]
    array([[0, 7, 8],
           [4, 5, 6]])
    """
    b, h, n, keys = dscores.shape
    padded = np.zeros((b, h, n - 1 + n * keys), dscores.dtype)  # zeros in front, where the first rows move in from
    padded[:, :, n - 1 :] = dscores.reshape(b, h, n * keys)
    block, one = padded.strides[:2], padded.itemsize
    return as_strided(padded, dscores.shape, (*block, (keys + 1) * one, one), writeable=False)


class _Scratch:
    """Buffers for products, reused from tile to tile."""

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[int, np.ndarray] = {}

    def matmul(self, number: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b in buffer `number`: valid until that buffer is used again."""
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*lead, a.shape[-2], b.shape[-1])
        if is_batch_invariant():
            return product(a, b)
        size = math.prod(shape)
        buffer = self._buffers.get(number)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[number] = np.empty(size, self._dtype)
        return np.matmul(a, b, out=buffer[:size].reshape(shape))


def _shares(shape: tuple[int, ...], tile_bytes: int) -> Iterator[tuple[tuple, tuple, int]]:
    """Cut (B, K, G) so that each share's tile fits the cache: index for keys, index for queries, first head."""
    batch, groups, size = shape[:3]
    fits = max(1, TILE_BYTES // max(1, tile_bytes))  # tiles of one head
    rows = max(1, fits // (groups * size))
    kv = groups if rows > 1 else max(1, min(groups, fits // size))
    each = size if kv > 1 else max(1, min(size, fits))
    for b in range(0, batch, rows):
        for n in range(0, groups, kv):
            for g in range(0, size, each):
                lead = slice(b, min(b + rows, batch)), slice(n, min(n + kv, groups))
                yield (*lead, slice(None)), (*lead, slice(g, min(g + each, size))), n * size + g


def _check(q, k, relative, content_bias, position_bias, offset) -> None:
    floating("relative_attention", relative, content_bias, position_bias)
    _, heads, length, width = q.shape
    if k.shape[1] != heads:
        raise ValueError(f"relative_attention: {heads} heads of queries and {k.shape[1]} of keys; give as many of each")
    if relative.ndim != 3 or relative.shape[::2] != (heads, width) or relative.shape[1] < offset + length:
        raise ValueError(
            f"relative_attention: relative must be ({heads}, {offset + length} or more, {width}), one row a distance; "
            f"got {relative.shape}"
        )
    for name, bias in (("content_bias", content_bias), ("position_bias", position_bias)):
        if bias.shape != (heads, width):
            raise ValueError(f"relative_attention: {name} must be ({heads}, {width}), got {bias.shape}")
