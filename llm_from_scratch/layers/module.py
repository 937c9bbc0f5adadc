"""`Module`: something that owns parameters, and finds, freezes and replaces them by looking at its own attributes.

A parameter is any Tensor stored on a module, in a list, or in a dict; its name is the path to it
("layers.0.mixer.query.weight"). A tensor, or a module, reachable by two paths is one, under its first name.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ..autograd import Tensor
from .described import ask

Initializer = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
# What picks modules or parameters: a type, a pattern of their path ("layers.*.mixer.query"), or (path, thing) -> bool.
Predicate = type | str | Callable[[str, Any], bool]


class StoredWeight:
    """A weight kept in another form than numbers, such as packed blocks: it is counted and saved, but not trained.

    Modules hold one where they would hold a Tensor. Subclasses are dataclasses of arrays and of fields that JSON can
    hold (or say `arrays`, `fields` and `of_parts` themselves), and have `kind`, `shape`, `nbytes`, `expand()` and
    `layer()`; NumPy sees the numbers, made when they are asked for.
    """

    kind: ClassVar[str]  # what files call it, see `quantization.stored`
    rounds_inputs: ClassVar[bool] = False  # whether a product is of rounded activations, and so not linear in them
    shape: tuple[int, ...]
    nbytes: int
    dtype = np.dtype(np.float32)  # of the numbers

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.expand(dtype or self.dtype)

    @property
    def rows_independent(self) -> bool:
        """Whether a row's product with it is the same, up to rounding, whatever other rows are multiplied with it."""
        return True

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, as an array of `shape`."""
        raise NotImplementedError

    def layer(self, bias: Tensor | None) -> Any:
        """The module that has this weight, in place of the one that had the numbers."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays it is made of, by name: what a file keeps as tensors."""
        return {name: value for name, value in self._parts() if isinstance(value, np.ndarray)}

    def fields(self) -> dict[str, Any]:
        """All else that it is made of, by name: what a file keeps as JSON."""
        return {name: value for name, value in self._parts() if not isinstance(value, np.ndarray)}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> Any:
        """The weight again. Raises ValueError or TypeError where the parts do not fit each other."""
        return cls(**arrays, **fields)

    def _parts(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]  # type: ignore[arg-type]


class Module:
    """Base of everything that owns parameters. Subclasses define `__call__`."""

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Every parameter once, with its path, in the order in which the modules were made."""
        for path, value in _once(self):
            if isinstance(value, Tensor):
                yield f"{prefix}.{path}" if prefix else path, value

    def parameters(self) -> Iterator[Tensor]:
        """Every parameter once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Every module once, with its path, this one first (under the empty path)."""
        for path, value in _once(self):
            if isinstance(value, Module):
                yield path, value

    def named_weights(self) -> Iterator[tuple[str, Tensor | StoredWeight]]:
        """Every parameter, and every weight kept in another form, once, with its path."""
        for path, value in _once(self):
            if not isinstance(value, Module):
                yield path, value

    def replace(self, predicate: Predicate, make: Callable[[Any], Any]) -> list[str]:
        """Swap the modules below this one that `predicate` picks for `make(module)`; the paths of those swapped.

        A module that is used in several places (a tied head's embedding) is made once and swapped in all of them.
        Inside a module that is swapped nothing is looked for. If `make` raises, nothing is changed.

        >>> from .basic import Linear
        >>> model = Module()
        >>> model.first, model.second = (Linear(2, 3, rng=None) for _ in range(2))
        >>> model.replace("sec*", lambda old: Linear(2, 5, rng=None)), model.second.weight.shape
        (['second'], (2, 5))
        """
        picks = _picker(predicate)
        paths: list[str] = []
        made: dict[int, tuple[Any, Any]] = {}  # both are held, so that no id is given away meanwhile
        for path, module in list(self.named_modules())[1:]:
            if picks(path, module) and not any(path.startswith(f"{outer}.") for outer in paths):
                paths.append(path)
                made[id(module)] = module, make(module)
        _swap(self, made, set())
        return paths

    def freeze(self, predicate: Predicate = "*") -> list[str]:
        """Stop the gradients of the parameters that `predicate` picks, all by default; their names."""
        return self._set_requires_grad(predicate, False)

    def unfreeze(self, predicate: Predicate = "*") -> list[str]:
        """Let the parameters that `predicate` picks be trained (again), all by default; their names."""
        return self._set_requires_grad(predicate, True)

    def _set_requires_grad(self, predicate: Predicate, wanted: bool) -> list[str]:
        picks = _picker(predicate)
        picked = [(name, parameter) for name, parameter in self.named_parameters() if picks(name, parameter)]
        for _, parameter in picked:
            parameter.requires_grad, parameter.grad = wanted, None
        return [name for name, _ in picked]

    def weights(self) -> dict[str, Any]:
        """The weights by name: the parameters' arrays as they are kept, and what is kept in another form."""
        return {name: w.stored if isinstance(w, Tensor) else w for name, w in self.named_weights()}

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
        if dtype != np.float32:
            for name, weight in self.named_weights():
                if isinstance(weight, StoredWeight):
                    raise TypeError(f"{name} is packed, and packed weights compute in float32, not {dtype}")
                if weight.stored.dtype != weight.dtype:
                    raise TypeError(f"{name} is stored in {weight.stored.dtype} and computes in float32, not {dtype}")
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
            parameter.grad = None
        return self

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the parameters; float32 where there are none."""
        return next((parameter.dtype for parameter in self.parameters()), np.dtype(np.float32))

    @property
    def parameter_count(self) -> int:
        """How many numbers the weights hold, packed ones included; a tied one counts once."""
        return sum(math.prod(weight.shape) for _, weight in self.named_weights())

    @property
    def nbytes(self) -> int:
        """Bytes the weights take as they are held."""
        weights = self.named_weights()
        return sum(
            math.prod(w.shape) * w.stored.dtype.itemsize if isinstance(w, Tensor) else w.nbytes for _, w in weights
        )

    def __repr__(self) -> str:
        words = f"{ask(self.spec, 'words')}, " if hasattr(self, "spec") else ""
        return f"{type(self).__name__}({words}{self.parameter_count:,} parameters)"


def _once(module: Module) -> Iterator[tuple[str, Any]]:
    """Modules, parameters and stored weights with their first paths."""
    seen: set[int] = set()
    for path, value in _walk(module, ""):
        if id(value) not in seen:
            seen.add(id(value))
            yield path, value


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, StoredWeight)):
        yield path, value
        return
    if isinstance(value, Module):
        yield path, value
    for name, child in _children(value):
        yield from _walk(child, f"{path}.{name}" if path else str(name))


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Module):
        return list(vars(value).items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return list(value.items()) if isinstance(value, dict) else []


def _swap(value: Any, made: Mapping[int, tuple[Any, Any]], seen: set[int]) -> Any:
    """`value`, or what was made for it; lists, dicts and modules are changed in place."""
    if id(value) in made:
        return made[id(value)][1]
    if id(value) in seen:
        return value
    seen.add(id(value))
    swapped = {name: new for name, child in _children(value) if (new := _swap(child, made, seen)) is not child}
    if isinstance(value, tuple) and swapped:
        changed = [swapped.get(i, child) for i, child in enumerate(value)]
        return type(value)(*changed) if hasattr(value, "_fields") else tuple(changed)
    for name, new in swapped.items():
        if isinstance(value, Module):
            setattr(value, name, new)
        else:
            value[name] = new
    return value


def _picker(predicate: Predicate) -> Callable[[str, Any], bool]:
    if isinstance(predicate, str):
        return lambda path, _: fnmatch.fnmatchcase(path, predicate)
    if isinstance(predicate, type):
        return lambda _, thing: isinstance(thing, predicate)
    if callable(predicate):
        return predicate
    raise TypeError(
        f"what picks is a type, a pattern such as 'layers.*.mixer', or a function of path and module; not {predicate!r}"
    )


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
