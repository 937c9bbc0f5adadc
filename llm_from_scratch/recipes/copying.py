"""Attention that copies before it has learnt anything: a way to initialise small models, see `recipe.Recipe`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..layers.attention import Attention


def let_attention_copy(model: Any, strength: float, seed: int) -> None:
    """Initialise value matrices anew, and output matrices as their transposes: all heads together write about
    strength · x. ValueError for a model without attention.

    Source: compare Trockman & Kolter 2023, arXiv:2305.09828.
    """
    layers = [module for _, module in model.named_modules() if isinstance(module, Attention)]
    if not layers:
        raise ValueError("copying is for models with attention, and this one has none")
    rng = np.random.default_rng((seed, 1))
    for attention in layers:
        value, output, spec = attention.value.weight, attention.output.weight, attention.spec
        width = value.shape[0]
        std = math.sqrt(strength / width)
        value.data = (rng.standard_normal(value.shape, dtype=np.float32) * std).astype(value.dtype)
        shared = value.data.T.reshape(spec.key_value_heads, spec.head_dim, width)
        per_query = np.repeat(shared, spec.heads // spec.key_value_heads, axis=0)  # (heads, head_dim, width)
        output.data = np.ascontiguousarray(per_query.reshape(output.shape))
