"""KTO: trl's numbers, and a point of reference through which no gradient passes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import BETA, DESIRABLE, FROZEN, UNDESIRABLE, draw, refuses_strengths, trls

from llm_from_scratch.alignment import kto_loss
from llm_from_scratch.autograd import Tensor, gradcheck

GOOD = np.array([True, False, False, True, False])


def test_equals_trl():
    leaf = Tensor(FROZEN["tokens"].sum(axis=1), requires_grad=True)
    weights = {"desirable_weight": DESIRABLE, "undesirable_weight": UNDESIRABLE}
    loss = kto_loss(leaf, FROZEN["references"], FROZEN["desirable"], FROZEN["kl"], beta=BETA, **weights)
    loss.backward()
    expected, slopes = trls("kto")
    assert FROZEN["kl"].mean() > 0  # so that the clamp at 0 is not all that is compared
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(leaf.grad, slopes, rtol=1e-10, atol=1e-14)


def test_the_gradient_is_the_slope_and_the_dtype_stays():
    ours, theirs, *_ = draw()
    for kl in (0.7, np.array([2.0, -1.0]), -5.0):
        assert (
            gradcheck(partial(kto_loss, desirable=GOOD, kl=kl, beta=0.3, undesirable_weight=2.0), ours, theirs) < 1e-6
        )
    small = kto_loss(ours.astype(np.float32), theirs.astype(np.float32), GOOD, 0.7)
    assert small.dtype == np.float32
    assert small.item() == pytest.approx(kto_loss(ours, theirs, GOOD, 0.7).item(), rel=1e-5)


def test_the_point_of_reference_is_not_moved_and_not_below_zero():
    ours, theirs, *_ = draw()
    kl = Tensor(np.array([1.0, 3.0]), requires_grad=True)
    leaf = Tensor(ours, requires_grad=True)
    loss = kto_loss(leaf, theirs, GOOD, kl)
    loss.backward()
    assert kl.grad is None
    assert loss.item() == kto_loss(ours, theirs, GOOD, 2.0).item() != kto_loss(ours, theirs, GOOD, 0.0).item()
    assert kto_loss(ours, theirs, GOOD, -2.0).item() == kto_loss(ours, theirs, GOOD, 0.0).item()


def test_a_single_kind_and_no_weight_for_the_other():
    ours, theirs, *_ = draw()
    both = kto_loss(ours, theirs, GOOD, 0.5, undesirable_weight=0.0).item() * len(GOOD)
    alone = kto_loss(ours[GOOD], theirs[GOOD], GOOD[GOOD], 0.5).item() * GOOD.sum()
    assert both == pytest.approx(alone, rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_is_flat(dtype):
    for good, ratio, value in ((True, 1e4, 0), (True, -1e4, 1), (False, 1e4, 1), (False, -1e4, 0)):
        leaf = Tensor(np.array([ratio], dtype), requires_grad=True)
        loss = kto_loss(leaf, np.zeros(1, dtype), [good], 0.0, beta=1.0)
        loss.backward()
        assert (loss.item(), leaf.grad.item()) == pytest.approx((value, 0), abs=1e-30)


def test_what_does_not_fit_is_refused():
    ours, theirs, *_ = draw()
    assert refuses_strengths(lambda beta: kto_loss(ours, theirs, GOOD, 0.0, beta=beta), "beta")
    for name in ("desirable_weight", "undesirable_weight"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0, got -1"):
            kto_loss(ours, theirs, GOOD, 0.0, **{name: -1})
    with pytest.raises(ValueError, match="both weights are 0"):
        kto_loss(ours, theirs, GOOD, 0.0, desirable_weight=0, undesirable_weight=0)
    for desirable in (GOOD[:4], GOOD.astype(int), GOOD[:, None]):
        with pytest.raises(ValueError, match=r"desirable must be \(5,\) booleans, got"):
            kto_loss(ours, theirs, desirable, 0.0)
    for kl in (np.nan, [], [1.0, np.inf]):
        with pytest.raises(ValueError, match="kl must be finite log-ratios, or their mean"):
            kto_loss(ours, theirs, GOOD, kl)
    with pytest.raises(ValueError, match=r"reference_log_probabilities has the shape \(4,\), log_probabilities \(5,\)"):
        kto_loss(ours, theirs[:4], GOOD, 0.0)
    with pytest.raises(ValueError, match=r"log_probabilities\[1\] is nan"):
        kto_loss(np.where(np.arange(5) == 1, np.nan, ours), theirs, GOOD, 0.0)
