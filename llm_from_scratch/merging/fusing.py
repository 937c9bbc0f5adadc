"""Fusing: fine-tunes of one base, on whatever tasks, averaged into a better base to start the next fine-tune from.

The formula is a soup's; what differs is the use, and that tasks may have brought parameters of their own, which have no
place in a base. Source: Choshen et al. 2022, arXiv:2204.03044.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .soups import uniform_soup
from .tensors import check_models


def fuse(base: Mapping[str, np.ndarray], models: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """The mean of the models in all tensors that the base has; others, heads of a task, are left out.

    ValueError naming the tensor if a model lacks one of the base's, or has it in another shape.

    >>> base = {"body": np.zeros(1)}
    >>> fuse(base, [{"body": np.ones(1), "head": np.ones((3, 1))}, {"body": np.full(1, 3.0)}])
    {'body': array([2.])}
    """
    shared = []
    for number, model in enumerate(check_models(models)):
        for name, array in base.items():
            if name not in model:
                raise ValueError(f"model {number} lacks the tensor {name} of the base: it is no fine-tune of it")
            if model[name].shape != array.shape:
                raise ValueError(
                    f"{name} has shape {array.shape} in the base and {model[name].shape} in model {number}"
                )
        shared.append({name: model[name] for name in base})
    return dict(uniform_soup(shared))
