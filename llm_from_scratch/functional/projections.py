"""The matrix products of a model: the linear layer, alone and cut into heads, and the head fused with its loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import primitive
from ..checks import check_targets, floating, shapes
from ..kernels import losses
from ..kernels.row_products import product

_WORTH_JOINING = 128  # rows from which on a product gains more by its width than it costs to lay matrices side by side


@primitive
def linear(x, weight, bias=None, /, *, transposed=False):
    """y = x W + b, with W stored (in, out).

    x (..., I), weight (I, O), bias (O,) or None -> (..., O). transposed: the weight is stored (O, I) and y = x Wᵀ + b,
    which is how an embedding serves as a tied head.

    >>> linear([[1.0, 2.0]], [[1.0, 0.0, 3.0], [0.0, 1.0, 1.0]], [0.5, 0.5, 0.5])
    Tensor([[1.5, 2.5, 5.5]])
    """
    matrix = _matrix("linear", x, weight, bias, transposed)
    rows = x.reshape(-1, x.shape[-1])
    y = product(rows, matrix)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], matrix.shape[1]), (x, weight, transposed)


@linear.backward
def _(dy, saved, needs):
    x, weight, transposed = saved
    rows, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    matrix = weight.T if transposed else weight
    dx = (dy2 @ matrix.T).reshape(x.shape) if needs[0] else None
    dweight = None
    if needs[1]:
        dweight = dy2.T @ rows if transposed else rows.T @ dy2
    return dx, dweight, dy2.sum(axis=0) if needs[2] else None


linear.example(lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)), {}))
linear.example(lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(5, 4))), {"transposed": True}))


@primitive
def linear_heads(x, weight, bias=None, /, *, heads):
    """x W + b, cut into heads: what `linear`, a reshape and a transpose give, in one step of the graph.

    x (B, T, I), weight (I, H·D), bias (H·D,) or None -> (B, H, T, D), where a token's heads lie side by side in memory.

    >>> linear_heads([[[1.0, 2.0]]], [[1.0, 0.0], [0.0, 1.0]], heads=2).shape
    (1, 2, 1, 1)
    """
    matrix = _matrix("linear_heads", x, weight, bias, False)
    if x.ndim != 3 or heads < 1 or matrix.shape[1] % heads:
        raise ValueError(f"linear_heads: {heads} heads cannot be cut from inputs {x.shape} times {weight.shape}")
    y, saved = linear.__wrapped__(x, weight, bias)
    return y.reshape(*y.shape[:2], heads, y.shape[2] // heads).transpose(0, 2, 1, 3), saved


@linear_heads.backward
def _(dy, saved, needs):
    batch, heads, length, width = dy.shape
    return linear.call_backward((dy.transpose(0, 2, 1, 3).reshape(batch, length, heads * width),), saved, needs)


@linear_heads.example
def _(rng):
    return (rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 6)), rng.normal(size=6)), {"heads": 2}


@linear_heads.example
def _(rng):
    return (rng.normal(size=(1, 2, 3)), rng.normal(size=(3, 2))), {"heads": 1}


@primitive
def queries_keys_values(
    x, query, key, value, query_bias=None, key_bias=None, value_bias=None, /, *, heads, key_value_heads
):
    """What attention reads, by one product with the three matrices side by side, cut into heads.

    x (B, T, I), query (I, H·D), key and value (I, K·D), biases of their widths, all of them or none, with H = heads and
    K = key_value_heads -> q (B, H, T, D), k and v (B, K, T, D): views of one array, as `linear_heads` gives them.

    >>> x, eye = np.ones((1, 3, 2)), np.eye(2)
    >>> [y.shape for y in queries_keys_values(x, eye, eye, eye, heads=2, key_value_heads=1)]
    [(1, 2, 3, 1), (1, 1, 3, 2), (1, 1, 3, 2)]
    """
    matrices, biases = (query, key, value), (query_bias, key_bias, value_bias)
    for matrix, bias, count in zip(matrices, biases, (heads, key_value_heads, key_value_heads)):
        _matrix("queries_keys_values", x, matrix, bias, False)
        if x.ndim != 3 or count < 1 or matrix.shape[1] % count:
            raise ValueError(f"queries_keys_values: {count} heads cannot be cut from {x.shape} times {matrix.shape}")
    if len({bias is None for bias in biases}) > 1:
        raise ValueError("queries_keys_values: all of query, key and value have a bias, or none")
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) < _WORTH_JOINING:
        y = np.concatenate([product(rows, matrix) for matrix in matrices], axis=1)
    else:
        y = product(rows, np.concatenate(matrices, axis=1))
    if query_bias is not None:
        y += np.concatenate(biases)
    y = y.reshape(*x.shape[:2], -1)
    edges = np.cumsum([0, *(matrix.shape[1] for matrix in matrices)])
    parts = zip(edges, edges[1:], (heads, key_value_heads, key_value_heads))
    cut = [y[..., low:high].reshape(*x.shape[:2], count, -1).transpose(0, 2, 1, 3) for low, high, count in parts]
    return tuple(cut), (x, matrices, edges)


@queries_keys_values.backward
def _(dys, saved, needs):
    x, matrices, edges = saved
    dy = np.empty((*x.shape[:2], edges[-1]), x.dtype)
    parts = [slice(low, high) for low, high in zip(edges, edges[1:])]
    for part, given in zip(parts, dys):
        into = dy[..., part]
        into.reshape(*x.shape[:2], given.shape[1], -1)[...] = given.transpose(0, 2, 1, 3)
    wanted = needs[0], any(needs[1:4]), any(needs[4:])
    together: Any = linear.call_backward((dy,), (x, np.concatenate(matrices, axis=1), False), wanted)
    dx, dmatrix, dbias = together
    dmatrices = [dmatrix[:, part] if need else None for part, need in zip(parts, needs[1:4])]
    return dx, *dmatrices, *(dbias[part] if need else None for part, need in zip(parts, needs[4:]))


@queries_keys_values.example
def _(rng):
    shapes = (2, 3, 4), (4, 6), (4, 3), (4, 3)
    return tuple(rng.normal(size=shape) for shape in shapes), {"heads": 2, "key_value_heads": 1}


@queries_keys_values.example
def _(rng):
    shapes = (1, 3, 2), (2, 4), (2, 2), (2, 2), (4,), (2,), (2,)
    return tuple(rng.normal(size=shape) for shape in shapes), {"heads": 2, "key_value_heads": 1}


@primitive
def join_heads(x, /):
    """The heads of each token side by side: (B, H, T, D) -> (B, T, H·D).

    >>> join_heads(np.arange(4.0).reshape(1, 2, 2, 1)).data
    array([[[0., 2.],
            [1., 3.]]])
    """
    if x.ndim != 4:
        raise ValueError(f"join_heads takes (batch, heads, tokens, width), got {x.shape}")
    batch, heads, length, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * width), x.shape


@join_heads.backward
def _(dy, shape, needs):
    batch, heads, length, width = shape
    return (dy.reshape(batch, length, heads, width).transpose(0, 2, 1, 3),)


join_heads.example(lambda rng: ((rng.normal(size=(2, 3, 4, 2)),), {}))


@primitive
def linear_cross_entropy(x, weight, targets, bias=None, /, *, normaliser=None, transposed=False):
    """Cross-entropy of the head's logits, without ever handing the logits out.

    x (N, D), weight (D, V), targets (N,) of integers, -100 ignored, bias (V,) or None -> the sum of the token losses /
    normaliser (default: the number of targets that count). transposed: the weight is stored (V, D), as a tied embedding
    is.

    The logits are the largest array of a training step; here they are turned into their own gradient in place, so only
    one array of (N, V) exists where `linear` followed by `cross_entropy` would hold two.

    >>> linear_cross_entropy([[1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]], np.array([0]))    # logits 2, 0: ln(1 + e^-2)
    Tensor(0.1269)
    """
    matrix = _matrix("linear_cross_entropy", x, weight, bias, transposed)
    check_targets(targets, x.shape[:-1], matrix.shape[1])
    if x.ndim != 2:
        raise ValueError(f"linear_cross_entropy: inputs are rows (N, in), got {x.shape}: reshape them")
    if normaliser is None:
        normaliser = int((targets != -100).sum())
    if not normaliser > 0:
        raise ValueError("no target counts: all are -100, and a mean over nothing is undefined")
    logits = x @ matrix
    if bias is not None:
        logits += bias
    token_losses, log_sum_exp = losses.cross_entropy(logits, targets)
    # Summed in float64: a float32 sum of thousands of losses loses digits that resuming and accumulation compare.
    total = np.asarray(token_losses.sum(dtype=np.float64) / normaliser, dtype=x.dtype)
    return total, (x, weight, targets, logits, log_sum_exp, normaliser, transposed)


@linear_cross_entropy.backward
def _(dy, saved, needs):
    x, weight, targets, logits, log_sum_exp, normaliser, transposed = saved
    each = np.full(len(targets), dy / normaliser, x.dtype)
    dlogits = losses.cross_entropy_backward(each, logits, targets, log_sum_exp, logits)  # in place: logits are ours
    dx = dlogits @ (weight if transposed else weight.T) if needs[0] else None
    dweight = None
    if needs[1]:
        dweight = dlogits.T @ x if transposed else x.T @ dlogits
    return dx, dweight, None, dlogits.sum(axis=0) if needs[3] else None


@linear_cross_entropy.example
def _(rng):
    return (rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), np.array([0, 3, -100, 1, 1])), {}


@linear_cross_entropy.example
def _(rng):
    settings = {"transposed": True, "normaliser": 7}
    return (rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), np.array([2, 0, 3])), settings


@linear_cross_entropy.example
def _(rng):
    return (rng.normal(size=(3, 2)), rng.normal(size=(2, 4)), np.array([2, -100, 3]), rng.normal(size=4)), {}


def _matrix(name, x, weight, bias, transposed):
    """The weight as (in, out); an error unless input and bias fit it."""
    floating(name, x, weight)
    matrix = weight.T if transposed else weight
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != matrix.shape[0]:
        raise ValueError(f"{name}: an input {x.shape} does not fit a weight of (in, out) = {matrix.shape}")
    shapes(name, bias=(bias, matrix.shape[1:]))
    return matrix
