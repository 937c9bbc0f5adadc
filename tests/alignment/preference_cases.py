"""What the tests of the losses over answers share: numbers frozen from trl, and settings that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.autograd import Tensor

FROZEN = load_file(Path(__file__).with_name("fixtures") / "preference_losses.safetensors")
PAIRS, BETA, SMOOTHING, TAU, DESIRABLE, UNDESIRABLE = 6, 0.3, 0.2, 0.25, 1.5, 0.7  # as make_preference_losses.py


def draw(pairs=5, seed=0, dtype=np.float64, spread=3.0):
    """Four rows of log-probabilities: chosen, rejected, and the reference's."""
    return tuple((-np.random.default_rng(seed).gamma(2.0, spread, size=(4, pairs))).astype(dtype))


def trls(case):
    """trl's loss, and its gradient by the summed log-probability of each answer, chosen ones first."""
    return FROZEN[f"{case}.loss"].item(), FROZEN[f"{case}.gradient"]


def frozen_pairs():
    sums, references = FROZEN["tokens"].sum(axis=1), FROZEN["references"]
    return sums[:PAIRS], sums[PAIRS:], references[:PAIRS], references[PAIRS:]


def frozen_lengths():
    lengths = FROZEN["mask"].sum(axis=1)
    return lengths[:PAIRS], lengths[PAIRS:]


def loss_and_gradient(loss, *arrays):
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    value = loss(*leaves)
    value.backward()
    return value.item(), np.concatenate([leaf.grad for leaf in leaves[:2]])


def refuses_strengths(call, name):
    """True, if `call` refuses what is no finite number above 0, by its name; else the test fails here."""
    for bad in (0, 0.0, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got"):
            call(bad)
    for bad in (None, "0.1", True, np.ones(2)):
        with pytest.raises(TypeError, match=f"{name} must be a finite number above 0, got"):
            call(bad)
    return True
