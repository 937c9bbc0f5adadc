"""What the tests of the losses over pairs share: numbers frozen from trl, and what every such loss must keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.autograd import Tensor, gradcheck

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


def keeps_its_promises(loss):
    """Gradients by differences, one pair alone, no order among pairs, the dtype, and the inputs as they were."""
    given = draw()
    assert gradcheck(loss, *given) < 1e-6
    assert gradcheck(loss, *draw(pairs=1, seed=3)) < 1e-6
    alone = [loss(*(x[k : k + 1] for x in given)).item() for k in range(5)]
    assert loss(*given).item() == pytest.approx(np.mean(alone), rel=1e-13)
    shift = np.array([3.0, -50.0, 0.0, 1.0, 7.0])  # what both models say more of a pair is no preference
    assert loss(given[0] + shift, given[1] + shift, *given[2:]).item() == pytest.approx(loss(*given).item(), rel=1e-12)
    before = [x.copy() for x in given]
    small = loss(*draw(dtype=np.float32))
    assert small.shape == () and small.dtype == np.float32
    assert small.item() == pytest.approx(loss(*given).item(), rel=1e-5)
    assert all(np.array_equal(x, y) for x, y in zip(given, before))


def refuses_what_does_not_fit(loss):
    chosen, rejected, theirs, others = draw(pairs=3)
    for name, change in (("chosen", 0), ("rejected", 1), ("reference_chosen", 2), ("reference_rejected", 3)):
        for bad in (np.nan, np.inf, -np.inf):
            arrays = [x.copy() for x in (chosen, rejected, theirs, others)]
            arrays[change][2] = bad
            with pytest.raises(ValueError, match=rf"^{name}\[2\] is {bad}: every entry must be finite$"):
                loss(*arrays)
    for arrays, message in (
        ((chosen[:2], rejected, theirs, others), r"rejected has the shape \(3,\), chosen \(2,\): they must be equal"),
        ((chosen, rejected, theirs[:1], others), r"reference_chosen has the shape \(1,\), chosen \(3,\)"),
        ((chosen[:0],) * 4, r"chosen must have the shape \(N,\), none of it 0; got \(0,\)"),
        ((chosen[:, None],) * 4, r"chosen must have the shape \(N,\), none of it 0; got \(3, 1\)"),
        ((1.0, 2.0, 3.0, 4.0), r"chosen must have the shape \(N,\), none of it 0; got \(\)"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(*arrays)
    with pytest.raises(TypeError, match="reference_chosen is float32, chosen float64: give all as"):
        loss(chosen, rejected, theirs.astype(np.float32), others)
    with pytest.raises(TypeError, match="chosen is int64"):
        loss(*(np.array([-1, -2]),) * 4)


def refuses_strengths(call, name):
    for bad in (0, 0.0, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got"):
            call(bad)
    for bad in (None, "0.1", True, np.ones(2)):
        with pytest.raises(TypeError, match=f"{name} must be a finite number above 0, got"):
            call(bad)
