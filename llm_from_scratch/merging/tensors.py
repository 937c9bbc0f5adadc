"""What all merges share: models as {name: array} or as single arrays, checked, and a formula applied piece by piece.

Half precision is computed in float32 and written back; float32 and float64 stay what they are. The formula sees short
pieces of the flattened tensors, so that what it computes in between takes no memory, and none is read or converted as
a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

Tensors = Mapping[str, np.ndarray] | np.ndarray
Pieces = list[np.ndarray]

PIECE = 1 << 16  # numbers: a dozen such pieces fit into a core's cache
_WORKED_IN: dict[Any, np.dtype[Any]] = {
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(ml_dtypes.bfloat16): np.dtype(np.float32),
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float64): np.dtype(np.float64),
}


def over_tensors(merge: Callable[..., np.ndarray], *models: Any) -> Any:
    """`merge(array of the first, array of the second, …)` for every name of the models, or once for single arrays.

    The result is as the first model is. Arrays that hold no floating-point numbers (tables of positions, masks) must be
    equal in all, and are passed on. Raises TypeError or ValueError naming the first tensor in which the models differ.

    >>> over_tensors(np.add, {"a": np.ones(2)}, {"a": np.ones(2)})
    {'a': array([2., 2.])}
    """
    check_alike(*models)
    if not isinstance(models[0], Mapping):
        return _one("the array", merge, [np.asarray(model) for model in models])
    return {name: _one(name, merge, [np.asarray(model[name]) for model in models]) for name in models[0]}


def check_alike(*models: Any) -> None:
    """Raise TypeError or ValueError naming the first tensor in which the models differ: its name, or its shape."""
    first, *others = [model if isinstance(model, Mapping) else {"the array": model} for model in models]
    for number, model in enumerate([first, *others]):
        if isinstance(models[number], Mapping) != isinstance(models[0], Mapping):
            kinds = type(models[number]).__name__, type(models[0]).__name__
            raise TypeError(f"model {number} is a {kinds[0]}, the first a {kinds[1]}: all arrays, or all dictionaries")
        for name in [*first, *model]:
            if name not in model or name not in first:
                raise ValueError(f"tensor {name} stands in only one of the models 0 and {number}: they must be alike")
            if not isinstance(model[name], (np.ndarray, np.generic)):
                raise TypeError(f"{name} is a {type(model[name]).__name__}: models are arrays, or {{name: array}}")
            mine, other = first[name].shape, model[name].shape
            if mine != other:
                raise ValueError(f"{name} has shape {mine} in model 0 and {other} in model {number}")


def _one(name: str, merge: Callable[..., np.ndarray], arrays: Sequence[np.ndarray]) -> np.ndarray:
    first = arrays[0]
    if first.dtype.kind in "biu":
        if any(array.dtype != first.dtype or not np.array_equal(array, first) for array in arrays):
            raise ValueError(f"{name} holds {first.dtype}, which cannot be averaged, and differs between the models")
        return first.copy()
    try:
        return merge(*arrays)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def working(*dtypes: Any) -> np.dtype:
    """The number format that tensors of these formats are computed in; TypeError for what is no float.

    >>> working(np.float16), working(np.float32, np.float64)
    (dtype('float32'), dtype('float64'))
    """
    for dtype in dtypes:
        if np.dtype(dtype) not in _WORKED_IN:
            raise TypeError(f"{', '.join(map(str, _WORKED_IN))} can be merged, not {dtype}")
    return max([_WORKED_IN[np.dtype(dtype)] for dtype in dtypes], key=lambda kind: kind.itemsize)


def elementwise(
    formula: Callable[[Pieces, Pieces], np.ndarray],
    arrays: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] = (),
    *,
    dtype: Any = None,
) -> np.ndarray:
    """`formula` entry by entry: it gets equal pieces of the arrays, as floats to compute with, and of the masks.

    dtype: of the result, by default that of the first array. ValueError where a number is not finite, or a result too
    large for its format.

    >>> elementwise(lambda x, _: (x[0] + x[1]) / 2, [np.zeros((1, 2), np.float16), np.ones((1, 2), np.float32)])
    array([[0.5, 0.5]], dtype=float16)
    """
    work = working(*(array.dtype for array in arrays))
    result = np.empty(arrays[0].shape, arrays[0].dtype if dtype is None else dtype)
    flat, out = [array.reshape(-1) for array in arrays], result.reshape(-1)
    flat_masks = [mask.reshape(-1) for mask in masks]
    for start in range(0, out.size, PIECE):
        part = slice(start, start + PIECE)
        pieces = [array[part].astype(work, copy=False) for array in flat]
        for number, piece in enumerate(pieces):
            if not np.isfinite(piece).all():
                raise ValueError(f"a number in model {number} is not finite: such weights cannot be merged")
        with np.errstate(over="ignore"):
            out[part] = formula(pieces, [mask[part] for mask in flat_masks])
        if not np.isfinite(out[part]).all():
            raise ValueError(f"a merged number is too large for {result.dtype}")
    return result


def check_models(models: Any, least: int = 1) -> list[Any]:
    """The models as a list; TypeError for a single one, ValueError for too few."""
    if isinstance(models, (Mapping, np.ndarray, str)) or not hasattr(models, "__iter__"):
        raise TypeError(f"models are a list of models, not a {type(models).__name__}")
    found = list(models)
    if len(found) < least:
        raise ValueError(f"at least {least} model{'s' * (least > 1)} were expected, got {len(found)}")
    return found


def check_numbers(what: str, values: Any, count: int) -> tuple[float, ...]:
    """One finite number a model; a single one counts for all."""
    given = (
        list(values) if isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str) else [values] * count
    )
    if len(given) != count:
        raise ValueError(f"there are {len(given)} {what} for {count} models: one each was expected")
    return tuple(check_number(what, value) for value in given)


def check_number(what: str, value: Any) -> float:
    """A finite number as a float; TypeError or ValueError for anything else."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} must be a number, not {value!r}")
    if not np.isfinite(value):
        raise ValueError(f"{what} must be finite, not {value}")
    return float(value)


def check_density(values: Any, count: int) -> tuple[float, ...]:
    """One share in (0, 1] a model; a single one counts for all.

    >>> check_density(20, 2)
    Traceback (most recent call last):
    ValueError: density must lie in (0, 1], as it is the share of entries that is kept; got 20.0
    """
    found = check_numbers("density", values, count)
    for density in found:
        if not 0 < density <= 1:
            raise ValueError(f"density must lie in (0, 1], as it is the share of entries that is kept; got {density}")
    return found


CANCELLING = 1e-3  # a divisor below this share of the weights' size is their cancelling, not their sum


def check_sum(weights: Sequence[float]) -> float:
    """The sum that weights are divided by; ValueError where they cancel.

    >>> check_sum((0.3, -0.1, -0.2))
    Traceback (most recent call last):
    ValueError: the weights 0.3, -0.1, -0.2 cancel: dividing by their sum, -2.78e-17, would blow the merge up; leave
    normalize away (false), or choose weights of one sign
    """
    total = float(sum(weights))
    if abs(total) <= CANCELLING * sum(map(abs, weights)):
        raise ValueError(
            f"the weights {', '.join(map(str, weights))} cancel: dividing by their sum, {total:.3g}, would blow "
            "the merge up; leave normalize away (false), or choose weights of one sign"
        )
    return total
