"""The graph behind a computation, and the walk back through it.

A `Node` is one application of a primitive. The walk visits every node after all of its users, and lets each hand its
gradient on. The order matters: in `b = a + a; c = b * b` the gradient of b is complete only when both uses of b have
reported. The walk is iterative, because a graph may be deeper than Python's stack. Nodes point at nodes and at leaves,
never at intermediate tensors, so an activation that no backward asked for is freed as soon as the forward drops it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
    inside: tuple[Any, ...] | None = ()  # leaves that get gradients from a graph inside the node; None: nobody knows

    def __init__(self, primitive: Operation, edges: tuple[Edge, ...], needs: tuple[bool, ...], saved: Any) -> None:
        self.primitive = primitive
        self.edges = edges  # one a positional input: (Node, output number), a leaf, or None
        self.needs = needs
        self.saved = saved
        self.outputs: tuple[tuple[tuple[int, ...], np.dtype], ...] = ()

    def backward(
        self, cotangents: tuple[np.ndarray, ...], into: dict[Any, np.ndarray] | None
    ) -> Sequence[np.ndarray | None]:
        """The gradients for the edges. into: where leaves' gradients are collected, for a node with a graph inside."""
        return self.primitive.call_backward(cotangents, self.saved, self.needs)


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


def propagate(
    root: Node,
    output: int,
    gradient: np.ndarray,
    into: dict[Any, np.ndarray] | None,
    finished: Callable[[Any], None] | None = None,
) -> None:
    """Carry `gradient`, the cotangent of `root`'s output number `output`, back to the leaves.

    finished: called with a leaf as soon as no gradient is to come to it any more, in the order of the walk.
    """
    order = topological_order(root)
    if any(node.saved is _RELEASED for node in order):
        raise ValueError("this graph was already released by an earlier backward(); run the forward pass again")
    # Per node: the gradient of each output so far, and whether that array is ours to add into.
    pending: dict[Node, list[tuple[np.ndarray, bool] | None]] = {node: [None] * len(node.outputs) for node in order}
    pending[root][output] = (gradient, False)
    # How many nodes will still give something to a leaf: one that is used twice is finished after its second use.
    givers = None if finished is None else _givers(order)
    while order:
        node = order.pop()
        arrived = pending.pop(node)
        cotangents = tuple(
            np.zeros(shape, dtype) if entry is None else entry[0]
            for entry, (shape, dtype) in zip(arrived, node.outputs)
        )
        del arrived
        results = node.backward(cotangents, into)
        everybody = [id(array) for array in (*cotangents, *results)]
        for position, (edge, result) in enumerate(zip(node.edges, results)):
            if edge is None:
                continue
            if result is None:
                raise ValueError(f"the backward of {node.primitive.__name__} returned no gradient for input {position}")
            # A view, the incoming gradient itself or an array returned twice belongs to others too: never add into it.
            owned = result.base is None and everybody.count(id(result)) == 1
            if not isinstance(edge, tuple):  # a leaf
                _check_shape(node, position, result, edge.shape, edge.dtype)
                deliver(edge, result, owned, into)
            else:
                parent, output = edge
                _check_shape(node, position, result, *parent.outputs[output])
                slots = pending[parent]
                slots[output] = _add(slots[output], result, owned)
        leaves = leaves_of(node) if givers else ()
        node.saved, node.edges = _RELEASED, ()  # activations go as soon as they have been used
        for leaf in leaves:
            givers[leaf] -= 1  # type: ignore[index]
            if not givers[leaf]:  # type: ignore[index]
                finished(leaf)  # type: ignore[misc]


def leaves_of(node: Node) -> set[Any]:
    """The leaves that a node gives gradients to."""
    return {edge for edge in node.edges if edge is not None and not isinstance(edge, tuple)} | set(node.inside or ())


def _givers(order: list[Node]) -> Counter[Any] | None:
    """For each leaf the number of nodes that give to it; None when some node does not know which it gives to."""
    if any(node.inside is None for node in order):
        return None
    return Counter(leaf for node in order for leaf in leaves_of(node))


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
