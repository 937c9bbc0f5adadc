"""Where an adapter can be put: the linear layers of a model, and its mixers and feed-forward parts, by their paths."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from ..layers import Embedding, Linear, StoredWeight
from ..models.heads import TiedHead
from .adapted import Adapted

ALL_LINEAR = "all-linear"


def is_linear(module: Any) -> bool:
    """Whether a module is a matrix with Linear's call, in whatever form it keeps that matrix."""
    if isinstance(module, Adapted):
        return is_linear(module.base)
    stored = isinstance(getattr(module, "weight", None), StoredWeight) and hasattr(module, "bias")
    return isinstance(module, Linear) or stored


def matrices(model: Any) -> dict[str, Any]:
    """Every linear layer by its path, then the embedding and a tied head, which are matrices too."""
    found = {}
    for path, module in _outermost(model):
        base = module.base if isinstance(module, Adapted) else module
        if is_linear(base) or isinstance(base, (Embedding, TiedHead)) or path == "embedding":
            found[path] = module
    return found


def functions(model: Any) -> dict[str, Any]:
    """The mixers and feed-forward parts by their paths: "layers.0.mixer", "layers.0.feed_forward", …"""
    return {
        f"layers.{i}.{name}": getattr(layer, name)
        for i, layer in enumerate(model.layers)
        for branch in layer.spec.branches
        for name in branch.functions
    }


def _outermost(model: Any) -> Iterable[tuple[str, Any]]:
    """All modules but those inside an adapted one that is a matrix itself (its base, its adapters)."""
    inside: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(outer) for outer in inside):
            continue
        if isinstance(module, Adapted):
            # A mixer may be adapted as a whole, and its matrices as well: those are looked for in its base.
            inside.append(f"{path}.adapters.")
            if is_linear(module) or not hasattr(module.base, "new_memory"):
                inside.append(f"{path}.base")
        yield path, module


def pick(model: Any, targets: Any, *, technique: str) -> dict[str, Any]:
    """The matrices that `targets` name: "query", "layers.*.mixer.value", "all-linear", one or several.

    A name is the end of a path, a pattern with * or ? is about the whole path, "all-linear" means every linear layer
    but the head. ValueError for a target that matches nothing, saying what there is; TypeError for what is no name.
    """
    wanted = (targets,) if isinstance(targets, str) else tuple(targets) if isinstance(targets, Iterable) else ()
    if not wanted or not all(isinstance(target, str) and target for target in wanted):
        raise TypeError(f"targets are names such as ('query', 'value'), got {targets!r}")
    there = matrices(model)
    found: dict[str, Any] = {}
    for target in wanted:
        matching = {path: module for path, module in there.items() if matches(path, module, target)}
        if not matching:
            raise ValueError(_nothing(model, there, target, technique))
        found.update(matching)
    return {path: module for path, module in there.items() if path in found}


def matches(path: str, module: Any, target: str) -> bool:
    """Whether a target, see `pick`, means the matrix at a path."""
    if target == ALL_LINEAR:
        return is_linear(module) and path != "head"
    plain = path.replace(".base.", ".")  # of a mixer that is adapted as a whole
    if any(mark in target for mark in "*?["):
        return fnmatch.fnmatchcase(plain, target)
    return plain == target or plain.endswith(f".{target}")


def _nothing(model: Any, there: Mapping[str, Any], target: str, technique: str) -> str:
    kinds: dict[str, list[str]] = {}
    for path, function in functions(model).items():
        inner = [name.rpartition(".")[2] for name, module in there.items() if name.startswith(f"{path}.")]
        kinds.setdefault(kind_of(function), []).extend(inner)
    parts = [f"{kind}: {', '.join(dict.fromkeys(inner)) or 'none'}" for kind, inner in kinds.items()]
    others = [path for path in there if not path.startswith("layers.")]
    return (
        f"{technique}: no linear layer of this model is called {target!r}. There are: {'; '.join(parts)}; "
        f"{', '.join(others)}; or a pattern of a path ('layers.0.*'), or 'all-linear'"
    )


def kind_of(function: Any) -> str:
    """What a mixer or feed-forward part is: the name of its class, also when adapters stand around it."""
    return type(function.base if isinstance(function, Adapted) else function).__name__


def sizes(module: Any) -> tuple[int, int]:
    """(inputs, outputs) of a matrix, as it is called."""
    base = module.base if isinstance(module, Adapted) else module
    if isinstance(base, TiedHead):
        rows, width = base.embedding.weight.shape
        return width, rows
    inputs, outputs = base.weight.shape
    return inputs, outputs
