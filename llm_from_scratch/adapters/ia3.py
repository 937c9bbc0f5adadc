"""(IA)³: learned factors on what keys, values and the feed-forward part's inner entries amount to; one a channel.

Source: Liu et al. 2022, arXiv:2205.05638, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..layers import Constant, parameter
from .adapted import Adapter, attach, check_name
from .merged import changed
from .places import matches, pick, sizes


class Factors(Adapter):
    """y ⊙ l around a linear layer, or the layer applied to x ⊙ l (`of_inputs`). l begins as ones.

    >>> layer = Factors(2, of_inputs=False)
    >>> layer.factors.data[1] = 10.0
    >>> layer(lambda x: x + 1, Tensor(np.ones(2, np.float32)))
    Tensor([ 2., 20.])
    """

    technique = "(IA)³"

    def __init__(self, size: int, *, of_inputs: bool) -> None:
        self.factors = parameter(np.random.default_rng(0), (size,), Constant(1.0))
        self.of_inputs = of_inputs

    def __call__(self, inner: Any, *inputs: Any) -> Tensor:
        (x,) = inputs
        return inner(x * self.factors) if self.of_inputs else inner(x) * self.factors

    def merged(self, base: Any) -> Any:
        """The base with its rows, or its columns and its bias, multiplied."""
        factors = self.factors.data
        if self.of_inputs:
            return changed(base, lambda weight, bias: (weight * factors[:, None], bias))
        return changed(base, lambda weight, bias: (weight * factors, None if bias is None else bias * factors))


def add_ia3(
    model: Any,
    targets: str | Sequence[str] = ("key", "value", "down"),
    name: str = "default",
    *,
    of_inputs: str | Sequence[str] = ("down",),
) -> list[str]:
    """Put factors on matrices of a model; the paths of these. They alone act and train from now on.

    targets: as for `add_lora`; of_inputs: those of them whose inputs are multiplied, as the feed-forward part's are;
    of all others the outputs are. ValueError where a target matches nothing (a Mamba layer has neither keys nor values)
    or the name is taken.
    """
    check_name(model, name)
    chosen = pick(model, targets, technique="(IA)³")
    if "embedding" in chosen:
        raise ValueError("(IA)³: an embedding's rows are looked up: factors go on linear layers")
    inner = (of_inputs,) if isinstance(of_inputs, str) else tuple(of_inputs)
    inputs = {path for path, module in chosen.items() if any(matches(path, module, target) for target in inner)}
    parts: dict[str, Adapter] = {}
    for path, module in chosen.items():
        parts[path] = Factors(sizes(module)[0 if path in inputs else 1], of_inputs=path in inputs)
    attach(model, name, parts)
    return list(parts)
