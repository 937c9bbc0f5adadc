"""Comparing a backward with central differences.

For y = f(x) and a random cotangent c, the backward claims to compute g = d(c·y)/dx. Moving one coordinate of x by ±h
measures the same number: (c·f(x+h) - c·f(x-h)) / 2h, with an error of order h² (plus rounding of order 1e-16/h). The
cotangent is random because fixed ones hide mistakes: under an all-ones cotangent the gradient of softmax is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tensor import Tensor, as_tensor, no_grad


class GradientMismatch(AssertionError):
    """A backward disagrees with central differences."""


def gradcheck(
    function: Callable[..., Any],
    *inputs: Any,
    tolerance: float = 1e-6,
    step: float = 1e-5,
    seed: int = 0,
    floor: float = 0.0,
    names: Sequence[str] | None = None,
) -> float:
    """Check every coordinate of every float64 input of `function(*inputs)`; the largest relative error is returned.

    An input's error is relative to max(its largest gradient entry, `floor`, 1e-6 × the largest gradient entry of all
    inputs): some gradients are exactly zero, and zero needs a scale too. Inputs that are not floating (ids) or are None
    are passed on. Tensors are moved in place and put back, so a function may also close over them: pass a model's
    parameters as inputs and ignore the arguments.

    Raises GradientMismatch naming the input and the worst coordinate; TypeError for float32 inputs, whose rounding
    would hide errors below about 1e-3.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> error = gradcheck(lambda x: x * x, x)
    >>> error < 1e-9
    True
    """
    tensors = [_leaf(value, position) for position, value in enumerate(inputs)]
    checked = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise TypeError("gradcheck needs at least one float64 input")
    held = [tensors[i].grad for i in checked]
    for i in checked:
        tensors[i].grad = None
    outputs = _as_tuple(function(*tensors))
    rng = np.random.default_rng(seed)
    cotangents = [rng.normal(size=output.shape) for output in outputs]
    loss = sum(((output * cotangent).sum() for output, cotangent in zip(outputs, cotangents)), start=Tensor(0.0))
    loss.backward()
    claimed = [np.zeros(tensors[i].shape) if tensors[i].grad is None else tensors[i].grad for i in checked]
    for i, gradient in zip(checked, held):
        tensors[i].grad = gradient

    def value() -> float:
        with no_grad():
            return float(sum(np.sum(o.data * c) for o, c in zip(_as_tuple(function(*tensors)), cotangents)))

    measured = [_central_differences(value, tensors[i].data, step) for i in checked]
    largest = max((float(np.abs(m).max(initial=0.0)) for m in measured), default=0.0)
    worst = 0.0
    for i, ours, theirs in zip(checked, claimed, measured):
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-6 * largest, floor)
        if theirs.size == 0:
            continue
        errors = np.abs(ours - theirs) / (scale or 1.0)
        where = np.unravel_index(int(np.argmax(np.where(np.isnan(errors), np.inf, errors))), errors.shape)
        error = float(errors[where])
        if not error <= tolerance:
            label = names[i] if names else f"input {i}"
            place = tuple(int(n) for n in where)
            raise GradientMismatch(
                f"{label}{list(place)}: backward says {ours[where]:.9g}, central differences {theirs[where]:.9g} "
                f"(relative error {error:.2e}, allowed {tolerance:.0e})"
            )
        worst = max(worst, error)
    return worst


def _leaf(value: Any, position: int) -> Any:
    if value is None:
        return None
    array = value.data if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind != "f":
        return value
    if array.dtype != np.float64:
        raise TypeError(f"gradcheck works in float64; input {position} is {array.dtype}")
    return value if isinstance(value, Tensor) and value.requires_grad else Tensor(array.copy(), requires_grad=True)


def _as_tuple(result: Any) -> tuple[Tensor, ...]:
    return tuple(as_tensor(r) for r in (result if isinstance(result, tuple) else (result,)))


def _central_differences(value: Callable[[], float], array: np.ndarray, step: float) -> np.ndarray:
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        before = array[index]
        # A step relative to the number keeps x + h - x exact enough for large and small entries alike.
        h = step * max(1.0, abs(before))
        array[index] = before + h
        above = value()
        array[index] = before - h
        below = value()
        array[index] = before
        gradient[index] = (above - below) / (2 * h)
    return gradient
