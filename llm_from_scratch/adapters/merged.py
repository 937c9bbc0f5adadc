"""A matrix with something written into it: what merging puts in a module's place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..layers import Embedding, Linear, StoredWeight
from ..models.heads import Head, TiedHead

Change = Callable[[np.ndarray, "np.ndarray | None"], "tuple[np.ndarray, np.ndarray | None]"]


def changed(base: Any, change: Change) -> Any:
    """A copy of a Linear or an Embedding with other numbers: change(weight (in, out), bias or None) -> the new ones."""
    bias = getattr(base, "bias", None)
    arrays = change(base.weight.data, None if bias is None else bias.data)
    new = copy.copy(base)
    for name, old, array in zip(("weight", "bias"), (base.weight, bias), arrays):
        if old is not None and array is not None:
            setattr(new, name, Tensor(array, requires_grad=old.requires_grad))
    return new


def numbers(weight: Any) -> np.ndarray:
    """The matrix itself, however it is kept."""
    return weight.data if isinstance(weight, Tensor) else np.asarray(weight)


def dense(path: str, base: Any, *, dequantize: bool) -> Any:
    """The module with a matrix of plain numbers that can be written to; ValueError where that is to be asked for."""
    if isinstance(base, TiedHead):
        rows = numbers(base.embedding.weight)
        head = Head(*rows.shape[::-1], bias=base.bias is not None, rng=None)
        head.weight = Tensor(np.ascontiguousarray(rows.T), requires_grad=False)
        head.bias = base.bias
        return head
    stored = getattr(base, "weight", None)
    if not isinstance(stored, StoredWeight):
        return base
    if not dequantize:
        raise ValueError(
            f"{path} keeps its matrix packed ({type(stored).__name__}): written back into it, most of what the adapter "
            "adds would be rounded away. Merge with dequantize=True, which makes the matrix plain float32, or keep the "
            "adapter beside it"
        )
    inputs, outputs = stored.shape
    kind = Linear if hasattr(base, "bias") else Embedding
    new: Any = kind(inputs, outputs, rng=None)
    new.weight = Tensor(np.ascontiguousarray(stored.expand()), requires_grad=False)
    if kind is Linear:
        new.bias = base.bias
    return new
