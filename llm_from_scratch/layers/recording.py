"""What passes through a model, kept on request; with gradients, if wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor


class Recording(dict[str, list[Any]]):
    """Lists by kind ("hidden", "attention", …), in the order in which things passed; `steps` has them apart by pass.

    gradients: entries are Tensors, whose `.grad` holds the derivative of a loss after `loss.backward()`; else they are
    ndarrays.

    >>> seen = Recording()
    >>> seen.begin()
    >>> _ = seen.keep("hidden", Tensor([1.0, 2.0]))
    >>> seen.steps[0]["hidden"][0] is seen["hidden"][0]
    True
    """

    def __init__(self, gradients: bool = False) -> None:
        super().__init__()
        self.gradients = gradients
        self.steps: list[dict[str, list[Any]]] = []

    def begin(self) -> None:
        """A new pass begins."""
        self.steps.append({})

    def note(self, kind: str, value: Any) -> None:
        """Keep `value` as it is."""
        if not self.steps:
            self.begin()
        self.setdefault(kind, []).append(value)
        self.steps[-1].setdefault(kind, []).append(value)

    def keep(self, kind: str, x: Tensor) -> Tensor:
        """Keep what passes; what to go on with instead of x, which is x."""
        if not self.gradients:
            self.note(kind, x.data.copy())
            return x
        return x + self.probe(kind, x.data)

    def probe(self, kind: str, values: np.ndarray) -> Tensor:
        """Keep `values` as a leaf; zeros of their shape through which a gradient with respect to them arrives there.

        To be added to what was computed from the values: h - stop_gradient(h) is 0, and its derivative is that of h.
        """
        leaf = Tensor(values.copy(), requires_grad=True)
        self.note(kind, leaf)
        return leaf - leaf.detach()
