"""DPO and cDPO: smoothing, closed forms, and what is far out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import BETA, SMOOTHING, draw, frozen_pairs, loss_and_gradient, trls

from llm_from_scratch.alignment import dpo_loss
from llm_from_scratch.autograd import Tensor


def test_smoothing_equals_what_trl_has_of_it():
    # robust = ((1 - e) L(m) - e L(-m)) / (1 - 2 e), so (1 - e) L(m) + e L(-m) = 2 (1 - e) L(m) - (1 - 2 e) robust
    value, gradient = loss_and_gradient(partial(dpo_loss, beta=BETA, label_smoothing=SMOOTHING), *frozen_pairs())
    (plain, slopes), (robust, others) = trls("sigmoid"), trls("robust")
    weights = 2 * (1 - SMOOTHING), 1 - 2 * SMOOTHING
    assert value == pytest.approx(weights[0] * plain - weights[1] * robust, rel=1e-12)
    np.testing.assert_allclose(gradient, weights[0] * slopes - weights[1] * others, rtol=1e-10, atol=1e-14)


def test_at_the_start_it_is_log_two_whatever_beta_is():
    chosen, rejected, *_ = draw()
    for beta in (0.01, 1.0, 30.0):
        assert dpo_loss(chosen, rejected, chosen, rejected, beta=beta).item() == pytest.approx(np.log(2), rel=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_far_out_it_is_a_straight_line(dtype, smoothing):
    for margin, lost in ((1e4, smoothing * 1e4), (-1e4, (1 - smoothing) * 1e4)):
        leaves = [Tensor(np.array([x], dtype), requires_grad=True) for x in (margin, 0.0, 0.0, 0.0)]
        with np.errstate(all="raise"):
            loss = dpo_loss(*leaves, beta=1.0, label_smoothing=smoothing)
            loss.backward()
        assert loss.item() == pytest.approx(lost, rel=1e-6, abs=1e-30)
        slope = smoothing if margin > 0 else smoothing - 1
        assert [leaf.grad.item() for leaf in leaves] == pytest.approx([slope, -slope, -slope, slope], abs=1e-7)


def test_the_best_margin_of_cdpo_is_that_of_the_share():
    # With a share e of wrong pairs, the loss is least where sigmoid(margin) = 1 - e, and no further out.
    share = 0.2
    margins = np.linspace(-3, 6, 901)
    losses = [dpo_loss([m], [0.0], [0.0], [0.0], beta=1.0, label_smoothing=share).item() for m in margins]
    assert margins[int(np.argmin(losses))] == pytest.approx(np.log((1 - share) / share), abs=0.01)


@pytest.mark.parametrize("bad", [-0.1, 0.5, 1.0, np.nan])
def test_a_share_of_wrong_pairs_is_below_one_half(bad):
    with pytest.raises(ValueError, match=r"label_smoothing must be a finite number in \[0, 0.5\), got"):
        dpo_loss(*draw(), label_smoothing=bad)
