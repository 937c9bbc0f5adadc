"""The methods a recipe may name, with their settings: which there are, of what kind, for each model or for all.

A method merges one tensor at a time, with the functions of this room; `rehearse` lets it refuse settings beforehand.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .averages import linear
from .dropping import dare
from .election import WholeModel, ties
from .spherical import slerp
from .stacking import passthrough
from .stock import model_stock
from .task_vectors import task_arithmetic

REQUIRED = object()
_MERGEKITS = (
    "arcee_fusion", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "karcher", "multislerp", "nearswap",
    "nuslerp", "ram", "ramplus_tl", "sce",
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A setting. kind: float, bool or str; own: each model has its own; default: REQUIRED where there is none."""

    kind: type
    default: Any
    about: str
    own: bool = False

    @property
    def told(self) -> str:
        """What it is unless told otherwise, and whose it is, in words."""
        default = "required" if self.default is REQUIRED else f"default {str(self.default).lower()}"
        return default + "; may differ from model to model" * self.own


@dataclass(frozen=True)
class Settings:
    """What holds for one tensor: {name: value} for all models, {name: a value each} of their own. rng, whole: what a
    method that draws, or that needs a figure of the whole model, is given.
    """

    shared: dict[str, Any]
    own: dict[str, tuple[Any, ...]]
    rng: np.random.Generator | int = 0
    whole: WholeModel | None = None


@dataclass(frozen=True)
class Method:
    """merge: (arrays, settings) -> array; with a base the base's array is the first. least, most: models besides it."""

    about: str
    merge: Callable[[Sequence[np.ndarray], Settings], np.ndarray]
    parameters: dict[str, Parameter]
    base: bool = True
    least: int = 1
    most: int | None = None


def _linear(arrays: Sequence[np.ndarray], at: Settings) -> np.ndarray:
    return linear(arrays, at.own["weight"], normalize=at.shared["normalize"])


def _slerp(arrays: Sequence[np.ndarray], at: Settings) -> Any:
    return slerp(arrays[0], arrays[1], at.shared["t"])


def _task_arithmetic(arrays: Sequence[np.ndarray], at: Settings) -> np.ndarray:
    more = {"scale": at.shared["lambda"], "normalize": at.shared["normalize"]}
    return task_arithmetic(arrays[0], arrays[1:], at.own["weight"], **more)


def _ties(arrays: Sequence[np.ndarray], at: Settings) -> np.ndarray:
    return ties(
        arrays[0], arrays[1:], at.own["weight"], density=at.own["density"], scale=at.shared["lambda"],
        normalize=at.shared["normalize"], dialect=at.shared["dialect"], whole=at.whole,
    )  # fmt: skip


def _dare(arrays: Sequence[np.ndarray], at: Settings, then: str) -> np.ndarray:
    trims = at.own.get("trim", (1.0,))
    return dare(
        arrays[0], arrays[1:], at.own["weight"], density=at.own["density"], rng=at.rng, then=then,
        rescale={"true": "mergekit", "false": None}.get(at.shared["rescale"], at.shared["rescale"]),
        scale=at.shared["lambda"], normalize=at.shared["normalize"], trim=None if set(trims) == {1.0} else trims,
    )  # fmt: skip


_WEIGHT = Parameter(float, REQUIRED, "how much a model counts", own=True)
_DENSITY = Parameter(float, 1.0, "the share of a task vector's entries that is kept, in (0, 1]", own=True)
_LAMBDA = Parameter(float, 1.0, "what the merged task vector is multiplied by before the base is added")
_MASK = Parameter(bool, False, "no effect here (mergekit: a smaller mask)")


def _normalize(default: bool) -> Parameter:
    return Parameter(bool, default, "divide by the sum of the weights (of those that agree, where signs are elected)")


_DARE = {
    "weight": _WEIGHT,
    "density": _DENSITY,
    "lambda": _LAMBDA,
    "normalize": _normalize(False),
    "rescale": Parameter(
        str, "true", "true: as mergekit does, to the old sum of magnitudes; paper: 1 / density; false"
    ),
    "int8_mask": _MASK,
}
METHODS = {
    "linear": Method(
        "the weighted mean of the models (soups)", _linear,
        {"weight": _WEIGHT, "normalize": _normalize(True)}, base=False,
    ),
    "slerp": Method(
        "on the arc from the base (t = 0) to the other model (t = 1)", _slerp,
        {"t": Parameter(float, REQUIRED, "how far from the base to the other model, 0 to 1")}, most=1,
    ),
    "task_arithmetic": Method(
        "the base plus weighted task vectors", _task_arithmetic,
        {"weight": _WEIGHT, "lambda": _LAMBDA, "normalize": _normalize(False), "int8_mask": _MASK},
    ),
    "ties": Method(
        "task vectors trimmed, signs elected, those that agree merged", _ties,
        {
            "weight": _WEIGHT, "density": _DENSITY, "lambda": _LAMBDA, "normalize": _normalize(True),
            "int8_mask": _MASK, "dialect": Parameter(str, "mergekit", "mergekit, peft or authors: election.py"),
        },
    ),
    "dare_linear": Method("task vectors thinned at random, then added", functools.partial(_dare, then="linear"), _DARE),
    "dare_ties": Method(
        "task vectors thinned at random, then TIES", functools.partial(_dare, then="ties"),
        {**_DARE, "trim": Parameter(float, 1.0, "TIES' own trimming of what is left, in (0, 1]", own=True)},
    ),
    "model_stock": Method(
        "the mean of fine-tunes, as far from the base as they agree",
        lambda arrays, at: model_stock(arrays[0], arrays[1:]), {}, least=2,
    ),
    "passthrough": Method(
        "layers as they are, stacked by slices", lambda arrays, at: passthrough(arrays[0], at.own["scale"][0]),
        {"scale": Parameter(float, None, "what a tensor is multiplied by", own=True)}, base=False, most=1,
    ),
}  # fmt: skip


def find_method(name: str) -> Method:
    """The method of that name; ValueError with the names there are."""
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=1)
    hint = " (mergekit's, but not made here)" if name in _MERGEKITS else f", did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"the merge_method {name!r} is not known{hint}; there are {', '.join(METHODS)}")


def check_names(where: str, given: Sequence[str], method: str, of_a_model: bool) -> None:
    """ValueError for a setting that the method does not have, or that stands beside a model and holds for all."""
    known = METHODS[method].parameters
    for name in given:
        if name not in known:
            others = [other for other, found in METHODS.items() if name in found.parameters]
            hint = f" ({', '.join(others)} would have it)" if others else ""
            raise ValueError(f"{where}: {method} has no setting {name!r}{hint}; it has {', '.join(known) or 'none'}")
        if of_a_model and not known[name].own:
            raise ValueError(f"{where}: {name} holds for all models: put it under parameters of the recipe, or a slice")


def rehearse(method: str, settings: Settings, models: int) -> None:
    """Merge empty tensors: ValueError or TypeError for settings that the method refuses."""
    found = METHODS[method]
    whole = WholeModel((0.0,) * models, 1) if settings.shared.get("dialect") == "authors" else None
    empty = [np.zeros(0, np.float32)] * (models + found.base)
    found.merge(empty, Settings(settings.shared, settings.own, 0, whole))
