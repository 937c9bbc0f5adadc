"""What NumPy does with a `Tensor`: keep the graph, or refuse and say what to call instead.

A NumPy function knows nothing of the graph; what it returned would have lost its gradient without a word. NumPy asks
its arguments before it computes (`__array_ufunc__`, `__array_function__`, `__array__`), and here they answer. A ufunc
of which there is a differentiable version runs that: `np.exp(t)` is `exp(t)`, and an ndarray on the left of an operator
works. Any other function is refused while one of its tensors needs a gradient, unless its result can have none
(comparisons, `argmax`, `allclose`). Without a gradient to lose, NumPy gets the plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tensor import Tensor, grad_enabled, refusal

DIFFERENTIABLE: dict[str, Callable[..., Any]] = {
    "equal": Tensor.__eq__, "not_equal": Tensor.__ne__, "less": Tensor.__lt__, "less_equal": Tensor.__le__,
    "greater": Tensor.__gt__, "greater_equal": Tensor.__ge__,
}  # fmt: skip
"""Our function for a NumPy function's name; `known_as` adds each where it is defined (`operators.py`)."""

# Their results say where or whether, not how much: no gradient can be lost.
_WITHOUT_GRADIENT = {
    "allclose", "argmax", "argmin", "argpartition", "argsort", "argwhere", "array2string", "array_equal",
    "array_equiv", "array_repr", "array_str", "can_cast", "common_type", "count_nonzero", "empty_like", "flatnonzero",
    "full_like", "isclose", "iscomplexobj", "isrealobj", "may_share_memory", "min_scalar_type", "ndim", "nonzero",
    "ones_like", "result_type", "searchsorted", "shape", "shares_memory", "size", "zeros_like",
}  # fmt: skip


def array_ufunc(tensor: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
    """Tensor.__array_ufunc__: ours of the same name, or a refusal where a gradient would be lost."""
    name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
    if any(isinstance(out, Tensor) for out in keywords.get("out", ())) or method == "at":
        raise TypeError(f"numpy.{name} would change a Tensor in place, behind its graph: make a new one instead")
    ours = DIFFERENTIABLE.get(name)
    if method == "__call__" and not keywords and ours is not None:
        return ours(*inputs)
    boolean = all(kinds.endswith("->?") for kinds in ufunc.types if "O" not in kinds)
    if not (method == "__call__" and boolean) and _losing(inputs):
        if "out" in keywords:
            raise TypeError(f"numpy.{name} cannot put a Tensor into an array: write a = a + t, or use t.data")
        raise refusal(f"numpy.{name}", ours)
    return getattr(ufunc, method)(*_plain(inputs), **_plain(keywords))


def array_function(tensor: Tensor, function: Any, types: Any, inputs: Any, keywords: Any) -> Any:
    """Tensor.__array_function__: a refusal where a gradient would be lost, NumPy on plain arrays elsewhere."""
    if function.__name__ not in _WITHOUT_GRADIENT and _losing((inputs, keywords)):
        raise refusal(f"{function.__module__}.{function.__name__}", DIFFERENTIABLE.get(function.__name__))
    return function(*_plain(inputs), **_plain(keywords))


def _losing(value: Any) -> bool:
    """Whether a tensor somewhere in a nest of arguments would lose a gradient."""
    if isinstance(value, Tensor):
        return value.requires_grad and grad_enabled()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    return any(map(_losing, value))


def _plain(value: Any) -> Any:
    """The same nest of arguments with arrays for tensors."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


setattr(Tensor, "__array_ufunc__", array_ufunc)  # noqa: B010  (NumPy looks for them on the class)
setattr(Tensor, "__array_function__", array_function)  # noqa: B010
