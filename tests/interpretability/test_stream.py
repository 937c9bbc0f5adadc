"""What parts have written adds up to what the head reads: every family, with a learned prefix, adapted, quantised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.interpretability import ablate_heads, stream_parts
from llm_from_scratch.layers import AttentionSpec, BranchSpec, FeedForwardSpec, LayerSpec, NormSpec
from llm_from_scratch.quantization.int8_linear import to_int8
from llm_from_scratch.recipes.miniature import miniature

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
NAMES = sorted(
    path.name for path in FIXTURES.iterdir() if (path / "config.json").exists() and "float16" not in path.name
)


def assert_adds_up(model, ids, tolerance=1e-10):
    with lfs.no_grad():
        states = model.states({"ids": ids}).data
    for heads in (False, True):
        for position in (0, 4, -1):
            total = sum(stream_parts(model, ids, position=position, heads=heads).values())
            np.testing.assert_allclose(total, states[:, position], rtol=0, atol=tolerance * abs(states).max())


def small(family, **settings):
    """A miniature of a family's first release, stirred so that every bias and scale counts."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    layers = 2 if family == "gpt_neo" else 3  # whose two kinds of layers take turns
    config = miniature(release, layers=layers, width=32, heads=4, context=32, vocabulary=30)
    model = lfs.build(config.pop("model_type"), **config, dtype=np.float64, **settings)
    return stirred(model)


def stirred(model):
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.1 * rng.normal(size=parameter.shape)).astype(parameter.dtype)
    return model


IDS = np.random.default_rng(0).integers(0, 30, (2, 9))
PREFIXES = (lfs.adapters.add_prefix, lfs.adapters.add_prompt)  # keys and values before the text, and whole tokens


@pytest.mark.parametrize("name", NAMES)
def test_the_shares_add_up_for_what_is_published(name):
    model = lfs.from_pretrained(FIXTURES / name, dtype=np.float64)
    assert_adds_up(model, read_safetensors(FIXTURES / name / "reference.safetensors")["input_ids"][:, :9])


@pytest.mark.parametrize("family", all_families())
def test_the_shares_add_up_for_every_family(family):
    assert_adds_up(small(family), IDS)


@pytest.mark.parametrize("setting", ["branch norm", "eps outside", "plus one", "parallel after", "no norm"])
def test_the_shares_add_up_where_norms_stand_elsewhere(setting):
    norm = NormSpec(8, "layer")
    mixer, mlp = AttentionSpec(8, 2, 1, 4, output_bias=True), FeedForwardSpec(8, 16)
    branch = {"functions": {"mixer": mixer}, "norms_before": (norm,)}
    if setting == "branch norm":
        branch["norm_branch"] = norm
    elif setting == "eps outside":
        branch["norm_after"] = NormSpec(8, "rms", eps=0.3, eps_outside=True)
    elif setting == "plus one":
        branch["norm_after"] = NormSpec(8, "rms", plus_one=True)
    elif setting == "parallel after":
        branch |= {"functions": {"mixer": mixer, "feed_forward": mlp}, "norm_after": norm, "alpha": 1.7}
    layer = LayerSpec((BranchSpec(**branch),))
    final = None if setting == "no norm" else norm
    spec = lfs.ModelSpec(vocab_size=30, hidden_size=8, layers=(layer,) * 3, norm=final, context_length=32)
    assert_adds_up(stirred(lfs.Decoder(spec, np.random.default_rng(0)).astype(np.float64)), IDS)


def test_the_shares_add_up_behind_a_prefix_and_with_adapters():
    model = small("llama")
    lfs.adapters.add_lora(model, rank=2, targets="all-linear")
    assert_adds_up(stirred(model), IDS)
    for add in PREFIXES:
        model = small("llama")
        add(model, 3)
        assert_adds_up(stirred(model), IDS)


def test_a_heads_share_is_what_is_missing_without_it():
    """In the last layer, where no norm comes after, nothing else depends on it."""
    model = small("llama")
    model.norm = None
    shares = stream_parts(model, IDS, heads=True, position=5)
    layer = model.layers[-1]
    layer.feed_forward.down.weight.data *= 0  # which would hear of it
    with lfs.no_grad():
        whole = model.states({"ids": IDS}).data
        for head in range(4):
            with ablate_heads(model, [(2, head)]):
                missing = (whole - model.states({"ids": IDS}).data)[:, 5]
            assert abs(missing).max() > 1e-3
            np.testing.assert_allclose(shares[f"layers.2.mixer.{head}"], missing, atol=1e-12)


def test_the_shares_add_up_over_quantised_weights():
    model = stirred(lfs.build("llama", hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                              num_key_value_heads=2, vocab_size=30))  # fmt: skip
    lfs.compression.quantize_model(model, "nf4")
    assert_adds_up(model, IDS, tolerance=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "glm", "opt-350m"])  # with biases, post-norms, projections
def test_the_shares_add_up_where_matrices_round_what_they_read(family):
    """LLM.int8() rounds activations: what all heads together give is not the sum of what each gives."""
    sizes = dict(layers=3, width=64, heads=4, context=32, vocabulary=32)
    config = miniature("glm-130b" if family == "glm" else family, **sizes)
    narrow = {"word_embed_proj_dim": 32} if family == "opt-350m" else {}
    model = stirred(lfs.build(config.pop("model_type"), **config | narrow, dtype=np.float32))
    assert len(to_int8(model)) > 12
    assert_adds_up(model, IDS, tolerance=1e-5)
    parts = stream_parts(model, IDS, heads=True)
    rounded = {name: abs(share).max() for name, share in parts.items() if name.endswith(".rounding")}
    assert {f"layers.{i}.mixer.rounding" for i in range(3)} <= set(rounded)
    assert ("head_projection.rounding" in rounded) == (family == "opt-350m")
    assert 0 < max(rounded.values()) < 0.1 * max(abs(share).max() for share in parts.values())


def test_a_norm_that_is_not_held_at_its_scale_would_be_seen():
    """The check itself: the shares do not add up by accident, they differ and none of them is the whole."""
    parts = stream_parts(small("glm"), IDS, heads=True)
    total = sum(parts.values())
    for name, share in parts.items():
        assert abs(share).max() > 1e-3 * abs(total).max(), name


@pytest.mark.parametrize("position", [9, -10, 1.0, True, None])
def test_a_position_outside_the_text_is_refused(position):
    with pytest.raises(ValueError, match="an index of the 9 tokens"):
        stream_parts(small("llama"), IDS, position=position)


def test_a_final_norm_of_ones_own_is_refused_by_name():
    model = small("llama")

    class Mean(lfs.layers.Module):
        def __call__(self, x):
            return x - x.mean(axis=-1, keepdims=True)

    model.norm = Mean()
    with pytest.raises(ValueError, match="norm is a Mean: only LayerNorm and RMSNorm"):
        stream_parts(model, IDS)
