"""Lion: every weight moves by the same distance, in the direction of a mean of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels import optimizers
from .optimizer import Optimizer


class Lion(Optimizer):
    """One array a weight (m) where Adam keeps two. With g the gradient, one step is

        w ← w - lr · weight_decay · w - lr · sign(β1 m + (1 - β1) g)
        m ← β2 m + (1 - β2) g

    Since a step is as long as a sign allows, rates are three to ten times smaller than AdamW's, decays larger by as
    much.

    >>> from llm_from_scratch.autograd import Tensor
    >>> w = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    >>> optimizer = Lion([w], lr=0.1)
    >>> w.grad = np.array([0.3, -5.0])
    >>> optimizer.step()
    >>> w.data.round(4)
    array([ 0.9, -1.9])

    Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        threads: int | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, threads)

    def _keeps(self, settings: Any) -> tuple[str, ...]:
        return ("m",)

    def _update(self, param: np.ndarray, grad: np.ndarray, kept: list[np.ndarray], step: int, **settings: Any) -> None:
        beta1, beta2 = map(float, settings.pop("betas"))
        optimizers.lion(param, grad, *kept, beta1=beta1, beta2=beta2, **settings)
