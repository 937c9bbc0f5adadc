"""Specs answer for themselves: what they say is what their modules hold and remember, and silence is answered for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import zoo
from llm_from_scratch.layers import (
    AttentionSpec,
    BranchSpec,
    FeedForwardSpec,
    HyenaSpec,
    LayerSpec,
    Linear,
    MambaSpec,
    MixtureSpec,
    ModalFilterSpec,
    Module,
    NormSpec,
    RelativeAttentionSpec,
    Rotary,
)
from llm_from_scratch.layers.described import ask
from llm_from_scratch.layers.feed_forward import ACTIVATIONS, WORDS
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec

H, LENGTH = 8, 5
SWIGLU = FeedForwardSpec(H, 12, "silu", gated=True, bias=False)
# spec, its words, FLOPs of the matrices for one token, FLOPs of attention over LENGTH tokens
SPECS: dict[str, tuple[Any, str, int, int]] = {
    "attention": (AttentionSpec(H, 4, 2, 2, bias=True), "grouped-query", 2 * (8 * 8 + 2 * 8 * 4 + 8 * 8), 15 * 4 * 8),
    "window": (AttentionSpec(H, 4, 1, 2, window=2), "multi-query, window 2", 2 * (2 * 8 * 8 + 2 * 8 * 2), 9 * 4 * 8),
    "relative": (RelativeAttentionSpec(H, 2, 2, 4), "multi-head", 2 * 5 * 8 * 8, 15 * 6 * 8),
    "mamba": (MambaSpec(H, 6, 3, rank=2), "mamba", 2 * (3 * 8 * 6 + 6 * 4 + 6 * (2 + 2 * 3) + 2 * 6 + 6 * 3), 0),
    "modes": (HyenaSpec(H, ModalFilterSpec(3)), "hyena", 2 * (8 * 24 + 24 * 3 + 2 * 8 * 3 * 2 + 8 * 8), 0),
    "implicit": (HyenaSpec(H, ImplicitFilterSpec(16, width=5)), "hyena", 2 * (256 + 24 * 3 + 3 * 5 + 2 * 25 + 40), 0),
    "feed-forward": (FeedForwardSpec(H, 32, "gelu"), "GELU", 2 * 2 * 8 * 32, 0),
    "gated": (SWIGLU, "SwiGLU", 2 * 3 * 8 * 12, 0),
    "mixture": (MixtureSpec(SWIGLU, 4, 2), "SwiGLU, 2 of 4 experts", 2 * (8 * 4 + 2 * 3 * 8 * 12), 0),
}  # fmt: skip


def model_of(part: Any, **changes: Any) -> lfs.ModelSpec:
    layer = LayerSpec((BranchSpec({"mixer": part}, (NormSpec(H),)),))
    return lfs.ModelSpec(11, H, (layer, layer), None, 16, **changes)


@pytest.mark.parametrize("name", SPECS)
def test_words_and_arithmetic_by_hand(name: str) -> None:
    part, words, matrices, attention = SPECS[name]
    assert part.words() == words
    assert part.flops(LENGTH) == LENGTH * matrices + attention and part.attention_flops(LENGTH) == attention
    spec = model_of(part)
    assert spec.layers[0].flops(LENGTH) == part.flops(LENGTH)
    assert spec.flops(LENGTH) == 2 * part.flops(LENGTH) + 2 * LENGTH * H * 11  # two layers and the head
    narrow = spec.replace(embedding_size=3)
    assert narrow.flops(LENGTH) == 2 * part.flops(LENGTH) + 2 * LENGTH * (2 * H * 3 + 3 * 11)


@pytest.mark.parametrize("name", SPECS)
def test_memory_is_what_is_really_kept(name: str) -> None:
    spec = model_of(SPECS[name][0])
    model = lfs.Decoder(spec, np.random.default_rng(0))
    memory = model.new_memory(1)
    for length in range(1, 2 if name == "window" else 9):
        model.step(np.array([[3]]), memory)
        assert memory.nbytes == spec.memory_bytes(length), length
    if name == "window":  # the memory itself keeps a few tokens more, so that steps can be undone
        assert spec.memory_bytes(2) == spec.memory_bytes(900) == 2 * memory.nbytes
    assert spec.cache_bytes(7) == (spec.memory_bytes(7) if "attention" in str(type(SPECS[name][0])).lower() else 0)


def test_every_activation_has_a_word() -> None:
    assert WORDS.keys() == ACTIVATIONS.keys()


def test_what_knows_positions_says_so() -> None:
    turned = AttentionSpec(H, 4, 4, 2, rotary=Rotary(2), slopes=(0.5,) * 4)
    assert turned.positions() == "rotary + ALiBi" and AttentionSpec(H, 4, 4, 2).positions() == ""
    assert RelativeAttentionSpec(H, 2, 2, 4).positions() == "relative"


class Mean(Module):
    """The mean of what came so far, through a matrix and back through a bias."""

    def __init__(self, hidden: int, rng: np.random.Generator | None) -> None:
        self.inner = Linear(hidden, hidden, rng=rng)

    def new_memory(self) -> list[Any]:
        return []

    def __call__(self, x: Any, memory: Any, context: Any) -> Any:
        return self.inner(x)


@dataclass(frozen=True)
class RunningMeanSpec:
    hidden: int

    def build(self, rng: np.random.Generator | None) -> Mean:
        return Mean(self.hidden, rng)


@dataclass(frozen=True)
class TellingSpec(RunningMeanSpec):
    def words(self) -> str:
        return "a running mean"

    def positions(self) -> str:
        return "counted"

    def sizes(self) -> dict[str, Any]:
        return {"means": 1}

    def biases(self) -> dict[str, bool]:
        return {"mean": True}

    def flops(self, length: int) -> int:
        return 1000 * length

    def memory_bytes(self, length: int) -> int:
        return 4 * self.hidden


def test_a_mixer_of_one_s_own_that_says_nothing_is_named_by_its_class_and_counted_by_its_parameters() -> None:
    spec = model_of(RunningMeanSpec(H))
    found, bill = zoo.details(spec), zoo.costs(spec, length=LENGTH)
    assert found["mixer"] == "running mean" and found["positions"] == "none" and found["biases"] == "none"
    assert bill.matrix_flops_per_token == 2 * (2 * H * H + H * 11) and bill.attention_flops_per_token == 0
    assert bill.parts["mixers"] == 2 * (H * H + H)
    assert (bill.memory_per_token, bill.memory_at_length, spec.memory_bytes(3)) == (None, None, None)
    page = lfs.Decoder(spec).summary([[1] * LENGTH])
    assert page.flops == spec.flops(LENGTH) and " running mean " in str(page)


def test_one_that_answers_is_described_by_its_own_words() -> None:
    spec = model_of(TellingSpec(H))
    found, bill = zoo.details(spec), zoo.costs(spec, length=LENGTH)
    assert (found["mixer"], found["positions"], found["means"]) == ("a running mean", "counted", "1")
    assert found["biases"] == "everywhere"
    assert bill.matrix_flops_per_token == 2 * 1000 + 2 * H * 11
    assert (bill.memory_fixed, bill.memory_per_token) == (2 * 4 * H, 0)  # a state, which is float32
    assert lfs.Decoder(spec).summary([[1] * LENGTH]).flops == spec.flops(LENGTH)
    assert " a running mean " in str(lfs.Decoder(spec).summary([[1]]))


def test_what_keeps_nothing_is_known_to() -> None:
    class Stateless(Mean):
        def new_memory(self) -> None:  # type: ignore[override]
            return None

    class StatelessSpec(RunningMeanSpec):
        def build(self, rng: np.random.Generator | None) -> Stateless:
            return Stateless(self.hidden, rng)

    assert ask(StatelessSpec(H), "memory_bytes", 9) == 0 and ask(RunningMeanSpec(H), "memory_bytes", 9) is None


def test_a_layer_and_a_branch_say_what_they_are_made_of() -> None:
    attention, feed_forward = SPECS["window"][0], FeedForwardSpec(H, 32)
    layer = LayerSpec.parallel(attention, feed_forward, NormSpec(H, "rms"))
    words = "multi-query, window 2 (heads 4, key-value heads 1, width of a head 2, window 2)"
    assert layer.words() == f"RMSNorm pre, parallel (1 norm); {words} + GELU (tanh) (feed-forward width 32)"
    assert layer.flops(LENGTH) == attention.flops(LENGTH) + feed_forward.flops(LENGTH)
    assert layer.memory_bytes(9) == layer.branches[0].memory_bytes(9) == attention.memory_bytes(9)
    bare = LayerSpec((BranchSpec({"mixer": attention}, alpha=2.0),))
    assert bare.words().startswith("no norms, residual × 2; multi-query")
