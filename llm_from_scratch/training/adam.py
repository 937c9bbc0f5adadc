"""Adam as it was first: weight decay is part of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels import optimizers
from .optimizer import Optimizer, Piece


class Adam(Optimizer):
    """AdamW's moments, with g + weight_decay · w in the place of the gradient g (L2 regularisation).

    The decay is then divided by √v as well, so that weights with large gradients hardly decay: what `AdamW` mends.

    >>> from llm_from_scratch.autograd import Tensor
    >>> w = Tensor(np.array([1.0, 4.0]), requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1, weight_decay=0.5)
    >>> w.grad = np.zeros(2)
    >>> optimizer.step()
    >>> w.data.round(4)                 # decays by lr, however large the weight or the decay
    array([0.9, 3.9])

    Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """

    squares = True
    kernel, kernel_each = staticmethod(optimizers.adam), staticmethod(optimizers.adam_each)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        threads: int | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, threads)

    def _keeps(self, settings: Any) -> tuple[str, ...]:
        return ("m", "v")

    def _update(self, param: np.ndarray, grad: np.ndarray, kept: list[np.ndarray], step: int, **settings: Any) -> None:
        self.kernel(param, grad, *kept, step=step, **_named(**settings))

    def _update_each(self, pieces: list[Piece]) -> None:
        if type(self)._update is not Adam._update:  # somebody's own optimiser
            return super()._update_each(pieces)
        of = {id(piece.settings): _named(**piece.settings) for piece in pieces}
        arrays = [(piece.arrays[0], piece.grad, *piece.arrays[1:]) for piece in pieces]
        return self.kernel_each(arrays, [of[id(piece.settings)] for piece in pieces])


def _named(betas: tuple[float, float], **settings: Any) -> dict[str, Any]:
    """The settings as the kernels call them."""
    return {**settings, "beta1": float(betas[0]), "beta2": float(betas[1])}
