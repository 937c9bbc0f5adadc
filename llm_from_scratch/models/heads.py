"""The head: from the last state of a token to the logits of what may follow.

A head is any module called with states (..., D) that gives logits (..., V). The two here can also compute the loss
without ever handing the logits out, which are the largest array of a training step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels.token_matrices import vector
from ..kernels.token_steps import Product
from ..layers import Embedding, Linear, Module
from ..layers.one_token import Sketch


class Head(Linear):
    """A matrix (D, V) of its own, and a bias if the spec has one."""

    matrix = Linear.matrix
    one_token = Linear.one_token

    def cross_entropy(self, x: Tensor, targets: np.ndarray, normaliser: int | None) -> Tensor:
        """The sum of the token losses / normaliser: x (N, D), targets (N,), -100 does not count."""
        return F.linear_cross_entropy(x, self.weight, targets, self.bias, normaliser=normaliser)


class TiedHead(Module):
    """The embedding, transposed; whatever the embedding is replaced by, this head uses. The bias (V,) is its own."""

    def __init__(self, embedding: Any, bias: Tensor | None = None) -> None:
        self.embedding = embedding
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        scores = self.embedding.scores(x)
        return scores if self.bias is None else scores + self.bias

    def one_token(self, sketch: Sketch, x: np.ndarray) -> np.ndarray:
        """One product."""
        matrix = sketch.ask(self.embedding, "score_matrix", self.bias)
        sketch.add(Product(x, [matrix], out := vector(matrix.outputs)))
        return out

    def cross_entropy(self, x: Tensor, targets: np.ndarray, normaliser: int | None) -> Tensor:
        """As that of `Head`."""
        if type(self.embedding) is Embedding:
            settings: dict[str, Any] = {"normaliser": normaliser, "transposed": True}
            return F.linear_cross_entropy(x, self.embedding.weight, targets, self.bias, **settings)
        return F.cross_entropy(self(x), targets, normaliser=normaliser)


def cross_entropy(head: Any, x: Tensor, targets: np.ndarray, normaliser: int | None) -> Tensor:
    """The loss through any head: fused where the head knows how, else from its logits.

    Asked by type: a subclass, or a part that is patched, may compute other logits than the fused loss assumes.
    """
    if type(head) in (Head, TiedHead):
        return head.cross_entropy(x, targets, normaliser)
    return F.cross_entropy(head(x), targets, normaliser=normaliser)


def with_targets(x: Tensor, targets: np.ndarray) -> tuple[Tensor, np.ndarray, np.ndarray | None]:
    """The rows of states (B, T, D) that have a target, so that a head works on no others: x (N, D), targets (N,).

    Where nearly all have one, or none, these are all rows, and the last is None. Else it says for each of the B·T
    places which row is its own; N for those without a target.
    """
    x, targets = x.reshape(-1, x.shape[-1]), targets.reshape(-1)
    where = np.flatnonzero(targets != -100)
    if not 0 < where.size < 0.9 * targets.size:
        return x, targets, None
    places = np.full(targets.size, where.size)
    places[where] = np.arange(where.size)
    return x[where], targets[where], places
