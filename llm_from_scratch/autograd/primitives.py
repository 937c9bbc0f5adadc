"""`@primitive`: a forward, its hand-derived backward and an example, on one screen.

The forward is an ordinary function on ndarrays that returns its output and whatever the backward wants to see again.
Parameters in front of the "/" are tensors (or None, or integer arrays such as token ids); those after it are fixed
settings. The backward receives `needs`, one flag a tensor parameter, those left out included, and returns as many
gradients; it computes none that nobody asked for. The example feeds the checks that every primitive must pass
(tests/autograd/test_primitives_sweep.py).

What the backward will see again is not what a caller can still change: arrays that come as constants or settings are
copied when a graph is recorded. (Tensors are not: weights are large. Whoever changes a `.data` waits for the backward.)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph import Edge, Node
from .tensor import FLOATS, Tensor, grad_enabled, native

PRIMITIVES: dict[str, Primitive] = {}

Example = Callable[[np.random.Generator], tuple[tuple[Any, ...], dict[str, Any]]]


class Primitive:
    """A differentiable operation; made by the `@primitive` decorator, called like the function it wraps."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, forward: Callable[..., Any]) -> None:
        functools.update_wrapper(self, forward)
        self._backward: Callable[..., Any] | None = None
        self.examples: list[Example] = []
        parameters = inspect.signature(forward).parameters.values()
        self._settings = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        tensors = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self._several = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # tensors without end, as in `concatenate`
        self._tensors = len(tensors)
        self._needed = [p.name for p in tensors if p.default is p.empty]
        self._optional = tuple(p.default for p in tensors[len(self._needed) :])  # the others may be left out, or None
        key = f"{forward.__module__}.{forward.__qualname__}"
        PRIMITIVES[key] = self

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Register `function(dy, saved, needs) -> one gradient (or None) a tensor parameter`, given or left out.

        A primitive with several outputs receives a tuple of cotangents. Return fresh arrays, or views of the cotangent;
        never an array that was saved.
        """
        self._backward = function
        return function

    def example(self, function: Example) -> Example:
        """Register `function(rng) -> (positional inputs in float64, keywords)`; several may be given."""
        self.examples.append(function)
        return function

    def call_backward(
        self, cotangents: tuple[np.ndarray, ...], saved: Any, needs: tuple[bool, ...]
    ) -> Sequence[np.ndarray | None]:
        """The gradients for the tensor parameters, one each."""
        if self._backward is None:
            raise ValueError(f"{self.__name__} has no backward: register one with @{self.__name__}.backward")
        result = self._backward(cotangents[0] if len(cotangents) == 1 else cotangents, saved, needs)
        results = result if isinstance(result, (tuple, list)) else (result,)
        if len(results) != len(needs):
            raise ValueError(
                f"the backward of {self.__name__} returned {len(results)} gradients for {len(needs)} inputs"
            )
        # NumPy turns arrays without axes into numbers, to which nothing can be added in place.
        return [None if gradient is None else np.asarray(gradient) for gradient in results]

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        given = len(inputs)
        if given < self._tensors and given >= len(self._needed):  # what is left out is None
            inputs += self._optional[given - len(self._needed) :]
        elif given > self._tensors and self._settings and not self._several:
            settings = {**dict(zip(self._settings, inputs[self._tensors :])), **settings}
            inputs = inputs[: self._tensors]
        for value, name in zip(inputs, self._needed):
            if value is None:
                raise TypeError(f"{self.__name__} needs an array or a Tensor as {name}, got None")
        # Lists, because a generator for two or three inputs costs as much as what is done with them.
        edges = tuple([_edge(value) for value in inputs]) if grad_enabled() else ()
        needs = tuple([edge is not None for edge in edges])
        recorded = True in needs
        dtype = _common_float(self.__name__, inputs)
        arrays = [_as_array(value, dtype, recorded) for value in inputs]
        if settings:
            settings = {name: self._setting(name, value, recorded) for name, value in settings.items()}
        result, saved = self.__wrapped__(*arrays, **settings)
        several = isinstance(result, tuple)
        outputs = tuple([_bare(array) for array in (result if several else (result,))])
        if recorded:
            node = Node(self, edges, needs, saved)
            node.outputs = tuple([(array.data.shape, array.data.dtype) for array in outputs])
            for number, tensor in enumerate(outputs):
                if tensor.data.dtype in FLOATS:
                    tensor.requires_grad, tensor._node, tensor._output = True, node, number
        return outputs if several else outputs[0]

    def _setting(self, name: str, value: Any, copied: bool) -> Any:
        """A setting as plain NumPy; TypeError for a tensor whose gradient would be lost."""
        if isinstance(value, Tensor):
            if value.requires_grad and grad_enabled():
                raise TypeError(
                    f"{self.__name__}: {name} is a setting and passes no gradient on, but the tensor given for it "
                    "requires one: say .detach() if that is meant"
                )
            value = value.data
        if isinstance(value, np.ndarray):
            return value.copy() if copied else value
        return tuple(self._setting(name, item, copied) for item in value) if type(value) is tuple else value

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}>"


def primitive(forward: Callable[..., Any]) -> Primitive:
    """Turn `forward(*arrays, **settings) -> (output, saved)` into a differentiable operation.

    >>> @primitive
    ... def cube(x, /):
    ...     return x * x * x, x
    >>> @cube.backward
    ... def _(dy, x, needs):
    ...     return 3 * x * x * dy
    >>> x = Tensor([2.0], requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array([12.])
    >>> _ = PRIMITIVES.popitem()       # only an illustration: keep it out of the sweep
    """
    return Primitive(forward)


def _edge(value: Any) -> Edge:
    if not isinstance(value, Tensor) or not value.requires_grad:
        return None
    return value if value._node is None else (value._node, value._output)


def _bare(array: np.ndarray) -> Tensor:
    return Tensor(array if isinstance(array, np.ndarray) else np.asarray(array))


def _common_float(name: str, inputs: tuple[Any, ...]) -> np.dtype | None:
    """The one floating dtype of the inputs. Plain numbers adapt to it; two different ones are an error."""
    found: np.dtype | None = None
    for value in inputs:
        if not (isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.ndim)):
            continue
        dtype = value.dtype if value.dtype.isnative else value.dtype.newbyteorder("=")
        if dtype is not found and dtype.kind == "f":
            if found is not None and dtype != found:
                raise TypeError(
                    f"{name} got both {found} and {dtype}: nothing is converted silently; "
                    "bring its inputs to one dtype with .astype(...)"
                )
            found = dtype
    return found


def _as_array(value: Any, dtype: np.dtype | None, copied: bool) -> np.ndarray | None:
    """The input as an ndarray; a caller's own array is copied if the backward may look at it later."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        return value.data
    array = native(np.asarray(value))
    if dtype is not None and array.dtype.kind == "f" and not (array.ndim and array is value):
        return array.astype(dtype)  # numbers and lists of them take the dtype of the arrays around them
    return array.copy() if copied else array
