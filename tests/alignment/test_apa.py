"""APA and AWR against their formulas as loops (as the authors' code has them, with its coefficients 1 / scale)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from preference_cases import refuses_strengths

from llm_from_scratch.alignment import apa_loss, awr_loss
from llm_from_scratch.autograd import Tensor, gradcheck

MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 1]], bool)


def arrays(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    ours, initial = -rng.gamma(1.0, 2.0, size=(2, *MASK.shape)).astype(dtype)
    return ours, initial, rng.normal(size=MASK.shape).astype(dtype)


def over_tokens(term):
    terms = [term(*place) for place in zip(*(x[MASK] for x in arrays()))]
    return sum(terms) / len(terms)


def test_apa_is_the_formula_and_its_slope():
    loss = partial(apa_loss, mask=MASK, scale=0.4)
    expected = over_tokens(lambda ours, initial, advantage: (ours - initial - advantage / 0.4) ** 2)
    assert loss(*arrays()).item() == pytest.approx(expected, rel=1e-13)
    assert gradcheck(loss, *arrays()) < 1e-6
    assert loss(*arrays(dtype=np.float32)).dtype == np.float32
    one = loss(*(x[:1, :1] for x in arrays()), mask=[[1]])
    assert one.shape == () and one.item() > 0


def test_apa_is_zero_at_the_policy_it_draws_to():
    ours, initial, advantage = arrays()
    assert apa_loss(initial + advantage / 0.4, initial, advantage, MASK, scale=0.4).item() == pytest.approx(
        0, abs=1e-25
    )


def test_awr_is_the_formula_and_its_slope():
    ours, _, advantage = arrays()
    expected = over_tokens(lambda ours, _, advantage: -math.exp(advantage / 0.4) * ours)
    assert awr_loss(ours, advantage, MASK, scale=0.4).item() == pytest.approx(expected, rel=1e-13)
    assert gradcheck(lambda x: awr_loss(x, advantage, MASK, scale=0.4), ours) < 1e-6
    small = awr_loss(ours.astype(np.float32), advantage.astype(np.float32), MASK, scale=0.4)
    assert small.dtype == np.float32 and small.item() == pytest.approx(expected, rel=1e-5)


def test_awr_passes_no_gradient_through_the_advantages():
    ours, _, advantage = arrays()
    leaf, kept = Tensor(ours, requires_grad=True), Tensor(advantage, requires_grad=True)
    awr_loss(leaf, kept, MASK, scale=1.0).backward()
    assert kept.grad is None


@pytest.mark.parametrize("junk", [-1e4, np.nan, np.inf])
def test_what_is_masked_does_not_matter(junk):
    clean = arrays()
    dirty = [np.where(MASK, x, junk) for x in clean]
    for loss in (apa_loss, lambda ours, _, *rest, **k: awr_loss(ours, *rest, **k)):
        leaf = Tensor(dirty[0], requires_grad=True)
        found = loss(leaf, *dirty[1:], MASK, scale=0.5)
        found.backward()
        assert found.item() == loss(*clean, MASK, scale=0.5).item()
        assert (leaf.grad[~MASK] == 0).all() and (leaf.grad[MASK] != 0).all()


def test_far_out():
    far = [np.full((1, 1), x) for x in (-1e4, 0.0, 1e4)]
    assert apa_loss(*far, [[1]], scale=1.0).item() == 4e8
    assert awr_loss(far[0], -far[2], [[1]], scale=1.0).item() == 0
    with pytest.raises(ValueError, match="overflows: the largest advantage is 10000, the scale 1; whiten"):
        awr_loss(far[0], far[2], [[1]], scale=1.0)


def test_what_does_not_fit_is_refused():
    ours, initial, advantage = arrays()
    assert refuses_strengths(lambda scale: apa_loss(ours, initial, advantage, MASK, scale=scale), "scale")
    assert refuses_strengths(lambda scale: awr_loss(ours, advantage, MASK, scale=scale), "scale")
    for call in (
        lambda o=ours, a=advantage, m=MASK: apa_loss(o, initial, a, m, scale=1.0),
        lambda o=ours, a=advantage, m=MASK: awr_loss(o, a, m, scale=1.0),
    ):
        with pytest.raises(ValueError, match=r"advantages has the shape \(3, 1\), log_probabilities \(3, 4\)"):
            call(a=advantage[:, :1])
        with pytest.raises(ValueError, match=r"advantages\[0, 1\] is inf: every entry must be finite"):
            call(a=np.where(np.arange(4) == 1, np.inf, advantage))
        with pytest.raises(ValueError, match="row 2 is masked altogether"):
            call(m=MASK & [[True], [True], [False]])
        with pytest.raises(ValueError, match=r"the mask has the shape \(3, 2\)"):
            call(m=MASK[:, :2])
        with pytest.raises(TypeError, match="advantages is float32, log_probabilities float64"):
            call(a=advantage.astype(np.float32))
