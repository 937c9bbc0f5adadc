"""What the elementary operations have in common: NumPy's broadcasting and its undoing, one dtype, kinds of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum `gradient` down to `shape`, undoing NumPy's broadcasting of `shape` to `gradient.shape`.

    >>> unbroadcast(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    >>> unbroadcast(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)  # axes that broadcasting put in front
    stretched = tuple(extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1)
    return gradient.sum(axis=tuple(range(extra)) + stretched, keepdims=True).reshape(shape)


def one_dtype(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Integers and booleans beside floating-point arrays take their dtype, so that float32 stays float32.

    >>> [x.dtype.name for x in one_dtype(np.ones(2, np.float32), np.array([1, 2]))]
    ['float32', 'float32']
    """
    floating = next((x.dtype for x in arrays if x.dtype.kind == "f"), None)
    if floating is None:
        return arrays
    return tuple(x if x.dtype.kind == "f" else x.astype(floating) for x in arrays)


def normal(primitive: Any, *settings: dict[str, Any], shapes: Sequence[tuple[int, ...]]) -> None:
    """Give a function one example for each dictionary of settings, on normal numbers of these shapes."""
    for one in settings or ({},):

        def example(rng: np.random.Generator, one: dict[str, Any] = one) -> Any:
            return tuple(np.asarray(rng.normal(size=shape)) for shape in shapes), one

        primitive.example(example)


def pairs(primitive: Any, low: float = 0.5, high: float = 2.0) -> None:
    """Give a function of two arrays its examples: one shape, broadcast both ways, and single numbers (0-d).

    Entries lie in low..high and those of one array differ from the other's, so that no difference crosses a tie.
    """
    for left, right in (((2, 3, 4), (3, 1)), ((1, 4), (2, 3, 1)), ((3,), (3,)), ((), (2, 3)), ((2,), ()), ((), ())):

        def example(rng: np.random.Generator, left: Any = left, right: Any = right) -> Any:
            return (np.asarray(rng.uniform(low, high, left)), np.asarray(rng.uniform(low, high, right))), {}

        primitive.example(example)


def entrywise(primitive: Any, low: float = 0.5, high: float = 2.0, signed: bool = False, **settings: Any) -> None:
    """Give a function of each entry its examples, a single number (0-d) among them; signed: of both signs."""
    for shape in ((2, 3), (5,), ()):

        def example(rng: np.random.Generator, shape: Any = shape) -> Any:
            x = np.asarray(rng.uniform(low, high, shape))
            return (np.asarray(x * rng.choice([-1.0, 1.0], shape)) if signed else x,), settings

        primitive.example(example)
