"""Logits shared out among the parts that wrote them."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.interpretability import direct_logit_attribution
from llm_from_scratch.quantization.int8_linear import to_int8

IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def make(family, **settings):
    sizes = {
        "llama": dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=4),
        "gpt2": dict(n_embd=16, n_layer=3, n_head=4, n_positions=32),
        "phi": dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=4),
        "mamba": dict(hidden_size=16, num_hidden_layers=3, state_size=4),
    }[family]
    model = lfs.build(family, **sizes, vocab_size=11, dtype=np.float64, **settings)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.2 * rng.normal(size=parameter.shape)
    return model


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi", "mamba"])  # phi: its head has a bias
def test_the_shares_add_up_to_the_logits(family, heads):
    model = make(family)
    with lfs.no_grad():
        logits = model(IDS).data
    shares = direct_logit_attribution(model, IDS, position=2, heads=heads)
    assert shares.values.shape == (len(shares.names), 2, 11) and len(set(shares.names)) == len(shares.names)
    np.testing.assert_allclose(shares.values.sum(axis=0), logits[:, 2], rtol=0, atol=1e-12 * abs(logits).max())
    np.testing.assert_array_equal(shares.logits, logits[:, 2])
    assert ("head" in shares.names) == (family == "phi")
    assert any(name.endswith("mixer.3") for name in shares.names) == (heads and family != "mamba")


def test_the_shares_add_up_behind_a_head_that_rounds_what_it_reads():
    model = make("phi").astype(np.float32)
    assert to_int8(model, "head") == ["head"]
    shares = direct_logit_attribution(model, IDS)
    np.testing.assert_allclose(shares.values.sum(axis=0), shares.logits, rtol=0, atol=1e-5 * abs(shares.logits).max())
    assert shares.names[-2:] == ["head", "head.rounding"] and abs(shares.values[-1]).max() > 1e-4


def test_some_tokens_are_columns_of_all():
    model = make("llama")
    whole, some = direct_logit_attribution(model, IDS), direct_logit_attribution(model, IDS, [7, 0, 7])
    np.testing.assert_array_equal(some.values, whole.values[:, :, [7, 0, 7]])


def test_a_part_that_writes_one_token_is_the_largest():
    model = make("gpt2", tie_word_embeddings=False)
    with lfs.no_grad():
        direction = model.head.weight.data[:, 7] - model.head.weight.data.mean(axis=1)

    with model.patch("layers.1.feed_forward", lambda out: out * 0 + lfs.Tensor(50 * direction)):
        shares = direct_logit_attribution(model, IDS, [7], heads=True)
    assert shares.largest(1)[0][0] == "layers.1.feed_forward" and len(shares.largest(3)) == 3


@pytest.mark.parametrize("tokens", [[11], [-1], [], [[1]], [1.0], [True]])
def test_tokens_that_are_no_ids_are_refused(tokens):
    with pytest.raises((TypeError, ValueError), match="tokens must be"):
        direct_logit_attribution(make("llama"), IDS, tokens)
