"""Miniatures of every family, and adapters filled with random numbers so that they do something."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.recipes.miniature import miniature

FAMILIES = tuple(all_families())
IDS = np.random.default_rng(7).integers(0, 30, (2, 6))


def small(family, dtype=np.float64, **changes):
    """A miniature of a family's first release."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    sizes = {"layers": 2, "width": 32, "heads": 4, "context": 32, "vocabulary": 30, "parameters": 12_000}
    config = miniature(release, **sizes, changes=changes)
    return lfs.build(config.pop("model_type"), dtype=dtype, **config)


def stir(model, seed=0, size=0.3):
    """Move every parameter of the acting adapters to random numbers."""
    rng = np.random.default_rng(seed)
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = (parameter.data + size * rng.normal(size=parameter.shape)).astype(parameter.dtype)
    return model


def state(model):
    """A copy of all weights."""
    return {name: array.copy() for name, array in model.state_dict().items()}


def check_gradients(model, ids=IDS, entries=3, tolerance=1e-6, **about):
    """Central differences of the loss against the backward, in some entries of every parameter that trains."""
    batch = {"ids": ids, "targets": np.roll(ids, -1, 1), **about}
    model.zero_grad()
    model.loss(batch, auxiliary=False).backward()
    rng, seen = np.random.default_rng(1), 0
    grads = {n: p.grad for n, p in model.named_parameters()}
    largest = max(float(np.abs(g).max()) for g in grads.values() if g is not None)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert grads[name] is None, f"{name} is frozen and got a gradient"
            continue
        if grads[name] is None:
            continue  # an expert that nobody chose
        for flat in rng.choice(parameter.size, min(entries, parameter.size), replace=False):
            place = np.unravel_index(flat, parameter.shape)
            here, losses = parameter.data[place], []
            for step in (2e-6, -2e-6):
                parameter.data[place] = here + step
                with lfs.no_grad():
                    losses.append(model.loss(batch).item())
            parameter.data[place] = here
            slower = model.spec.embedding_gradient_scale if name.startswith("embedding.") else 1.0
            expected = slower * (losses[0] - losses[1]) / 4e-6
            assert grads[name][place] == pytest.approx(expected, rel=tolerance, abs=tolerance * largest + 1e-9), name
            seen += 1
    assert seen
