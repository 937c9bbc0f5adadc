"""A function whose activations are not kept: the backward pass runs it again.

A backward needs what the forward computed, and most of a training step's memory is that. Of `rerun(f, x)` only x and
the output are kept; when the gradient of the output arrives, f runs once more, this time recorded, and its gradients go
where they would have gone. One more forward pass buys the memory of all functions but one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .graph import Edge, Node, propagate
from .tensor import Tensor, grad_enabled, no_grad, recording


def rerun(
    function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, uses: Iterable[Tensor] | None = None
) -> tuple[Tensor, ...]:
    """The tensors that `function(x)` gives, without its activations; they are computed again in the backward pass.

    function: may use tensors besides x (a layer's parameters), which get their gradients too, and must give the same to
    the last bit when it is called again: whatever it draws at random has to begin from the same state. What it gave is
    compared, and ValueError raised in the backward if it is not the same. uses: all the leaves besides x that may get a
    gradient from it, so that `backward(finished=…)` can tell when they have.

    >>> x, w = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    >>> (y,) = rerun(lambda x: ((x * w).sum(),), x)
    >>> y.backward()
    >>> x.grad, w.grad
    (array([3., 4.]), array([1., 2.]))

    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    if not grad_enabled():
        return function(x)
    with no_grad():
        outputs = tuple(Tensor(given.data) for given in function(x))
    edge: Edge = None
    if x.requires_grad:
        edge = x if x._node is None else (x._node, x._output)
    node = _Rerun(function, x.data, edge, outputs, None if uses is None else tuple(uses))
    for number, tensor in enumerate(outputs):
        tensor.requires_grad, tensor._node, tensor._output = True, node, number
    return outputs


def running_again() -> bool:
    """Whether what runs in this thread is the second run of something, for those who look at each number once."""
    return getattr(_again, "now", False)


_again = threading.local()


class _Rerun(Node):
    """A node whose backward is a forward and a backward."""

    __slots__ = ("inside",)

    def __init__(
        self,
        function: Callable[[Tensor], tuple[Tensor, ...]],
        x: np.ndarray,
        edge: Edge,
        given: tuple[Tensor, ...],
        uses: tuple[Tensor, ...] | None,
    ) -> None:
        self.inside = uses
        arrays = [tensor.data for tensor in given]
        super().__init__(_OPERATION, (edge,), (edge is not None,), (function, x, arrays))
        self.outputs = tuple((array.shape, array.dtype) for array in arrays)

    def backward(
        self, cotangents: tuple[np.ndarray, ...], into: dict[Any, np.ndarray] | None
    ) -> list[np.ndarray | None]:
        function, x, given = self.saved
        leaf = Tensor(x, requires_grad=self.needs[0])
        _again.now = True
        try:
            with recording():
                outputs = function(leaf)
        finally:
            _again.now = False
        if len(outputs) != len(given) or not all(_same(t.data, array) for t, array in zip(outputs, given)):
            raise ValueError(
                "what is recomputed gave another result the second time: something that it uses changed meanwhile "
                "(a weight, a patch that is not the same each time), or it draws from a random state of its own"
            )
        arrived = [(t, dy) for t, dy in zip(outputs, cotangents) if t.requires_grad]
        if arrived:
            edges = tuple(t if t._node is None else (t._node, t._output) for t, _ in arrived)
            joint = Node(_HAND_ON, edges, (True,) * len(edges), [dy for _, dy in arrived])
            joint.outputs = (((), np.dtype(x.dtype)),)
            propagate(joint, 0, np.zeros((), x.dtype), into)
        if not self.needs[0]:
            return [None]
        gradient = leaf.grad if into is None else into.pop(leaf, None)
        return [np.zeros_like(x) if gradient is None else gradient]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the arrays are equal to the last bit, NaN included."""
    bits = f"u{a.dtype.itemsize}"
    return a.dtype == b.dtype and np.array_equal(np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits))


class _Operation:
    """What nodes that are no primitives are called, and how they hand on what arrives at them all together."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def call_backward(self, cotangents: tuple[np.ndarray, ...], saved: Any, needs: tuple[bool, ...]) -> Any:
        return [dy[...] for dy in saved]  # views, for the arrays may belong to others, too


_OPERATION, _HAND_ON = _Operation("rerun"), _Operation("the outputs of rerun")
