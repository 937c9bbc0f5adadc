"""Miniatures of every family."""

from __future__ import annotations

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.recipes.miniature import miniature

FAMILIES = tuple(all_families())


def small(family, seed=0, layers=2, **changes):
    """A miniature of a family's first release."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    sizes = {"layers": layers, "width": 32, "heads": 4, "context": 32, "vocabulary": 30}
    config = miniature(release, **sizes, changes=changes)
    return lfs.build(config.pop("model_type"), seed=seed, **config)


def stirred(model, seed, size=0.1):
    """The model with noise on every weight."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data = (parameter.data + size * rng.normal(size=parameter.shape)).astype(parameter.dtype)
    return model
