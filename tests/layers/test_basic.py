"""Norms with their settings: scales stored as they are, or as their distance from 1."""

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor, gradcheck
from llm_from_scratch.layers import NormSpec

X = np.random.default_rng(0).normal(size=(2, 3, 4))


@pytest.mark.parametrize(
    "settings", [{"kind": "rms"}, {"kind": "layer"}, {"kind": "rms", "eps_outside": True}], ids=str
)
def test_a_scale_of_1_plus_w_is_the_same_norm_with_w_stored(settings):
    plain = NormSpec(4, **settings).build(np.random.default_rng(0)).astype(np.float64)
    shifted = NormSpec(4, **settings, plus_one=True).build(np.random.default_rng(0)).astype(np.float64)
    assert (shifted.weight.data == 0).all() and (plain.weight.data == 1).all()
    w = np.array([0.5, -2.0, 0.0, 1.0])
    plain.weight.data, shifted.weight.data = 1 + w, w
    x = Tensor(X.copy(), requires_grad=True)
    np.testing.assert_allclose(shifted(x).data, plain(x).data, atol=1e-12)
    names, parameters = zip(*shifted.named_parameters())
    assert gradcheck(lambda *_: shifted(x), x, *parameters, names=["x", *names]) < 1e-6
    assert shifted.astype(np.float32)(Tensor(X.astype(np.float32))).dtype == np.float32


def test_what_a_norm_cannot_be_is_named():
    with pytest.raises(ValueError, match="plus_one is about the learned scale"):
        NormSpec(4, weight=False, plus_one=True)
