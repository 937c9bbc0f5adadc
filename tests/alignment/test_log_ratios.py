"""What every loss on log-ratios keeps: trl's numbers, gradients, no order among pairs, and what it refuses."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import BETA, TAU, draw, frozen_lengths, frozen_pairs, loss_and_gradient, refuses_strengths, trls

from llm_from_scratch.alignment import dpo_loss, hinge_loss, ipo_loss
from llm_from_scratch.autograd import gradcheck

LOSSES = {
    "dpo": partial(dpo_loss, beta=0.2),
    "cdpo": partial(dpo_loss, beta=0.2, label_smoothing=0.3),
    "ipo": partial(ipo_loss, tau=0.2),
    "hinge": partial(hinge_loss, beta=0.2),
}
TRLS = {
    "sigmoid": partial(dpo_loss, beta=BETA),
    "ipo": partial(ipo_loss, tau=TAU, lengths=frozen_lengths()),
    "hinge": partial(hinge_loss, beta=BETA),
}
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
NAMES = ("chosen", "rejected", "reference_chosen", "reference_rejected")


@pytest.mark.parametrize("case", TRLS)
def test_equals_trl(case):
    value, gradient = loss_and_gradient(TRLS[case], *frozen_pairs())
    expected, slopes = trls(case)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-10, atol=1e-14)
    # of the hinge some pairs on either side of the kink
    assert (gradient != 0).any() and (gradient == 0).any() == (case == "hinge")


@each
def test_the_gradient_is_the_slope(loss):
    assert gradcheck(loss, *draw()) < 1e-6
    assert gradcheck(loss, *draw(pairs=1, seed=3)) < 1e-6


@each
def test_it_is_the_mean_over_pairs_each_by_itself(loss):
    given = draw()
    alone = [loss(*(x[k : k + 1] for x in given)).item() for k in range(5)]
    assert loss(*given).item() == pytest.approx(np.mean(alone), rel=1e-13)


@each
def test_what_both_answers_have_more_is_no_preference(loss):
    chosen, rejected, *references = draw()
    shift = np.array([3.0, -50.0, 0.0, 1.0, 7.0])
    moved = loss(chosen + shift, rejected + shift, *references).item()
    assert moved == pytest.approx(loss(*draw()).item(), rel=1e-12)


@each
def test_the_dtype_stays_and_the_inputs_are_as_they_were(loss):
    given = draw()
    wide, small = loss(*given), loss(*draw(dtype=np.float32))
    assert wide.shape == small.shape == () and (wide.dtype, small.dtype) == (np.float64, np.float32)
    assert small.item() == pytest.approx(wide.item(), rel=1e-5)
    assert all(np.array_equal(x, y) for x, y in zip(given, draw()))


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_refused_by_name(loss, name, bad):
    arrays = dict(zip(NAMES, draw(pairs=3)))
    arrays[name][2] = bad
    with pytest.raises(ValueError, match=rf"^{name}\[2\] is {bad}: every entry must be finite$"):
        loss(*arrays.values())


@each
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c, r, *x: (c[:2], r, *x), ValueError, r"rejected has the shape \(3,\), chosen \(2,\): they must be eq"),
        (lambda c, r, x, y: (c, r, x[:1], y), ValueError, r"reference_chosen has the shape \(1,\), chosen \(3,\)"),
        (lambda *x: (x[0][:0],) * 4, ValueError, r"chosen must have the shape \(N,\), none of it 0; got \(0,\)"),
        (lambda *x: (x[0][:, None],) * 4, ValueError, r"chosen must have the shape \(N,\), none of it 0; got \(3, 1\)"),
        (lambda *x: (1.0, 2.0, 3.0, 4.0), ValueError, r"chosen must have the shape \(N,\), none of it 0; got \(\)"),
        (
            lambda c, r, x, y: (c, r, x.astype(np.float32), y),
            TypeError,
            "reference_chosen is float32, chosen float64: give all as",
        ),
        (lambda *x: (np.array([-1, -2]),) * 4, TypeError, "chosen is int64"),
    ],
)
def test_what_does_not_fit_is_refused(loss, change, error, message):
    with pytest.raises(error, match=message):
        loss(*change(*draw(pairs=3)))


@pytest.mark.parametrize(("loss", "name"), [(dpo_loss, "beta"), (hinge_loss, "beta"), (ipo_loss, "tau")])
def test_a_strength_that_is_not_above_0_is_refused(loss, name):
    assert refuses_strengths(lambda value: loss(*draw(), **{name: value}), name)
