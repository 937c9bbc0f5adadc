"""Parameters and optimiser states in two bytes a number, with all arithmetic in float32.

A step of training is small beside a weight: lr · m / √v is often less than half of what one bfloat16 is from the next,
and rounding to the nearest then takes every step back. Rounded by chance, a step of a hundredth of that distance
moves one weight in a hundred by all of it: the mean is right, and nothing is lost but smoothness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import store_bfloat16, widen
from .adamw import decaying

STORAGES = ("float32", "bfloat16")


def store(model: Any, storage: str = "bfloat16") -> list[str]:
    """Keep what trains of a model in "bfloat16" from now on, or in "float32" again; the names of what was changed.

    In bfloat16 these are the matrices that `decay_groups` lets decay. Norms, biases and the time scales of state-space
    models stay in float32, being few; frozen weights are not touched. What an optimiser keeps for a parameter (made
    before or after) is kept as the parameter is.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("llama", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=32)
    >>> before = model.nbytes
    >>> names = store(model)
    >>> round(model.nbytes / before, 2), model.embedding.weight.dtype, model.embedding.weight.stored.dtype
    (0.5, dtype('float32'), dtype(bfloat16))

    Raises TypeError, nothing changed, for a model in float64, ValueError for another storage.
    """
    if storage not in STORAGES:
        raise ValueError(f"storage must be one of {', '.join(STORAGES)}; got {storage!r}")
    picked = decaying(model) if storage == "bfloat16" else list(model.named_parameters())
    wide = [name for name, p in picked if p.dtype != np.float32]
    if wide and storage == "bfloat16":
        raise TypeError(f"what is stored in bfloat16 computes in float32, and {wide[0]} is float64")
    before = [p.stored.dtype for _, p in picked]
    for _, parameter in picked:
        (store_bfloat16 if storage == "bfloat16" else widen)(parameter)
    return [name for (name, p), dtype in zip(picked, before) if p.stored.dtype != dtype]


@contextmanager
def stored_as(model: Any, storage: str) -> Iterator[None]:
    """`store` inside the block; behind it, what was changed is float32 again, with the numbers it has by then."""
    changed = set(store(model, storage)) if storage == "bfloat16" else set()
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            if name in changed:
                widen(parameter)
