"""`Adapted`: a module with adapters around it, which takes its place in the model.

An adapter is a module that is called with what it wraps: `adapter(inner, *inputs)`, where `inner(*inputs)` is what the
part would put out without it. It can tell what wants to be known of it by the methods of `Adapter`.
"""

from __future__ import annotations

import copy
import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

from ..layers import Module


class Adapter(Module):
    """Base of what may stand around a module. technique: its name in messages and tables."""

    technique = "adapter"
    order = 0  # in which the adapters of a model were added

    def __call__(self, inner: Any, *inputs: Any) -> Any:
        """What the adapted module puts out."""
        raise NotImplementedError

    def merged(self, base: Any) -> Any:
        """A module of the kind of `base` that puts out what base and adapter do; ValueError where there is none."""
        raise ValueError(f"a {self.technique} is not part of a matrix, and cannot be merged into one: keep it beside")


class Adapted(Module):
    """A module and its adapters by name, of which those in `active` act, the first of them innermost.

    For everything but a call it is the module that it stands for.
    """

    def __init__(self, base: Any) -> None:
        self.base = base
        self.adapters: dict[str, Adapter] = {}
        self.active: tuple[str, ...] = ()

    def __call__(self, *inputs: Any) -> Any:
        call = self.base
        for name in self.active:
            call = functools.partial(self.adapters[name], call)
        return call(*inputs)

    def __getattr__(self, name: str) -> Any:  # asked for what is not here: `spec`, `new_memory`, `scores`, `weight` …
        if name.startswith("__") or "base" not in vars(self):
            raise AttributeError(name)
        return getattr(self.base, name)


def adapted_places(model: Any) -> dict[str, Any]:
    """What carries adapters in a model by path: each `Adapted`, and the decoder's prefix under "prefix"."""
    found = {path: module for path, module in model.named_modules() if isinstance(module, Adapted)}
    prefix = getattr(model, "prefix", None)
    return found if prefix is None else {**found, "prefix": prefix}


def names(model: Any) -> list[str]:
    """The names of the adapters that a model has, in the order in which they were added."""
    found = {name: part.order for place in adapted_places(model).values() for name, part in place.adapters.items()}
    return sorted(found, key=found.__getitem__)


def active_names(model: Any) -> list[str]:
    """The names of those that act."""
    acting = {name for place in adapted_places(model).values() for name in place.active}
    return [name for name in names(model) if name in acting]


def check_name(model: Any, name: Any) -> None:
    """Raise unless `name` can be given to a new adapter."""
    if not isinstance(name, str) or not name or "." in name or "/" in name:
        raise ValueError(f"the name of an adapter is a text without dots and slashes, not {name!r}")
    if name in names(model):
        raise ValueError(f"the model has an adapter {name!r} already: give another name=, or remove that one first")


def is_number(value: Any) -> bool:
    """Whether a setting is a finite number, of Python or NumPy."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def check_known(model: Any, name: Any) -> None:
    """Raise unless the model has an adapter of that name."""
    if name not in (known := names(model)):
        has = "has " + ", ".join(map(repr, known)) if known else "has no adapters"
        raise ValueError(f"there is no adapter {name!r}: this model {has}")


def next_order(model: Any) -> int:
    """The number of the next adapter."""
    known = [part.order for place in adapted_places(model).values() for part in place.adapters.values()]
    return 1 + max(known, default=0)


def parts_of(model: Any, name: str) -> dict[str, Any]:
    """The parts of one adapter by the path that they adapt; ValueError if there is none of that name."""
    check_known(model, name)
    return {path: place.adapters[name] for path, place in adapted_places(model).items() if name in place.adapters}


def attach(model: Any, name: str, parts: dict[str, Adapter], *, acting: bool = True) -> None:
    """Put an adapter's parts around the modules at their paths; unless `acting` is False it alone acts and trains.

    What can be wrong with the parts has been looked at: nothing here can fail half-way.
    """
    places = {path: module for path, module in model.named_modules() if path in parts}
    adapted = {path: module if isinstance(module, Adapted) else Adapted(module) for path, module in places.items()}
    order = next_order(model)
    for path, part in parts.items():
        part.order = order
        adapted[path].adapters[name] = part.astype(model.dtype)
    new = {id(place.base): place for path, place in adapted.items() if place is not places[path]}
    model.replace(lambda _, module: id(module) in new, lambda module: new[id(module)])
    if acting:
        model.freeze()
        activate(model, name)
    else:
        for part in parts.values():
            part.freeze()


def activate(model: Any, name: str | Sequence[str] | None) -> None:
    """Let an adapter act, or several in that order, and no other; None: the base alone. What acts is what trains.

    ValueError for a name that the model does not have.
    """
    wanted = () if name is None else (name,) if isinstance(name, str) else tuple(name)
    for one in wanted:
        check_known(model, one)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"an adapter acts once: {', '.join(wanted)} names one twice")
    for place in adapted_places(model).values():
        place.active = tuple(one for one in wanted if one in place.adapters)
        for one, part in place.adapters.items():
            for parameter in part.parameters():
                parameter.requires_grad = one in wanted


def remove(model: Any, name: str) -> None:
    """Take an adapter away; where none is left, the modules that were there before are put back, still frozen."""
    check_known(model, name)
    for place in adapted_places(model).values():
        place.adapters.pop(name, None)
        place.active = tuple(one for one in place.active if one != name)
    if getattr(model, "prefix", None) is not None and not model.prefix.adapters:
        model.prefix = None
    while model.replace(lambda _, m: isinstance(m, Adapted) and not m.adapters, lambda m: m.base):
        pass  # the outermost first: there may be others inside


def base_of(model: Any) -> Any:
    """The model without its adapters, as a second one beside it: the same weights, of which nothing is copied.

    An adapted policy is held to it while its adapter acts: a reference that takes no memory of its own. Where weights
    of the base are trained (`train_biases`), they change here too: then take copy.deepcopy(model) for a reference.
    """
    base = copy.deepcopy(model, {id(weight): weight for _, weight in model.named_weights()})
    for name in names(base):
        remove(base, name)
    return base
