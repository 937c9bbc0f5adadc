"""Weight tables: which of our parameters is which tensor of a published checkpoint, read both ways.

A row pairs names and says how the two layouts differ. Reading, writing and exporting gradients walk the same
rows, so they cannot disagree. What is ignored is named; anything else missing, surplus or mis-shaped is an
error that names it, raised before memory is allocated. What this module does not do: files, or knowing a
family (`families/`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import ml_dtypes
import numpy as np

from ...files.safetensors import TensorSource
from .layouts import AS_IS, Layout

Shapes = Mapping[str, tuple[int, ...]]
STORED_FLOATS = tuple(map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)))


class Store(Protocol):
    """Where published tensors come from: `files.sharded.Checkpoint`, or anything that offers the same."""

    def __iter__(self) -> Any: ...
    def __getitem__(self, name: str) -> np.ndarray: ...
    def entry(self, name: str) -> Any:
        """Something with `.dtype` and `.shape`, without reading the tensor."""

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        """Copy a view of tensor `name` into an array, converting."""

    def release(self, name: str) -> None:
        """The tensor has been read."""


@dataclass(frozen=True)
class Row:
    """Our parameter(s) `ours` are their tensor `theirs`; `layout` says how they lie in it.

    `{w}` stands for weight or bias, any other `{name}` for one part of a path (`{i}`: the layer's number). A
    row whose parameters a model does not have (no biases, a tied head) does not apply to it. precise: stored in float32
    at least, also where half precision is asked for (the poles of a long filter).
    """

    ours: str | tuple[str, ...]
    theirs: str
    layout: Layout = AS_IS
    precise: bool = False


class Binding(NamedTuple):
    """A row applied to a model: these parameters are this tensor, which has this shape."""

    ours: tuple[str, ...]
    theirs: str
    layout: Layout
    shape: tuple[int, ...]
    precise: bool = False


@dataclass(frozen=True)
class WeightTable:
    """All rows of a family.

    ignored: patterns of stored tensors that are not parameters (`*` stands for anything), such as causal
    masks. prefix: what every name but the head's starts with, and what files saved from the bare body leave
    out. tied: their head and the embedding that a tied model uses for it; a stored copy must equal the
    embedding. renamed: pairs (name in early releases, name in `rows`), read under either, written under the second.
    """

    rows: tuple[Row, ...]
    ignored: tuple[str, ...] = ()
    prefix: str = ""
    tied: tuple[str, str] | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    def bind(self, shapes: Shapes) -> list[Binding]:
        """Apply the rows to a model's parameters, {name: shape} -> a binding for each tensor.

        ValueError, naming row or parameter, unless every parameter is covered exactly once.

        >>> table = WeightTable((Row("layers.{i}.up.{w}", "h.{i}.fc.{w}"),))
        >>> [(b.ours, b.theirs) for b in table.bind({"layers.7.up.weight": (2, 3), "layers.7.up.bias": (3,)})]
        [(('layers.7.up.weight',), 'h.7.fc.weight'), (('layers.7.up.bias',), 'h.7.fc.bias')]
        """
        bindings: list[Binding] = []
        covered: set[str] = set()
        for row in self.rows:
            patterns = (row.ours,) if isinstance(row.ours, str) else row.ours
            first = re.compile(_regex(patterns[0]))
            for name in shapes:
                match = first.fullmatch(name)
                if not match:
                    continue
                ours = tuple(pattern.format(**match.groupdict()) for pattern in patterns)
                repeated = [other for other in ours if other in covered]
                absent = [other for other in ours if other not in shapes]
                if repeated or absent:
                    problem = f"{repeated[0]} is covered twice" if repeated else f"there is no {absent[0]}"
                    raise ValueError(f"weight table, row {row.theirs}: {problem}")
                covered.update(ours)
                shape = row.layout.stored_shape([shapes[other] for other in ours])
                bindings.append(Binding(ours, row.theirs.format(**match.groupdict()), row.layout, shape, row.precise))
        if len(covered) < len(shapes):
            raise ValueError(f"the weight table has no row for {_list(sorted(shapes.keys() - covered))}")
        return bindings

    def load(self, model: Any, store: Store, dtype: np.dtype | None) -> dict[str, np.dtype]:
        """Fill the model's parameters from `store`; return {their name: number format stored}.

        dtype: of the parameters; None is float32, or float64 where all tensors are stored so. Everything is checked
        first: ValueError naming every tensor that is missing, surplus, of another shape or no floating-point numbers,
        and, as it is read, one whose numbers are too large for dtype.
        """
        parameters = dict(model.named_parameters())
        shapes = {name: parameter.shape for name, parameter in parameters.items()}
        bindings, store, names = self.match(shapes, store)
        formats = {theirs: store.entry(name).dtype for theirs, name in names.items()}
        double = all(stored == np.float64 for stored in formats.values())
        wanted = dtype or np.dtype(np.float64 if double else np.float32)
        for binding in bindings:
            name, stored = names[binding.theirs], formats[binding.theirs]
            arrays = [np.empty(parameters[ours].shape, wanted) for ours in binding.ours]
            try:
                with np.errstate(over="raise"):
                    for theirs, ours in binding.layout.pairs(store[name], arrays):
                        store.copy(name, theirs, ours)
            except FloatingPointError:
                raise ValueError(f"tensor {name} is {stored} and holds numbers too large for {wanted}") from None
            store.release(name)
            for ours_name, array in zip(binding.ours, arrays, strict=True):
                parameters[ours_name].data = array
                parameters[ours_name].grad = None
        return formats

    def match(self, shapes: Shapes, store: Store) -> tuple[list[Binding], Store, dict[str, str]]:
        """The rows applied to a model's parameters, the store, and where in it each tensor stands: {their name: name}.

        Everything is checked, with the errors of `load`, and nothing read but a stored copy of a tied head.
        """
        bindings = self.bind(shapes)
        absent = frozenset(getattr(store, "absent", ()))  # listed by an index, held by no file
        store = self._respelled(store)
        stripped = self._stripped(bindings, store)
        self._check(bindings, store, stripped, absent)
        return bindings, store, {binding.theirs: binding.theirs[stripped(binding.theirs) :] for binding in bindings}

    def sources(
        self, arrays: Mapping[str, np.ndarray], formats: Mapping[str, np.dtype] | None = None
    ) -> dict[str, TensorSource]:
        """Our arrays {name: array} as their tensors, made one by one when they are written.

        formats: {their name: number format}; where none is given, the arrays' own. Numbers too large for their format
        are a ValueError when the tensor is made.
        """
        sources = {}
        for binding in self.bind({name: array.shape for name, array in arrays.items()}):
            parts = [arrays[name] for name in binding.ours]
            dtype = (formats or {}).get(binding.theirs, parts[0].dtype)
            if binding.precise and dtype.itemsize < 4:
                dtype = np.dtype(np.float32)
            sources[binding.theirs] = TensorSource(dtype, binding.shape, _maker(binding, parts, dtype))
        return sources

    def respelled(self, name: str) -> str:
        """A tensor's name as `rows` has it, whichever of its spellings is given."""
        for early, late in self.renamed:
            match = re.fullmatch(_regex(early), name)
            name = late.format(**match.groupdict()) if match else name
        return name

    def _respelled(self, store: Store) -> Store:
        found: dict[str, str] = {}
        for name in store:
            current = self.respelled(name)
            if current in found:
                raise ValueError(f"the weights hold {current} twice, as {found[current]} and as {name}")
            found[current] = name
        return store if all(new == old for new, old in found.items()) else _Respelled(store, found)

    def _stripped(self, bindings: list[Binding], store: Store) -> Any:
        # Saved from the bare body if not a single name carries the prefix.
        bare = self.prefix and not any(name.startswith(self.prefix) for name in store)
        return lambda name: len(self.prefix) if bare and name.startswith(self.prefix) else 0

    def _check(self, bindings: list[Binding], store: Store, stripped: Any, absent: frozenset[str]) -> None:
        expected = {binding.theirs[stripped(binding.theirs) :]: binding for binding in bindings}
        found = set(store)
        missing = [name for name in expected if name not in found]
        surplus = [name for name in sorted((found | absent) - expected.keys()) if not self._ignores(name)]
        if self.tied and self.tied[0] in surplus:
            if self.tied[0] in found:
                embedding = self.tied[1][stripped(self.tied[1]) :]
                self._check_stored_head(store, self.tied[0], embedding, expected)
            surplus.remove(self.tied[0])
        problems = []
        for name, binding in expected.items():
            if name not in found:
                continue
            entry = store.entry(name)
            if tuple(entry.shape) != binding.shape:
                problems.append(f"{name} has shape {tuple(entry.shape)}, the config asks for {binding.shape}")
            elif entry.dtype not in STORED_FLOATS:
                problems.append(f"{name} holds {entry.dtype}, not floating-point weights (a quantised checkpoint?)")
        if missing:
            listed = [name for name in missing if name in absent]
            problems.append(f"missing: {_list(missing)}" + f" (the index lists {_list(listed)})" * bool(listed))
        if surplus:
            problems.append(f"not expected: {_list(surplus)}")
        if problems:
            raise ValueError("the weights do not belong to this config. " + _list(problems, "; "))

    def _ignores(self, name: str) -> bool:
        return _ignoring(self.prefix, tuple(self.ignored)).fullmatch(name) is not None

    def _check_stored_head(self, store: Store, head: str, embedding: str, expected: Iterable[str]) -> None:
        if embedding not in expected or embedding not in set(store):
            return  # reported as missing
        shapes = store.entry(head).shape, store.entry(embedding).shape
        same = shapes[0] == shapes[1] and np.array_equal(store[head], store[embedding])
        store.release(head)
        store.release(embedding)
        if not same:
            raise ValueError(
                f"the config ties the head to the embedding, but the file stores a {head} that differs from "
                f'{embedding}: one would be lost. Set "tie_word_embeddings": false in config.json to use both'
            )


class _Respelled:
    """A store whose tensors go by other names: {the name asked for: the name stored}."""

    def __init__(self, store: Store, names: Mapping[str, str]) -> None:
        self._store, self._names = store, names

    def __iter__(self) -> Any:
        return iter(self._names)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._store[self._names[name]]

    def entry(self, name: str) -> Any:
        return self._store.entry(self._names[name])

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        self._store.copy(self._names[name], view, into)

    def release(self, name: str) -> None:
        self._store.release(self._names[name])


def _maker(binding: Binding, parts: list[np.ndarray], dtype: np.dtype) -> Any:
    def make() -> np.ndarray:
        stored = np.empty(binding.shape, dtype)
        with np.errstate(over="ignore"):  # looked for below: bfloat16 does not report it
            contiguous = [np.ascontiguousarray(part) for part in parts]
            for theirs, ours in binding.layout.pairs(stored, contiguous):
                np.copyto(theirs, ours, casting="unsafe")
        if dtype.itemsize < parts[0].dtype.itemsize and not np.isfinite(stored).all():
            if all(np.isfinite(part).all() for part in parts):
                raise ValueError(f"{binding.theirs} holds numbers too large for {dtype}: save with dtype=np.float32")
        return stored

    return make


@functools.cache  # asked once for each stored name, of which a hostile file may have any number
def _ignoring(prefix: str, patterns: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    return re.compile(rf"(?:{re.escape(prefix)})?(?:{either})" if patterns else r"(?!)")


@functools.cache
def _regex(pattern: str) -> str:
    parts = re.split(r"\{(\w+)\}", pattern)
    for k in range(0, len(parts), 2):
        parts[k] = re.escape(parts[k])
    for k in range(1, len(parts), 2):
        parts[k] = f"(?P<{parts[k]}>{'weight|bias' if parts[k] == 'w' else '[^.]+'})"
    return "".join(parts)


def _list(items: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(items) - 6} more" if len(items) > 6 else ""
    return separator.join(items[:6]) + more
