"""Choices read off the specs, in the words of the papers."""

from __future__ import annotations

from typing import Any

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import LayerSpec
from llm_from_scratch.zoo import choices, details


@pytest.mark.parametrize(
    "name, heading, word",
    [
        ("gpt2", "positions", "learned"),
        ("opt-125m", "placement", "pre"),
        ("opt-350m", "placement", "post, no final norm"),
        ("opt-175b", "feed-forward", "ReLU"),
        ("galactica-120b", "feed-forward", "GELU"),
        ("bloom-176b", "positions", "ALiBi"),
        ("bloom-176b", "placement", "pre, embedding norm"),
        ("gpt-neox-20b", "placement", "pre, parallel (2 norms)"),
        ("gpt-neox-20b", "positions", "rotary on 25%"),
        ("pythia-12b", "feed-forward", "GELU"),
        ("gpt-neo-2.7b", "biases", "output, feed-forward"),
        ("llama-7b", "biases", "none"),
        ("llama-2-70b", "mixer", "grouped-query"),
        ("yi-34b", "positions", "rotary, base 5,000,000"),
        ("smollm2-135m", "head", "tied"),
    ],
)
def test_choices_as_the_papers_describe_them(name: str, heading: str, word: str) -> None:
    assert choices(lfs.spec(name))[heading] == word


def test_choices_of_the_rarer_options() -> None:
    neither = {"enable_bias": False, "layer_norm_elementwise_affine": False}
    assert choices(lfs.spec({"model_type": "opt", **neither}))["norm"] == "LayerNorm, nothing learned"
    assert choices(lfs.spec({"model_type": "opt", **neither}))["biases"] == "none"
    banded = lfs.spec({"model_type": "opt", "attention_band": 256})
    assert details(banded)["window"] == "none and 256 in turn"
    normed = lfs.spec({"model_type": "bloom", "apply_residual_connection_post_layernorm": True})
    assert choices(normed)["placement"] == "pre, normed residual, embedding norm"
    scaled = lfs.spec({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 4.0}})
    assert choices(scaled)["positions"] == "rotary, ÷ 4"


def test_a_mixer_of_one_s_own_is_called_by_its_class() -> None:
    class EchoStateSpec:
        def build(self, rng: Any) -> Any:
            raise AssertionError("nothing is built to be described")

    spec = lfs.spec("llama-7b")
    own = LayerSpec.sequential(EchoStateSpec(), spec.layers[0].branches[1].functions["feed_forward"], spec.norm)
    mixed = spec.replace(layers=(own, spec.layers[1]) * 2)
    assert choices(mixed)["mixer"] == "echo state + multi-head"
    assert choices(mixed)["positions"] == "rotary"
