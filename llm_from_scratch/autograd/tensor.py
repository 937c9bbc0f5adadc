"""A NumPy array that remembers how it was computed.

`Tensor` holds the values; a `Node` (one application of a primitive, see `graph.py`) holds what the backward pass needs.
What this module does not do: any mathematics. Operations are primitives: see `primitives.py`, `arithmetic.py` and its
siblings, and `interop.py` for what NumPy's own functions do with a Tensor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from .graph import Node, deliver, propagate

Arrayish = Union["Tensor", np.ndarray, float, int, list, tuple]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

_state = threading.local()  # each thread has its own switch: a sampling thread must not stop a training one


def grad_enabled() -> bool:
    """Whether operations in this thread are being recorded for a backward pass."""
    return getattr(_state, "enabled", True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the block (in this thread): for evaluation and sampling.

    >>> w = Tensor([2.0], requires_grad=True)
    >>> with no_grad():
    ...     y = w * w
    >>> y.requires_grad
    False
    """
    with _set_to(False):
        yield


@contextmanager
def recording() -> Iterator[None]:
    """Record inside the block (in this thread), whatever holds outside: for a backward that runs a forward again."""
    with _set_to(True):
        yield


@contextmanager
def _set_to(enabled: bool) -> Iterator[None]:
    before = grad_enabled()
    _state.enabled = enabled
    try:
        yield
    finally:
        _state.enabled = before


def _comparison(choose: np.ufunc) -> Callable[[Any, Any], Any]:
    """A comparison, entry by entry: a Tensor of booleans."""

    def compare(a: Any, b: Any) -> Any:
        if b is None or isinstance(b, (str, bytes)):
            return NotImplemented  # neither equal nor ordered
        return Tensor(choose(*(x.data if isinstance(x, Tensor) else native(np.asarray(x)) for x in (a, b))))

    return compare


class Tensor:
    """An array with, if asked for, a gradient.

    `data` is the ndarray; `grad` (an ndarray of the same shape, or None) is filled by `backward()` on leaves, that is
    on tensors made with `requires_grad=True`. Gradients add up until they are set to None.

    >>> a = Tensor([1.0, 2.0], requires_grad=True)
    >>> b = a + a                      # a is used twice …
    >>> c = (b * b).sum()              # … and so is b
    >>> c.backward()
    >>> a.grad                         # d(4a²)/da = 8a
    array([ 8., 16.])
    """

    __slots__ = ("__weakref__", "_node", "_output", "data", "grad", "requires_grad")

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            if data.requires_grad and not requires_grad and grad_enabled():
                raise TypeError(
                    "Tensor(t) of a t that requires a gradient would leave the graph in silence: use t itself, "
                    "t.detach(), or requires_grad=True for a new leaf"
                )
            data = data.data
        array = native(np.asarray(data))
        if array.dtype not in FLOATS and array.dtype.kind not in "iub":
            raise TypeError(
                f"a Tensor holds float32, float64, integers or booleans, not {array.dtype}; "
                "convert first, for example with .astype(np.float32)"
            )
        if requires_grad and array.dtype not in FLOATS:
            raise TypeError(f"only float32 and float64 tensors can require a gradient, not {array.dtype}")
        self.data: np.ndarray = array
        self.grad: np.ndarray | None = None
        self.requires_grad: bool = requires_grad
        self._node: Node | None = None
        self._output = 0

    @property
    def stored(self) -> np.ndarray:
        """The array that is kept, and that a checkpoint writes: `data`, but for a `BFloat16Tensor`."""
        return self.data

    # What an array can tell about itself.
    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The array's dtype."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.data.size

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a Tensor without axes holds a single number and cannot be iterated over")
        return (self[i] for i in range(len(self)))

    # Comparisons have no gradient.
    __eq__ = _comparison(np.equal)  # type: ignore[assignment]
    __ne__ = _comparison(np.not_equal)  # type: ignore[assignment]
    __lt__ = _comparison(np.less)
    __le__ = _comparison(np.less_equal)
    __gt__ = _comparison(np.greater)
    __ge__ = _comparison(np.greater_equal)
    __hash__ = object.__hash__  # a tensor is a key by what it is, not by what it holds

    def item(self) -> float:
        """The single entry as a Python number; an error if there is more than one."""
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The ndarray itself (not a copy)."""
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad and grad_enabled():
            raise refusal("making an array", None)
        return np.array(self.data, dtype=dtype, copy=copy)

    def detach(self) -> Tensor:
        """The same values, cut off from the graph."""
        return Tensor(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __repr__(self) -> str:
        body = np.array2string(self.data, precision=4, separator=", ", prefix="Tensor(")
        return f"Tensor({body}{', requires_grad=True' if self.requires_grad and self._node is None else ''})"

    def backward(
        self,
        gradient: np.ndarray | None = None,
        *,
        into: dict[Tensor, np.ndarray] | None = None,
        finished: Callable[[Tensor], None] | None = None,
    ) -> None:
        """Add the derivative of this tensor to the `.grad` of every leaf it was computed from.

        gradient: the cotangent, same shape as this tensor; may be left out for a single number (then it is 1).
        into: collect the leaves' gradients in this dictionary instead of in `.grad` (for threads that share leaves).
        finished: called on the way with each leaf whose gradient is complete, after the last of its uses; not with
        those of which that cannot be told (in a graph with a `rerun` that does not say what it uses).

        The graph is released on the way: a second backward through it raises ValueError.
        """
        if not self.requires_grad:
            raise ValueError(
                "backward() on a tensor that depends on nothing with requires_grad=True (or was computed under no_grad)"
            )
        if gradient is None:
            if self.size != 1:
                raise ValueError(
                    f"backward() without a gradient needs a single number, this tensor has shape {self.shape}; "
                    "reduce it first (.sum(), .mean()) or pass the gradient"
                )
            gradient = np.ones(self.shape, self.dtype)
        gradient = np.asarray(gradient, dtype=self.dtype)
        if gradient.shape != self.shape:
            raise ValueError(f"the gradient has shape {gradient.shape}, the tensor {self.shape}")
        if self._node is None:
            deliver(self, gradient, False, into)
            if finished is not None:
                finished(self)
        else:
            propagate(self._node, self._output, gradient, into, finished)

    if TYPE_CHECKING:  # each put on the class where its operation is defined: see operators.py

        def __add__(self, other: Arrayish) -> Tensor: ...
        def __radd__(self, other: Arrayish) -> Tensor: ...
        def __sub__(self, other: Arrayish) -> Tensor: ...
        def __rsub__(self, other: Arrayish) -> Tensor: ...
        def __mul__(self, other: Arrayish) -> Tensor: ...
        def __rmul__(self, other: Arrayish) -> Tensor: ...
        def __truediv__(self, other: Arrayish) -> Tensor: ...
        def __rtruediv__(self, other: Arrayish) -> Tensor: ...
        def __matmul__(self, other: Arrayish) -> Tensor: ...
        def __rmatmul__(self, other: Arrayish) -> Tensor: ...
        def __pow__(self, exponent: Arrayish) -> Tensor: ...
        def __rpow__(self, base: Arrayish) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """The sum over `axis` (None: all): (...) -> (...) without it, or of length 1 with keepdims."""

        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """The arithmetic mean over `axis`; shapes as of `sum`."""

        def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
            """The variance over `axis`, divided by their number minus ddof; shapes as of `sum`."""

        def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
            """The root of `var`; shapes as of `sum`."""

        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """The largest entry over `axis`; shapes as of `sum`."""

        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """The smallest entry over `axis`; shapes as of `sum`."""

        def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """The product over `axis`; shapes as of `sum`."""

        def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor:
            """ln Σ exp(x) over `axis`, without overflow; shapes as of `sum`."""

        def cumsum(self, axis: int | None = None) -> Tensor:
            """Running sums along `axis`: (...) -> (...); None: over all in a row, (size,)."""

        def sort(self, axis: int | None = -1) -> Tensor:
            """Ascending along `axis`: (...) -> (...); None: all in a row, (size,)."""

        def abs(self) -> Tensor:
            """|x|, entry by entry: (...) -> (...)."""

        def exp(self) -> Tensor:
            """e to the x, entry by entry: (...) -> (...)."""

        def log(self) -> Tensor:
            """The natural logarithm, entry by entry: (...) -> (...)."""

        def sqrt(self) -> Tensor:
            """The square root, entry by entry: (...) -> (...)."""

        def sin(self) -> Tensor:
            """The sine, entry by entry: (...) -> (...)."""

        def cos(self) -> Tensor:
            """The cosine, entry by entry: (...) -> (...)."""

        def tanh(self) -> Tensor:
            """The hyperbolic tangent, entry by entry: (...) -> (...)."""

        def clip(self, low: Any = None, high: Any = None) -> Tensor:
            """What lies below `low` or above `high` set to it: (...) -> (...)."""

        def reshape(self, *shape: Any) -> Tensor:
            """The same entries in another shape: (...) -> shape, one of whose lengths may be -1."""

        def ravel(self) -> Tensor:
            """All entries in one row: (...) -> (size,)."""

        def flatten(self) -> Tensor:
            """All entries in one row: (...) -> (size,)."""

        def squeeze(self, axis: Any = None) -> Tensor:
            """Without its axes of length 1, or without those of `axis`: (2, 1, 3) -> (2, 3)."""

        def transpose(self, *axes: Any) -> Tensor:
            """The axes in the order given, or turned round: (2, 3, 4) -> (4, 3, 2)."""

        def swapaxes(self, a: int, b: int) -> Tensor:
            """Two axes exchanged: (2, 3, 4) -> (4, 3, 2) with 0 and 2."""

        def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
            """Each entry `repeats` times along `axis`: (2, 3) -> (2, 6) with 2 and 1; None: all in a row."""

        def pad(self, widths: Any, value: float = 0.0) -> Tensor:
            """A constant around it, widths as of np.pad: (2, 3) -> (4, 5) with 1."""

        def split(self, sections: Any, axis: int = 0) -> list[Tensor]:
            """Cut along `axis`, as np.split does: (4, 3) -> two of (2, 3) with 2."""

        def astype(self, dtype: Any) -> Tensor:
            """The same numbers in another dtype: (...) -> (...)."""

        @property
        def T(self) -> Tensor:
            """The axes turned round: (2, 3) -> (3, 2)."""


def as_tensor(value: Arrayish) -> Tensor:
    """`value` itself if it is a Tensor, else a Tensor of it."""
    return value if isinstance(value, Tensor) else Tensor(value)


def native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order; files often hold the other one, and compiled loops know only this."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def refusal(called: str, ours: Any) -> TypeError:
    """The error for a NumPy function that would lose a gradient; `ours` is the function that keeps it, if there is."""
    instead = f"use llm_from_scratch.autograd.{ours.__name__}, " if ours is not None else ""
    return TypeError(
        f"{called} would take a Tensor that requires a gradient out of its graph without a word: {instead}"
        "stack(...) to join tensors, .data or .detach() where no gradient is wanted"
    )
