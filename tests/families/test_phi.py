"""Phi beyond its frozen numbers: what is shared out, what starts how, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import find_family
from llm_from_scratch.zoo import choices

TINY: dict[str, Any] = dict(vocab_size=47, hidden_size=32, intermediate_size=28, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, max_position_embeddings=64)


def test_its_design_in_words() -> None:
    found = choices(lfs.spec("phi-2"))
    assert found["placement"] == "pre, parallel (1 norm)" and found["positions"] == "rotary on 40%"
    assert found["head"] == "untied, with a bias" and found["biases"] == "everywhere"
    assert choices(lfs.spec("phi-1.5"))["positions"] == "rotary on 50%"


def test_one_norm_feeds_both_functions_and_all_biases_start_at_0() -> None:
    model = lfs.build("phi", **TINY, seed=0)
    assert not hasattr(model.layers[0], "feed_forward_norm")
    biases = {name: p for name, p in model.named_parameters() if name.endswith("bias")}
    assert len(biases) == 2 * 7 + 2 and all((p.data == 0).all() for p in biases.values())
    assert np.isclose(model.head.weight.data.std(), 0.02, rtol=0.1)


@pytest.mark.parametrize("dropped", ["resid_pdrop", "embd_pdrop"])
def test_dropout_acts_in_training_alone(dropped: str) -> None:
    model, ids = lfs.build("phi", **TINY, **{dropped: 0.5}), np.arange(8)[None]
    assert not np.allclose(model(ids, rng=np.random.default_rng(0)).data, model(ids).data)
    np.testing.assert_array_equal(model(ids).data, lfs.build("phi", **TINY)(ids).data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
        ({"partial_rotary_factor": 0.4}, "rotary"),
        ({"surprise": 1}, "the option surprise = 1 is not known"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_family("phi").spec({"model_type": "phi", **TINY, **options})
