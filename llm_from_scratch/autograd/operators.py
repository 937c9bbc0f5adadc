"""How an operation becomes a method of `Tensor`, an operator and NumPy's function, where it is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .interop import DIFFERENTIABLE
from .tensor import Tensor

Operation = TypeVar("Operation", bound=Callable[..., Any])


def known_as(
    *names: str, operator: str | None = None, numpy: Iterable[str] = (), method: Any = None
) -> Callable[[Operation], Operation]:
    """A decorator: the function is also `tensor.NAME(...)` and what `numpy.NAME` means for a tensor.

    operator: "add" stands for `tensor + x` and `x + tensor`. numpy: further names there, those of a ufunc's methods
    included ("add.reduce"). method: what stands on the class where its arguments differ from the function's.

    >>> @known_as("doubled", operator="lshift")
    ... def shifted(x, places=1):
    ...     return x * 2.0**places
    >>> Tensor([3.0]).doubled(), Tensor([3.0]) << 2
    (Tensor([6.]), Tensor([12.]))
    >>> del Tensor.doubled, Tensor.__lshift__, Tensor.__rlshift__, DIFFERENTIABLE["doubled"]    # only an illustration
    """

    def register(function: Operation) -> Operation:
        here = method or _method(function)
        here.__doc__ = here.__doc__ or function.__doc__
        for name in names:
            setattr(Tensor, name, here)
        if operator:
            setattr(Tensor, f"__{operator}__", lambda a, b: function(a, b))
            setattr(Tensor, f"__r{operator}__", lambda a, b: function(b, a))
        DIFFERENTIABLE.update(dict.fromkeys((*names, *numpy), function))
        return function

    return register


def _method(function: Callable[..., Any]) -> Any:
    """A function as a method: a primitive is an object, and only functions receive `self`."""

    def method(self: Tensor, *arguments: Any, **settings: Any) -> Any:
        return function(self, *arguments, **settings)

    method.__name__ = function.__name__
    return method
