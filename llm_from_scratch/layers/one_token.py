"""How layers say what they do with a single token: as steps that run without Python in between.

A module that can be told so has a method `one_token`, `matrix` or `norm_step`, which adds its part to a `Sketch`. It
counts only where the very class of a module defines it: a subclass, such as a part that is patched, may compute
something else, and whatever has no such method (an adapter around a matrix, a mixer of yours) is simply called.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels.token import Program
from ..kernels.token_matrices import Matrix, NormStep, vector
from ..kernels.token_steps import AddNorm, Part, Product
from .context import Context


class NotTold(Exception):
    """A module does not say what it does with one token, or not in these settings."""


@dataclass(frozen=True, eq=False)
class End:
    """Where a function's result goes: out = alpha · residual + result."""

    out: np.ndarray
    residual: np.ndarray | None = None
    alpha: float = 1.0


Bind = Callable[[Any, Any, Context], None]


class Sketch:
    """Steps as they are found, and what they rest on: objects, their types, and the arrays of parameters."""

    def __init__(self) -> None:
        self.steps: list[list[Part]] = []
        self.bound: list[tuple[Any, int, str, Bind]] = []  # part, layer, function, what gives it its memory
        self.before: list[Callable[[Context], None]] = []  # what is done before each token, once
        self._angles: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
        self.place = (0, "")
        self.parts: list[Any] = []
        self._objects: list[Any] = []
        self._types: list[type] = []
        self._owners: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._values: list[Any] = []
        self._tensors: list[Tensor] = []
        self._arrays: list[np.ndarray] = []

    def holds(self, parts: list[Any]) -> bool:
        """Whether these are the parts, and everything that was looked at is still what it was."""
        same = operator.is_
        return (
            len(parts) == len(self.parts)
            and all(map(same, parts, self.parts))
            and all(map(same, map(type, self._objects), self._types))
            and all(map(same, map(dict.get, self._owners, self._names), self._values))
            and all(map(same, map(_DATA, self._tensors), self._arrays))
        )

    def ask(self, module: Any, question: str, *args: Any) -> Any:
        """What a module answers, if its own class does; NotTold if not."""
        kind = type(module)
        self._objects.append(module)
        self._types.append(kind)
        for name, value in vars(module).items():
            self._owners.append(vars(module))
            self._names.append(name)
            self._values.append(value)
        if question not in vars(kind):
            raise NotTold(f"{kind.__name__} has no {question}")
        return getattr(module, question)(self, *args)

    def array(self, parameter: Any) -> Any:
        """The array of a parameter, None for None."""
        if parameter is None:
            return None
        if type(parameter) is not Tensor:
            raise NotTold(f"a {type(parameter).__name__} makes its numbers anew each time")
        self._tensors.append(parameter)
        self._arrays.append(array := parameter.data)
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            raise NotTold(f"steps compute in float32, on contiguous arrays; not {array.dtype}")
        return array

    def add(self, *parts: Part) -> None:
        """One more step, of parts that do not depend on each other."""
        self.steps.append(list(parts))

    def remember(self, part: Any, bind: Bind) -> None:
        """Before each token, `bind(part, memory, context)` gives the part its function's memory."""
        self.bound.append((part, *self.place, bind))

    def angles(self, rotary: Any) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of the angle of each pair, of the token at hand: the same arrays for all layers."""
        if rotary not in self._angles:
            cos, sin = (np.zeros(rotary.dims // 2, np.float32) for _ in range(2))

            def turn(context: Context) -> None:
                length = None if rotary.stretch is None else context.lengths.flat[0]
                angles = context.positions.flat[0] * rotary.inverse_frequency(length)
                cos[:], sin[:] = np.cos(angles), np.sin(angles)

            self._angles[rotary] = cos, sin
            self.before.append(turn)
        return self._angles[rotary]

    def product(self, x: np.ndarray, linear: Any, out: np.ndarray | None = None, **settings: Any) -> Product:
        """x times a linear layer, not added yet; a new vector by default."""
        matrix: Matrix = self.ask(linear, "matrix")
        return Product(x, [matrix], vector(matrix.outputs) if out is None else out, **settings)

    def norm(self, norm: Any) -> NormStep:
        """What a norm says of itself."""
        return self.ask(norm, "norm_step")

    def normed(self, x: np.ndarray, norm: Any, residual: np.ndarray | None = None, alpha: float = 1.0) -> np.ndarray:
        """A step: alpha · residual + norm(x)."""
        self.add(AddNorm(x, self.norm(norm), out := vector(x.size), residual, alpha))
        return out


_DATA = operator.attrgetter("data")


@dataclass(frozen=True, eq=False)
class Link:
    """A module that a token passes: the number of its layer, if it is one, and the width of what it gives."""

    module: Any
    width: int
    layer: int | None = None


class Chain:
    """Links that a token passes one after the other: programs of those that can be told, calls of the others."""

    def __init__(self, links: list[Link], width: int) -> None:
        self.sketch = sketch = Sketch()
        self._plan: list[Any] = []  # a link to be called, or (program, its input, its output, what is bound)
        begin = x = vector(width)
        self.before = sketch.before
        for link in (*links, None):
            steps, bound = len(sketch.steps), len(sketch.bound)
            told = None
            if link is not None:
                sketch.place = (-1 if link.layer is None else link.layer, "")
                try:
                    told = sketch.ask(link.module, "one_token", x)
                except NotTold:
                    del sketch.steps[steps:], sketch.bound[bound:]
            if told is not None:
                x = told
                continue
            if sketch.steps:
                self._plan.append((Program(sketch.steps), begin, x, sketch.bound))
                sketch.steps, sketch.bound = [], []
            if link is not None:
                self._plan.append(link)
                begin = x = vector(link.width)
        self.tells = any(isinstance(item, tuple) for item in self._plan)

    def run(self, x: np.ndarray, layers: list[dict[str, Any]], context: Context) -> np.ndarray:
        """Pass a token (width,) through all links -> a new array."""
        for prepare in self.before:
            prepare(context)
        for item in self._plan:
            if isinstance(item, Link):
                y, memory = Tensor(x[None, None]), () if item.layer is None else (layers[item.layer], context)
                x = item.module(y, *memory).data[0, 0]
                continue
            program, begin, end, bound = item
            begin[:] = x
            for part, layer, name, bind in bound:
                bind(part, layers[layer][name], context)
            program.run()
            x = end
        return x.copy()


class OneToken:
    """The fast way of a model for one token of one row: chains, made anew when something they rest on was replaced.

    Weights that change in place are seen, since nothing is copied. A chain owns the vectors that it computes, so that
    callers in several threads have one each.
    """

    def __init__(self) -> None:
        self._free: list[Chain] = []

    def __deepcopy__(self, memo: Any) -> OneToken:
        return OneToken()  # of another model, other weights

    def __reduce__(self) -> Any:
        return OneToken, ()

    def run(
        self,
        parts: list[Any],
        links: Callable[[], list[Link]],
        x: np.ndarray,
        layers: list[dict[str, Any]],
        context: Context,
    ) -> np.ndarray | None:
        """What the last link gives for x (width,); None where no link can be told. parts: what links are made of."""
        try:
            chain = self._free.pop()
        except IndexError:
            chain = None
        if chain is None or not chain.sketch.holds(parts):
            chain = Chain(links(), x.size)
            chain.sketch.parts = parts
        try:
            return chain.run(x, layers, context) if chain.tells else None
        finally:
            self._free.append(chain)
