"""`Module`: something that owns parameters, and finds them by looking at its own attributes.

A parameter is any Tensor stored on a module, in a list, or in a dict; its name is the path to it
("layers.0.mixer.query.weight"). A tensor reachable by two paths is one parameter, under its first name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor

Initializer = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


class Module:
    """Base of everything that owns parameters. Subclasses define `__call__`."""

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Every parameter once, with its path, in the order in which the modules were made."""
        seen: set[int] = set()
        for path, value in _walk(self, prefix):
            if isinstance(value, Tensor) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def parameters(self) -> Iterator[Tensor]:
        """Every parameter once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Every module below this one with its path, this one first (under the empty path)."""
        for path, value in _walk(self, ""):
            if isinstance(value, Module):
                yield path, value

    def state_dict(self) -> dict[str, np.ndarray]:
        """The parameters' arrays by name: the arrays themselves, not copies."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the arrays of `state` into the parameters; nothing is changed unless all names and shapes agree."""
        parameters = dict(self.named_parameters())
        missing, surplus = sorted(parameters.keys() - state.keys()), sorted(state.keys() - parameters.keys())
        if missing or surplus:
            raise ValueError(f"the state does not fit: missing {_some(missing)}, unexpected {_some(surplus)}")
        arrays = {name: np.asarray(value) for name, value in state.items()}
        for name, parameter in parameters.items():
            if arrays[name].shape != parameter.shape:
                raise ValueError(f"{name} has shape {parameter.shape}, the state holds {arrays[name].shape}")
        for name, parameter in parameters.items():
            parameter.data = np.array(arrays[name], dtype=parameter.dtype, order="C")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def astype(self, dtype: Any) -> Any:
        """Convert every parameter in place to float32 or float64; returns the module."""
        dtype = np.dtype(dtype)
        if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"models compute in float32 or float64, not {dtype}")
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
            parameter.grad = None
        return self

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the parameters."""
        return next(self.parameters()).dtype

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters hold; a tied tensor counts once."""
        return sum(parameter.size for parameter in self.parameters())


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if isinstance(value, Module):
        yield path, value
        children: Any = vars(value).items()
    elif isinstance(value, (list, tuple)):
        children = ((str(i), child) for i, child in enumerate(value))
    elif isinstance(value, dict):
        children = value.items()
    else:
        return
    for name, child in children:
        yield from _walk(child, f"{path}.{name}" if path else str(name))


def _some(names: list[str]) -> str:
    return "nothing" if not names else ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def parameter(rng: np.random.Generator | None, shape: tuple[int, ...], init: Initializer) -> Tensor:
    """A float32 parameter. Without a generator it is a placeholder of that shape which takes no memory.

    >>> import numpy as np
    >>> huge = parameter(None, (100_000, 100_000), np.zeros)
    >>> huge.size, huge.data.strides
    (10000000000, (0, 0))
    """
    if rng is None:
        return Tensor(np.broadcast_to(np.float32(0), shape), requires_grad=True)
    return Tensor(np.ascontiguousarray(init(rng, shape), dtype=np.float32), requires_grad=True)
