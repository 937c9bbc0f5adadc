"""AdamW: Adam with weight decay kept apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..kernels import optimizers
from .adam import Adam


class AdamW(Adam):
    """For every weight, a running mean of its gradient (m) and of the gradient's square (v).

    The weight moves by m / √v, which is about one learning rate a step whatever the gradient's scale. With g the
    gradient, one step t = 1, 2, … is

        m ← β1 m + (1 - β1) g        v ← β2 v + (1 - β2) g²
        w ← w - lr · weight_decay · w - lr · (m / (1 - β1ᵗ)) / (√(v / (1 - β2ᵗ)) + eps)

    params: Tensors, (name, Tensor) pairs, or groups of them with settings of their own (`decay_groups`); these,
    `param_groups` and `.lr` are as in every `Optimizer`.

    >>> import numpy as np
    >>> from llm_from_scratch.autograd import Tensor
    >>> w = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.0)
    >>> w.grad = np.array([0.3, -5.0])
    >>> optimizer.step()
    >>> w.data.round(4)                 # the first step moves each weight by lr, whatever the gradient's size
    array([ 0.9, -1.9])

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the schedule multiplier part of lr.
    """

    kernel, kernel_each = staticmethod(optimizers.adamw), staticmethod(optimizers.adamw_each)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        threads: int | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, threads=threads)


def decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of a model's parameters: matrices (two axes or more) decay; biases and the scales of norms do not.

    Decay pulls a matrix towards smaller products, which is the point; a norm's scale of 1 or a bias has no such excess.
    Neither have parameters that a module lists in its `no_decay`, such as the time scales of a state-space model.

    model: anything with `named_parameters()`. Frozen parameters (requires_grad=False) are left out.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decay = dict(decaying(model))
    groups = [
        {"params": [(n, p) for n, p in named if n in decay], "weight_decay": weight_decay},
        {"params": [(n, p) for n, p in named if n not in decay], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def decaying(model: Any) -> list[tuple[str, Any]]:
    """The matrices among a model's parameters that train, by name, without what modules list in their `no_decay`."""
    modules = model.named_modules() if hasattr(model, "named_modules") else ()
    exempt = {id(getattr(module, name)) for _, module in modules for name in getattr(module, "no_decay", ())}
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad and p.ndim >= 2 and id(p) not in exempt]
