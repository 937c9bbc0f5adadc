"""The graph behind a computation, and the walk back through it.

A `Node` is one application of a primitive. The walk visits every node after all of its users, and lets each hand its
gradient on. The order matters: in `b = a + a; c = b * b` the gradient of b is complete only when both uses of b have
reported. The walk is iterative, because a graph may be deeper than Python's stack. Nodes point at nodes and at leaves,
never at intermediate tensors, so an activation that no backward asked for is freed as soon as the forward drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Operation(Protocol):
    """What the walk asks of a primitive."""

    __name__: str

    def call_backward(
        self, cotangents: tuple[np.ndarray, ...], saved: Any, needs: tuple[bool, ...]
    ) -> Sequence[np.ndarray | None]: ...


class Leaf(Protocol):
    """What it asks of a tensor that gradients end in."""

    grad: np.ndarray | None

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...


class Node:
    """One application of a primitive: where its gradients go, and what its backward needs."""

    __slots__ = ("edges", "needs", "outputs", "primitive", "saved")

    def __init__(self, primitive: Operation, edges: tuple[Edge, ...], needs: tuple[bool, ...], saved: Any) -> None:
        self.primitive = primitive
        self.edges = edges  # one a positional input: (Node, output number), a leaf, or None
        self.needs = needs
        self.saved = saved
        self.outputs: tuple[tuple[tuple[int, ...], np.dtype], ...] = ()


Edge = tuple[Node, int] | Leaf | None

_RELEASED = object()


def topological_order(root: Node) -> list[Node]:
    """Every node that `root` depends on, users last: walking the list from its end visits users first."""
    order: list[Node] = []
    seen = {root}
    stack = [(root, iter(root.edges))]
    while stack:
        node, edges = stack[-1]
        for edge in edges:
            if isinstance(edge, tuple) and edge[0] not in seen:
                seen.add(edge[0])
                stack.append((edge[0], iter(edge[0].edges)))
                break
        else:  # all inputs of this node are in the list
            order.append(node)
            stack.pop()
    return order


def propagate(root: Node, output: int, gradient: np.ndarray, into: dict[Any, np.ndarray] | None) -> None:
    """Carry `gradient`, the cotangent of `root`'s output number `output`, back to the leaves."""
    order = topological_order(root)
    if any(node.saved is _RELEASED for node in order):
        raise ValueError("this graph was already released by an earlier backward(); run the forward pass again")
    # Per node: the gradient of each output so far, and whether that array is ours to add into.
    pending: dict[Node, list[tuple[np.ndarray, bool] | None]] = {node: [None] * len(node.outputs) for node in order}
    pending[root][output] = (gradient, False)
    while order:
        node = order.pop()
        arrived = pending.pop(node)
        cotangents = tuple(
            np.zeros(shape, dtype) if entry is None else entry[0]
            for entry, (shape, dtype) in zip(arrived, node.outputs)
        )
        del arrived
        results = node.primitive.call_backward(cotangents, node.saved, node.needs)
        for position, (edge, result) in enumerate(zip(node.edges, results)):
            if edge is None:
                continue
            if result is None:
                raise ValueError(f"the backward of {node.primitive.__name__} returned no gradient for input {position}")
            # A view, the incoming gradient itself or an array returned twice belongs to others too: never add into it.
            owned = result.base is None and not any(result is c for c in cotangents)
            owned = owned and sum(result is other for other in results) == 1
            if not isinstance(edge, tuple):  # a leaf
                _check_shape(node, position, result, edge.shape, edge.dtype)
                deliver(edge, result, owned, into)
            else:
                parent, output = edge
                _check_shape(node, position, result, *parent.outputs[output])
                slots = pending[parent]
                slots[output] = _add(slots[output], result, owned)
        node.saved, node.edges = _RELEASED, ()  # activations go as soon as they have been used


def _add(total: tuple[np.ndarray, bool] | None, more: np.ndarray, owned: bool) -> tuple[np.ndarray, bool]:
    if total is None:
        return more, owned
    array, ours = total
    if ours:
        return np.add(array, more, out=array), True
    return np.add(array, more, out=more if owned else np.empty_like(more)), True


def deliver(leaf: Leaf, gradient: np.ndarray, owned: bool, into: dict[Any, np.ndarray] | None) -> None:
    """Add `gradient` to the leaf's `.grad`, or to its entry of `into`; copied unless it is `owned`."""
    held = leaf.grad if into is None else into.get(leaf)
    if isinstance(held, np.ndarray):
        np.add(held, gradient, out=held)  # in place also where there are no axes: `+=` would make a number of those
        return
    if held is not None:
        raise TypeError(f"a leaf's .grad is an ndarray or None, not {type(held).__name__}: set it to None to clear it")
    gradient = gradient if owned else gradient.copy()
    if into is None:
        leaf.grad = gradient
    else:
        into[leaf] = gradient


def _check_shape(node: Node, position: int, gradient: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if gradient.shape != shape or gradient.dtype != dtype:
        raise ValueError(
            f"the backward of {node.primitive.__name__} returned {gradient.dtype}{gradient.shape} "
            f"for input {position}, which is {dtype}{shape}"
        )
