"""Divided layers equal the plain ones: outputs, every gradient, memories; for the families' kinds of layers."""

import dataclasses
import re

import numpy as np
import pytest
from splitting import RANKS, assert_close, whole

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import (
    AttentionSpec,
    Context,
    FeedForwardSpec,
    LayerSpec,
    MambaSpec,
    NormSpec,
    Rotary,
    alibi_slopes,
)
from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel import split_block as S

LENGTH = 12
ROTARY = AttentionSpec(24, 12, 12, 4, rotary=Rotary(4))
SPECS = {
    "SwiGLU, RMSNorm, grouped": LayerSpec.sequential(
        AttentionSpec(24, 24, 12, 2, rotary=Rotary(2)),
        FeedForwardSpec(24, 36, "silu", gated=True, bias=False),
        NormSpec(24, "rms"),
    ),
    "GELU, LayerNorm, biases, slopes": LayerSpec.sequential(
        AttentionSpec(24, 12, 12, 2, bias=True, output_bias=True, slopes=alibi_slopes(12)),
        FeedForwardSpec(24, 24, "gelu"),
        NormSpec(24),
    ),
    "multi-query, parallel": LayerSpec.parallel(
        dataclasses.replace(ROTARY, key_value_heads=1, bias=True), FeedForwardSpec(24, 24, "gelu"), NormSpec(24)
    ),
    "query-key norms a head, window, clip": LayerSpec.sequential(
        dataclasses.replace(
            ROTARY, query_norm=NormSpec(4, "rms"), key_norm=NormSpec(4), window=5, clip=0.7, log_n=4, output_bias=True
        ),
        FeedForwardSpec(24, 12, "relu", gated=True),
        NormSpec(24, "rms", plus_one=True),
    ),
    "no norms, post-norm": LayerSpec.sequential(ROTARY, FeedForwardSpec(24, 12, "silu"), norm_after=NormSpec(24)),
}


def block(name):
    layer = SPECS[name].build(np.random.default_rng(5)).astype(np.float64)
    rng = np.random.default_rng(6)
    for parameter in layer.parameters():
        parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    return layer


CONTEXT = Context(np.arange(LENGTH)[None])
X, END = np.random.default_rng(7).normal(size=(2, 2, LENGTH, 24))


def results(layer, x, end):
    x = Tensor(x, requires_grad=True)
    y = layer(x, None, CONTEXT)
    (y * end).sum().backward()
    names = {re.sub(r"\.part|\.norm(?=\.)", "", name): p.grad for name, p in layer.named_parameters()}
    return y.data, x.grad, names


def split_results(name, size, by_sequence):
    def work(ranks):
        layer = block(name)
        S.split_layers(layer, ranks, by_sequence=by_sequence)
        mine = slice(ranks.rank * LENGTH // size, (ranks.rank + 1) * LENGTH // size) if by_sequence else slice(None)
        return results(layer, X[:, mine], END[:, mine])

    return run_ranks(size, work)


def check_equal(name, size, by_sequence):
    y, dx, gradients = results(block(name), X, END)
    found = split_results(name, size, by_sequence)
    assert_close(whole([f[0] for f in found], y), y)
    assert_close(whole([f[1] for f in found], dx), dx)
    assert found[0][2].keys() == gradients.keys()
    for path, gradient in gradients.items():
        assert_close(whole([f[2][path] for f in found], gradient), gradient)


@pytest.mark.parametrize("by_sequence", (False, True))
@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("name", SPECS)
def test_equal_to_the_plain_block(name, size, by_sequence):
    check_equal(name, size, by_sequence)


@pytest.mark.parametrize("by_sequence", (False, True))
def test_shared_columns_without_their_sum_are_caught(monkeypatch, by_sequence):
    monkeypatch.setattr(S, "copy_to_ranks", lambda x, *, comm: x)
    with pytest.raises(AssertionError):
        check_equal("multi-query, parallel", 2, by_sequence)


def test_a_norm_whose_gradient_stays_at_home_is_caught(monkeypatch):
    monkeypatch.setattr(S.Shared, "__call__", lambda self, x: self.norm(x))
    with pytest.raises(AssertionError):
        check_equal("SwiGLU, RMSNorm, grouped", 2, True)


def test_slopes_of_the_wrong_heads_are_caught(monkeypatch):
    right = dataclasses.replace

    def first_slopes(spec, **changes):
        if changes.get("slopes"):
            changes["slopes"] = spec.slopes[: len(changes["slopes"])]
        return right(spec, **changes)

    monkeypatch.setattr(S.dataclasses, "replace", first_slopes)
    with pytest.raises(AssertionError):
        check_equal("GELU, LayerNorm, biases, slopes", 2, False)


def test_dropout_is_the_same_on_all_ranks_with_equal_generators():
    """Outside of the regions every rank computes the same, dropout included, if it draws from the same state."""
    spec = LayerSpec.sequential(ROTARY, FeedForwardSpec(24, 12, "silu"), NormSpec(24), dropout=0.5)

    def run(ranks=None):
        layer = spec.build(np.random.default_rng(5)).astype(np.float64)
        if ranks is not None:
            S.split_layers(layer, ranks)
        x = Tensor(X, requires_grad=True)
        layer(x, None, dataclasses.replace(CONTEXT, rng=np.random.default_rng(8))).sum().backward()
        return x.grad

    for found in run_ranks(2, run):
        assert_close(found, run())


@pytest.mark.parametrize("size", (2, 4))
def test_a_divided_model_continues_what_it_remembers(size):
    """Each rank remembers its own heads; tokens one by one give the logits of the whole row."""
    settings = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings |= {"num_key_value_heads": 2, "vocab_size": 24, "max_position_embeddings": 32}
    ids = np.random.default_rng(0).integers(0, 24, (2, 6))
    expected = lfs.build("llama", seed=0, **settings).astype(np.float64)(ids).data

    def work(ranks):
        model = lfs.build("llama", seed=0, **settings).astype(np.float64)
        S.split_layers(model, ranks)
        memory = model.new_memory(2)
        return np.stack([model.step(ids[:, [n]], memory) for n in range(6)], axis=1)

    for found in run_ranks(size, work):
        assert_close(found, expected)


@pytest.mark.parametrize("family", ("gpt2", "mixtral", "falcon", "bloom", "gpt_neox"))
def test_whole_models_of_other_families(family):
    settings = {
        "gpt2": {"n_layer": 2, "n_head": 4, "n_embd": 16, "n_positions": 16, "vocab_size": 11},
        "mixtral": {
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 11, "num_key_value_heads": 2, "num_local_experts": 4, "max_position_embeddings": 16,
        },
        "falcon": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 11},
        "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 4, "vocab_size": 11},
        "gpt_neox": {
            "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 11, "max_position_embeddings": 16,
        },
    }[family]  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 11, (2, 9))
    batch = {"ids": ids[:, :-1], "targets": ids[:, 1:]}

    def run(ranks=None):
        model = lfs.build(family, seed=0, **settings).astype(np.float64)
        if ranks is not None:
            assert len(S.split_layers(model, ranks)) >= 4
        loss = model.loss(batch)
        loss.backward()
        return loss.item(), {
            n.replace(".part.", "."): p.grad for n, p in model.named_parameters() if p.grad is not None
        }

    loss, gradients = run()
    found = run_ranks(2, run)
    assert all(abs(f[0] - loss) < 1e-12 for f in found)
    for path, gradient in gradients.items():
        assert_close(whole([f[1][path] for f in found], gradient), gradient)


def refused(match, size, spec, by_sequence=False):
    def work(ranks):
        S.split_layers(spec.build(np.random.default_rng(0)), ranks, by_sequence=by_sequence)

    with pytest.raises(ValueError, match=match):
        run_ranks(size, work)


def test_what_cannot_be_divided():
    feed = FeedForwardSpec(24, 30, "gelu")
    refused("30 inner features cannot be shared out equally among 4 ranks", 4, LayerSpec.sequential(ROTARY, feed))
    refused("12 heads cannot be shared out equally among 5 ranks", 5, LayerSpec.sequential(ROTARY, feed))
    odd = dataclasses.replace(ROTARY, key_value_heads=3)
    refused("4 ranks cannot share 3 key-value heads equally: use a divisor", 4, LayerSpec.sequential(odd, feed))
    refused("3 key-value heads cannot be shared out equally among 2", 2, LayerSpec.sequential(odd, feed))
    normed = dataclasses.replace(ROTARY, query_norm=NormSpec(48, "rms"))
    refused("query_norm is over all heads of a token together", 2, LayerSpec.sequential(normed, feed))
    scan = LayerSpec.sequential(MambaSpec(24, 48), feed)
    refused("mixer needs the whole sequence", 2, scan, by_sequence=True)


def test_packed_and_adapted_layers_are_refused():
    """They would be divided as the numbers they began with, or not at all."""
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    for change, name in (
        (lambda model: lfs.adapters.add_lora(model, rank=2, targets=("query",)), "Adapted"),
        (lambda model: lfs.compression.quantize_model(model, "nf4"), "NF4Linear"),
    ):
        model = lfs.build("llama", seed=0, vocab_size=11, max_position_embeddings=16, **settings)
        change(model)
        with pytest.raises(TypeError, match=f"a Linear can be divided among ranks, a {name} cannot: expand packed"):
            run_ranks(2, lambda ranks, model=model: S.split_layers(model, ranks))


def test_the_loss_of_a_refused_model_is_untouched():
    """An error leaves the layers as they were."""
    layer = LayerSpec.sequential(ROTARY, FeedForwardSpec(24, 30, "gelu")).build(np.random.default_rng(0))
    before = layer(Tensor(X.astype(np.float32)), None, CONTEXT).data

    def work(ranks):
        if ranks.rank == 0:
            S.split_layers(layer, ranks)

    with pytest.raises(ValueError):
        run_ranks(4, work)
    np.testing.assert_array_equal(layer(Tensor(X.astype(np.float32)), None, CONTEXT).data, before)
