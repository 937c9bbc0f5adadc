"""(IA)³'s factors: where they act, and who has no place for them."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch import Tensor
from llm_from_scratch import adapters as A

from .conftest import small, stir


def test_factors_of_outputs_and_inputs():
    model = small("gpt2")
    A.add_ia3(model)
    stir(model)
    value, down = model.layers[0].mixer.value, model.layers[0].feed_forward.down
    x = np.random.default_rng(0).normal(size=(3, 32))
    of_outputs = value.adapters["default"].factors.data
    np.testing.assert_allclose(value(Tensor(x)).data, value.base(Tensor(x)).data * of_outputs)
    inner = np.random.default_rng(0).normal(size=(3, down.adapters["default"].factors.size))
    factors = down.adapters["default"].factors.data
    np.testing.assert_allclose(down(Tensor(inner)).data, down.base(Tensor(inner * factors)).data)


def test_who_has_no_place_for_it():
    with pytest.raises(ValueError, match="'key'. There are: Mamba"):
        A.add_ia3(small("mamba"))
    with pytest.raises(ValueError, match="an embedding's rows are looked up"):
        A.add_ia3(small("gpt2"), targets="embedding")
