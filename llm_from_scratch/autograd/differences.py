"""Comparing a backward with central differences.

For y = f(x) and a random cotangent c, the backward claims to compute g = d(c·y)/dx. Moving one coordinate of x by ±h
measures the same number: (c·f(x+h) - c·f(x-h)) / 2h, with an error of order h² (plus rounding of order 1e-16/h). The
cotangent is random because fixed ones hide mistakes: under an all-ones cotangent the gradient of softmax is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    are passed on; of a list of tensors or arrays each is checked. Tensors are moved in place and put back, so a
    function may also close over them: pass a model's parameters as inputs and ignore the arguments.

    Raises GradientMismatch naming the input and the worst coordinate; TypeError for float32 inputs, whose rounding
    would hide errors below about 1e-3.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> error = gradcheck(lambda x: x * x, x)
    >>> error < 1e-9
    True
    """
    given = [_leaf(value, f"input {position}") for position, value in enumerate(inputs)]
    labelled = [pair for position, value in enumerate(given) for pair in _leaves(value, f"input {position}")]
    if names:
        labelled = [(name, tensor) for name, (_, tensor) in zip(names, labelled, strict=True)]
    checked = [(label, tensor) for label, tensor in labelled if isinstance(tensor, Tensor) and tensor.requires_grad]
    if not checked:
        raise TypeError("gradcheck needs at least one float64 input")
    held = [tensor.grad for _, tensor in checked]
    for _, tensor in checked:
        tensor.grad = None
    outputs = _as_tuple(function(*given))
    rng = np.random.default_rng(seed)
    cotangents = [rng.normal(size=output.shape) for output in outputs]
    loss = sum(((output * cotangent).sum() for output, cotangent in zip(outputs, cotangents)), start=Tensor(0.0))
    loss.backward()
    claimed = [np.zeros(tensor.shape) if tensor.grad is None else tensor.grad for _, tensor in checked]
    for (_, tensor), gradient in zip(checked, held):
        tensor.grad = gradient

    def value() -> float:
        with no_grad():
            return float(sum(np.sum(o.data * c) for o, c in zip(_as_tuple(function(*given)), cotangents)))

    measured = [_central_differences(value, tensor.data, step) for _, tensor in checked]
    largest = max((float(np.abs(m).max(initial=0.0)) for m in measured), default=0.0)
    worst = 0.0
    for (label, _), ours, theirs in zip(checked, claimed, measured):
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-6 * largest, floor)
        if theirs.size == 0:
            continue
        errors = np.abs(ours - theirs) / (scale or 1.0)
        where = np.unravel_index(int(np.argmax(np.where(np.isnan(errors), np.inf, errors))), errors.shape)
        error = float(errors[where])
        if not error <= tolerance:
            place = tuple(int(n) for n in where)
            raise GradientMismatch(
                f"{label}{list(place)}: backward says {ours[where]:.9g}, central differences {theirs[where]:.9g} "
                f"(relative error {error:.2e}, allowed {tolerance:.0e})"
            )
        worst = max(worst, error)
    return worst


def _leaf(value: Any, label: str) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and _holds_arrays(value):
        return [_leaf(item, f"{label}[{number}]") for number, item in enumerate(value)]
    array = value.data if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind != "f":
        return value
    if array.dtype != np.float64:
        raise TypeError(f"gradcheck works in float64; {label} is {array.dtype}")
    if not (isinstance(value, Tensor) and value.requires_grad):
        return Tensor(array.copy(), requires_grad=True)
    if not array.flags.writeable:
        raise ValueError(f"gradcheck moves every entry, and the array of {label} is read-only: give the tensor a copy")
    return value


def _holds_arrays(value: Any) -> bool:
    """Whether a list is one of tensors or arrays, and not an array written as lists of numbers."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds_arrays, value))
    return isinstance(value, (Tensor, np.ndarray))


def _leaves(value: Any, label: str) -> Iterator[tuple[str, Any]]:
    """The leaves of an input with a label each: itself, or those of a list."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{label}[{number}]")
    else:
        yield label, value


def _as_tuple(result: Any) -> tuple[Tensor, ...]:
    return tuple(as_tensor(r) for r in (result if isinstance(result, (tuple, list)) else (result,)))


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
