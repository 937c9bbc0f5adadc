"""From a recipe to what is to be done, tensor by tensor; everything is checked that can be before a number is read."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .members import AFTER, BEFORE, Member, differing
from .methods import REQUIRED, Method, Parameter, Settings, check_names, find_method, rehearse
from .recipe_file import Recipe, Slice, Source
from .recipe_values import filters, value_at


@dataclasses.dataclass(frozen=True)
class Part:
    """One tensor of the result: name, shape and number format; the stored tensors it is made of, the base's first where
    the method has one; the settings that hold for it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    sources: tuple[tuple[Member, str], ...]
    settings: Settings


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that a merge does. layers: (model, number) of each layer of the result, the first giving its config; notes:
    what may be meant, but looks odd.
    """

    parts: tuple[Part, ...]
    layers: tuple[tuple[Member, int], ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Row:
    """A slice with its models opened, the base first where the method has one."""

    definition: Slice
    sources: tuple[Source, ...]
    members: tuple[Member, ...]
    count: int

    def number(self, k: int, index: int) -> int:
        """Which layer of its k-th model is the slice's layer `index`."""
        layers = self.sources[k].layers
        return index + (layers[0] if layers else 0)


def make_plan(recipe: Recipe, members: Mapping[str, Member], seed: int) -> Plan:
    """What the recipe asks for. ValueError naming the method, setting, model or differing tensor."""
    method = find_method(recipe.method)
    for where, settings, of_a_model in recipe.settings():
        check_names(where, list(settings), recipe.method, of_a_model)
    rows = [_row(recipe.method, method, part, members) for part in recipe.slices]
    planner = _Planner(recipe, method, seed)
    planner.group(rows[0], BEFORE, 0.0)
    depth = 0
    for row in rows:
        for index in range(row.count):
            # As mergekit has it: t runs from 0 to 1 over the slice; a slice of a single layer is at the end.
            planner.group(row, index, index / (row.count - 1) if row.count > 1 else 1.0, depth)
            depth += 1
    planner.group(rows[-1], AFTER, 0.0)
    for row in rows:
        _check_alike(row)
    layers = [(row.members[0], row.number(0, index)) for row in rows for index in range(row.count)]
    _check_whole_model(planner.parts)
    return Plan(tuple(planner.parts), tuple(layers), _notes(recipe, planner.parts))


def _row(name: str, method: Method, part: Slice, members: Mapping[str, Member]) -> _Row:
    sources = list(part.sources)
    if method.base:
        base = next((source for source in sources if source.model == part.base), None)
        if part.base is None:
            raise ValueError(f"{name} needs a base_model: what the models were tuned from")
        if base is None:
            raise ValueError(f"list the base {part.base} among the sources of each slice, with its layer_range")
        sources = [base, *(source for source in sources if source is not base)]
    count, least, most = len(sources) - method.base, method.least, method.most
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"at least {least}"
        raise ValueError(f"{name} merges {wanted} model(s){' besides the base' * method.base}, and here are {count}")
    opened = [members[source.model] for source in sources]
    for source, member in zip(sources, opened):
        if source.layers and source.layers[1] > member.depth:
            raise ValueError(f"layer_range {list(source.layers)} of {source.model}, which has {member.depth} layers")
    layers = sources[0].layers
    deepest = max(member.depth for member in opened)  # the others lack its last layers, and are refused for it
    return _Row(part, tuple(sources), tuple(opened), layers[1] - layers[0] if layers else deepest)


class _Planner:
    """Collects the parts of the result, group by group of tensors that stand in one layer or outside."""

    def __init__(self, recipe: Recipe, method: Method, seed: int) -> None:
        self.recipe, self.method, self.seed = recipe, method, seed
        self.parts: list[Part] = []
        self.rehearsed: set[str] = set()

    def group(self, row: _Row, index: int | str, t: float, depth: int = 0) -> None:
        """The tensors of a layer (index within the slice, depth in the result) or of those BEFORE and AFTER all."""
        keys = [index if isinstance(index, str) else row.number(k, index) for k in range(len(row.members))]
        groups = [member.groups.get(key, {}) for member, key in zip(row.members, keys)]
        for name in _same_tensors(row.members, groups, keys):
            names = [name.format(key) for key in keys]
            stored = tuple((member, group[name]) for member, group in zip(row.members, groups))
            member, first = stored[0]
            dtype = np.dtype(self.recipe.dtype) if self.recipe.dtype else member.dtype(first)
            settings = self._settings(row, name.format(depth), names, t)
            self.parts.append(Part(name.format(depth), member.shape(first), dtype, stored, settings))

    def _settings(self, row: _Row, name: str, names: list[str], t: float) -> Settings:
        outer = [row.definition.parameters, self.recipe.parameters]
        shared: dict[str, Any] = {}
        own: dict[str, tuple[Any, ...]] = {}
        for key, parameter in self.method.parameters.items():
            find = functools.partial(_find, key, parameter, t=t)
            if parameter.own:
                models = list(zip(row.sources, names))[self.method.base :]
                own[key] = tuple(find([source.parameters, *outer], at, model=source.model) for source, at in models)
            else:
                shared[key] = find(outer, name)
        settings = Settings(shared, own, np.random.default_rng([self.seed, zlib.crc32(name.encode())]))
        if repr((shared, own)) not in self.rehearsed:
            try:
                rehearse(self.recipe.method, settings, len(row.members) - self.method.base)
            except (ValueError, TypeError) as error:
                raise type(error)(f"{self.recipe.method} of {name}: {error}") from None
            self.rehearsed.add(repr((shared, own)))
        return settings


def _find(
    key: str, parameter: Parameter, scopes: list[Mapping[str, Any]], name: str, *, t: float, model: str = ""
) -> Any:
    for scope in scopes:
        if key in scope:
            try:
                value = value_at(scope[key], name, t, parameter.kind)
            except ValueError as error:
                raise ValueError(f"{key} of {name}: {error}") from None
            if value is not None:
                return value
    if parameter.default is REQUIRED:
        of = f" for the model {model}" if model else ""
        raise ValueError(f"{key} is missing{of} ({parameter.about}): no setting fits the tensor {name}")
    return parameter.default


def _same_tensors(members: tuple[Member, ...], groups: list[dict[str, str]], keys: list[Any]) -> list[str]:
    """The names that all have, with equal shapes; ValueError naming the first tensor in which they differ."""
    first, names = members[0], list(groups[0])
    for member, group, key in zip(members[1:], groups[1:], keys[1:]):
        for name in [*names, *group]:
            if name not in group or name not in groups[0]:
                has, lacks = (first, member) if name in groups[0] else (member, first)
                full = name.format(keys[0] if has is first else key)
                raise ValueError(
                    f"{full} is a tensor of {has.path} and not of {lacks.path}: models of one architecture are merged "
                    f"(here {_kind(has)} and {_kind(lacks)})"
                )
            mine, other = first.shape(groups[0][name]), member.shape(group[name])
            if mine != other:
                raise ValueError(f"{name.format(key)} has shape {mine} in {first.path} and {other} in {member.path}")
    return names


def _kind(member: Member) -> str:
    head = ", its head tied" if member.spec.tied else ""
    return f"{member.config.get('model_type', 'a design of its own')}, {member.depth} layers{head}"


def _check_alike(row: _Row) -> None:
    """ValueError where models with the same tensors compute differently with them."""
    first = row.members[0]
    specs = []
    for k, member in enumerate(row.members):
        layers = tuple(member.spec.layers[row.number(k, index)] for index in range(row.count))
        specs.append(dataclasses.replace(member.spec, layers=layers))
    for member, spec in zip(row.members[1:], specs[1:]):
        found = differing(specs[0], spec)
        if found:
            raise ValueError(f"{first.path} and {member.path} have equal tensors but compute differently: {found}")


def _check_whole_model(parts: list[Part]) -> None:
    """The authors' threshold is one for the whole model: settings that change from tensor to tensor contradict it."""
    if any(part.settings.shared.get("dialect") == "authors" for part in parts):
        seen = {(part.settings.shared["dialect"], part.settings.own["density"]) for part in parts}
        if len(seen) > 1:
            raise ValueError("the authors' dialect has one threshold for the whole model: one dialect, one density")


def _notes(recipe: Recipe, parts: list[Part]) -> tuple[str, ...]:
    named = filters(setting for _, settings, _ in recipe.settings() for setting in settings.values())
    idle = sorted(part for part in named if not any(part in tensor.name for tensor in parts))
    return tuple(f"the filter {part!r} fits no tensor" for part in idle)
