"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..kernels import optimizers
from .optimizer import Optimizer


class SGD(Optimizer):
    """Downhill by lr times the gradient, or times a velocity that past gradients have built up.

        g ← g + weight_decay · w        v ← momentum · v + g        w ← w - lr · v

    nesterov: w moves by g + momentum · v, which is where it would be going after this step. Without momentum nothing is
    kept.

    >>> from llm_from_scratch.autograd import Tensor
    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     w.grad = np.array([1.0])
    ...     optimizer.step()
    >>> w.data.round(4)                 # 1 - 0.1 - 0.1 · (0.5 + 1)
    array([0.75])

    Source: Sutskever, Martens, Dahl & Hinton 2013, ICML 28, with the rate outside the velocity, as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        threads: int | None = None,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, settings, threads)

    def _check(self, settings: Mapping[str, Any]) -> None:
        numbers = dict(settings)
        nesterov = numbers.pop("nesterov", False)
        super()._check(numbers)
        if not isinstance(nesterov, bool):
            raise TypeError(f"nesterov is True or False, not {nesterov!r}")
        if nesterov and not numbers["momentum"]:
            raise ValueError("nesterov needs a momentum above 0")

    def _keeps(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("velocity",) if settings["momentum"] else ()

    def _update(self, param: np.ndarray, grad: np.ndarray, kept: list[np.ndarray], step: int, **settings: Any) -> None:
        velocity = kept[0] if kept else np.zeros_like(param)
        optimizers.sgd(param, grad, velocity, **settings)
