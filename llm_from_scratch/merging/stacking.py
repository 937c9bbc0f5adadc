"""Passthrough and depth up-scaling: a deeper model from layers of shallower ones, whose weights stay as they are.

SOLAR takes a model of n layers twice, leaves the last m out of the first copy and the first m out of the second, and
puts them on top of each other: 2 (n - m) layers, n = 32 and m = 8 give 48. At the seam a layer meets what it has
never read; further training closes it. Source: Kim et al. 2023, arXiv:2312.15166; without training the community's
"frankenmerge".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from .averages import combination

_LAYER = re.compile(r"((?:.*?\.)?)(\d+)(\..*)")  # the first number that is a part of its own: layers.3.experts.7


def passthrough(model: np.ndarray, scale: float | None = None) -> np.ndarray:
    """The tensor as it is, or times `scale`.

    >>> passthrough(np.array([1.0, 2.0]), 0.5)
    array([0.5, 1. ])
    """
    from_scale = 1.0 if scale is None else scale
    return model if from_scale == 1.0 else combination([model], [from_scale])


def layer_of(name: str) -> tuple[str, int, str] | None:
    """What stands before a tensor's layer number, the number, and what stands behind; None outside of the layers.

    >>> layer_of("model.layers.11.mlp.experts.2.w1.weight"), layer_of("lm_head.weight")
    (('model.layers.', 11, '.mlp.experts.2.w1.weight'), None)
    """
    found = _LAYER.fullmatch(name)
    return None if found is None else (found[1], int(found[2]), found[3])


def stack(slices: Sequence[tuple[Mapping[str, np.ndarray], int, int]]) -> dict[str, np.ndarray]:
    """The layers [start, stop) of each model in turn, renumbered; what is outside of the layers comes from the first.

    slices: (model, start, stop) each. ValueError for an empty or impossible range.

    >>> model = {"embed": np.zeros(1), "h.0.w": np.array(0.0), "h.1.w": np.array(1.0), "h.2.w": np.array(2.0)}
    >>> {name: float(array) for name, array in stack([(model, 0, 2), (model, 1, 3)]).items() if name != "embed"}
    {'h.0.w': 0.0, 'h.1.w': 1.0, 'h.2.w': 1.0, 'h.3.w': 2.0}
    """
    if not slices:
        raise ValueError("there are no layers to stack")
    result = {name: array for name, array in slices[0][0].items() if layer_of(name) is None}
    depth = 0
    for model, start, stop in slices:
        layers = depth_of(model)
        if not 0 <= start < stop <= layers:
            raise ValueError(f"layers {start} to {stop} were asked for, of a model that has {layers}")
        for name, array in model.items():
            place = layer_of(name)
            if place is not None and start <= place[1] < stop:
                result[f"{place[0]}{place[1] - start + depth}{place[2]}"] = array
        depth += stop - start
    return result


def depth_up_scale(model: Mapping[str, np.ndarray], *, drop: int) -> dict[str, np.ndarray]:
    """SOLAR's way: the model without its last `drop` layers, and on top of it the model without its first `drop`.

    >>> model = {f"h.{i}.w": np.array(i) for i in range(4)}
    >>> [int(array) for array in depth_up_scale(model, drop=1).values()]
    [0, 1, 2, 1, 2, 3]
    """
    layers = depth_of(model)
    if isinstance(drop, bool) or not isinstance(drop, int) or not 0 <= drop < layers:
        raise ValueError(
            f"drop must be a whole number from 0 to {layers - 1} for a model of {layers} layers, not {drop!r}"
        )
    return stack([(model, 0, layers - drop), (model, drop, layers)])


def depth_of(model: Mapping[str, np.ndarray]) -> int:
    """How many layers the names of a model count."""
    return max((place[1] + 1 for place in map(layer_of, model) if place is not None), default=0)
