"""A spec is edited by copying it, says what it is in a paragraph, and refuses parts that do not fit together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import (
    AttentionSpec,
    FeedForwardSpec,
    LayerSpec,
    MambaSpec,
    MixtureSpec,
    Normal,
    NormSpec,
    Rotary,
)
from llm_from_scratch.zoo import choices

H = 12
ATTENTION = AttentionSpec(H, 3, 3, 4, rotary=Rotary(4), query_norm=NormSpec(4, "rms"), key_norm=NormSpec(12, "rms"))
FEED_FORWARD = FeedForwardSpec(H, 20, "silu", gated=True, bias=False)
NORM = NormSpec(H, "rms", 1e-6, eps_outside=True)
BLOCK = LayerSpec.sequential
SPEC = lfs.ModelSpec(
    vocab_size=11,
    hidden_size=H,
    layers=(
        BLOCK(ATTENTION, FEED_FORWARD, NORM, norm_after=NORM, norm_branch=NORM),
        LayerSpec.parallel(ATTENTION, FEED_FORWARD, NORM),
        LayerSpec.parallel(ATTENTION, MixtureSpec(FEED_FORWARD, 3, 2), NORM, NORM, alpha=2.0),
    ),
    norm=NORM,
    embedding_norm=NORM,
    context_length=16,
)
IDS = np.array([[3, 1, 4, 1, 5, 9, 2, 6]])


def norms(part: Any) -> list[NormSpec]:
    """By brute force: through all attributes."""
    if isinstance(part, NormSpec):
        return [part]
    children = part.values() if isinstance(part, dict) else part if isinstance(part, tuple) else ()
    children = vars(part).values() if dataclasses.is_dataclass(part) else children
    return [norm for child in children for norm in norms(child)]


def trains(spec: lfs.ModelSpec) -> lfs.Decoder:
    model = lfs.Decoder(spec, np.random.default_rng(0))
    optimizer = lfs.AdamW(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(lfs.accumulate_gradients(model, IDS[:, :-1], IDS[:, 1:], threads=1))
        optimizer.step()
    assert losses[-1] < losses[0] - 0.5
    assert all(parameter.grad is not None for parameter in model.parameters())
    return model


def test_another_norm_is_everywhere_and_keeps_each_size() -> None:
    before, after = norms(SPEC), norms(SPEC.with_norm("layer", eps=1e-3))
    assert len(before) == 2 * 3 + 3 + 2 + 3 * 2 + 1 - 1 == len(after)
    assert [norm.size for norm in after] == [norm.size for norm in before]
    assert {(norm.kind, norm.eps, norm.eps_outside) for norm in after} == {("layer", 1e-3, False)}
    assert norms(SPEC.with_norm(weight=False))[0] == dataclasses.replace(before[0], weight=False)
    assert norms(SPEC) == before, "the spec itself is as it was"
    changed = SPEC.with_norm("layer")
    assert choices(changed)["norm"] == "LayerNorm" and choices(SPEC)["norm"] == "RMSNorm with eps outside"
    trains(changed)


@pytest.mark.parametrize(
    "arguments, settings, error, message",
    [
        (("batch",), {}, ValueError, "a norm is 'layer' or 'rms', not 'batch'"),
        ((), {"size": 3}, TypeError, "norms have no setting size; there are bias, eps, "),
        ((), {"epsilon": 1e-5}, TypeError, "norms have no setting epsilon"),
        ((), {"kind": "layer", "eps_outside": True}, ValueError, "RMSNorm only"),
    ],
)
def test_a_norm_that_does_not_exist_is_refused(arguments: Any, settings: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        SPEC.with_norm(*arguments, **settings)


def test_another_mixer_everywhere_or_in_chosen_layers() -> None:
    mamba = MambaSpec(H, 8, 4, rank=2)
    everywhere = SPEC.with_mixer(mamba)
    assert everywhere.mixers == (mamba,) * 3 and everywhere.feed_forwards == SPEC.feed_forwards
    assert norms(everywhere) == [norm for norm in norms(SPEC) if norm.size == H and norm.eps_outside]
    assert [b.alpha for b in everywhere.layers[2].branches] == [2.0], "what runs in parallel stays"
    assert SPEC.with_mixer(mamba, layers=[0, -1]).mixers == (mamba, ATTENTION, mamba)
    assert SPEC.with_mixer(mamba, layers=[-3, 0]).mixers == (mamba, ATTENTION, ATTENTION)
    assert SPEC.with_mixer(mamba, layers=[]) == SPEC
    seen = []

    def window(i: int, old: AttentionSpec) -> AttentionSpec:
        seen.append(i)
        return dataclasses.replace(old, window=i + 1)

    assert [mixer.window for mixer in SPEC.with_mixer(window, layers=(2, 1)).mixers] == [None, 2, 3]
    assert seen == [1, 2]
    assert SPEC.with_mixer(window, layers=(-1, 2)).mixers[2].window == 3 and seen == [1, 2, 2], "once, by its number"
    trains(everywhere)
    trains(SPEC.with_mixer(window))


def test_an_edited_spec_trains_is_saved_in_our_own_layout_and_comes_back(tmp_path: Path) -> None:
    edited = SPEC.with_norm("layer").with_mixer(MambaSpec(H, 8, 4, rank=2), layers=[1])
    model = trains(edited.map(lambda part: Rotary(4, 5e5) if isinstance(part, Rotary) else part))
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert again.spec == model.spec != SPEC
    np.testing.assert_array_equal(again(IDS).data, model(IDS).data)


@pytest.mark.parametrize(
    "make, layers, error, message",
    [
        (MambaSpec(16, 8), None, ValueError, r"layer 0: mixer \(mamba\) is for a hidden size of 16, the model's is 12"),
        (MambaSpec(H, 8), [3], ValueError, "there is no layer 3: this model has layers 0 to 2"),
        (MambaSpec(H, 8), [-4], ValueError, "there is no layer -4"),
        (MambaSpec, None, TypeError, "give the spec of a mixer, or a function"),
        ("mamba", None, TypeError, "give the spec of a mixer, or a function of .* not 'mamba'"),
        (lambda i, old: None, [1], TypeError, r"layer 1: a mixer's spec has .build\(rng\); what was made is None"),
    ],
)
def test_a_mixer_that_does_not_fit_is_refused(make: Any, layers: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        SPEC.with_mixer(make, layers)


def test_map_reaches_every_part_once_inner_ones_first_and_copies_only_what_changed() -> None:
    seen: list[Any] = []

    def look(part: Any) -> Any:
        seen.append(part)
        return part

    assert SPEC.map(look) is SPEC
    kinds = [type(part).__name__ for part in seen]
    assert kinds[-1] == "ModelSpec" and kinds.count("LayerSpec") == 3 and kinds.count("BranchSpec") == 4
    assert kinds.count("NormSpec") == len(norms(SPEC)) and kinds.count("Rotary") == 3
    assert kinds.index("Rotary") < kinds.index("AttentionSpec") < kinds.index("BranchSpec") < kinds.index("LayerSpec")
    wide = SPEC.map(lambda part: dataclasses.replace(part, base=5e5) if isinstance(part, Rotary) else part)
    assert {mixer.rotary.base for mixer in wide.mixers} == {5e5} and wide != SPEC
    assert wide.layers[0].branches[1] is SPEC.layers[0].branches[1], "nothing changed there"
    loud = SPEC.map(lambda part: Normal(0.5) if isinstance(part, Normal) else part)
    assert lfs.Decoder(loud, np.random.default_rng(0)).layers[0].mixer.query.weight.data.std() > 0.4
    experts = SPEC.map(lambda part: dataclasses.replace(part, intermediate_size=7) if part == FEED_FORWARD else part)
    assert [part.intermediate_size for part in experts.feed_forwards] == [7, 7, 7], "inside a mixture too"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_size": 16}, r"layer 0: mixer \(multi-head, query-key norm per head\) is for a hidden size of 12"),
        ({"norm": NormSpec(9)}, "a norm is for a hidden size of 9, the model's is 12"),
        ({"embedding_norm": NormSpec(9)}, "a norm is for a hidden size of 9"),
        ({"layers": (BLOCK(ATTENTION, FEED_FORWARD, norm_branch=NormSpec(8)),)}, "layer 0: a norm .* of 8"),
        ({"layers": (BLOCK(ATTENTION, FEED_FORWARD, norm_after=NormSpec(8)),)}, "layer 0: a norm .* of 8"),
        ({"layers": (BLOCK(ATTENTION, FEED_FORWARD, NormSpec(8)),)}, "layer 0: a norm is for .* of 8"),
        ({"layers": (BLOCK(ATTENTION, MixtureSpec(FeedForwardSpec(8, 9)), NORM),)}, "feed_.* of 8"),
    ],
)  # fmt: skip
def test_parts_of_another_width_are_named(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPEC.replace(**changes)


def test_a_spec_is_told_in_a_paragraph() -> None:
    assert repr(lfs.spec("llama-2-70b")) == (
        "ModelSpec: 80 layers of width 8192, vocabulary 32000, context 4096. Layers 0 to 79: RMSNorm pre; "
        "grouped-query, rotary (heads 64, key-value heads 8, width of a head 128); SwiGLU (feed-forward width 28672). "
        "At the end: RMSNorm, a head of its own."
    )
    words = repr(lfs.spec("opt-350m").replace(head_bias=True, embedding_scale=2.0))
    assert "learned positions, embedding of width 512, embedding × 2." in words
    assert words.endswith("At the end: no norm, a tied head with a bias.")
    assert "LayerNorm on the embedding" in repr(lfs.spec("bloom-176b"))
    striped = repr(lfs.spec("stripedhyena-7b"))
    assert "Layers 0, 2, … 30: " in striped and "Layers 1, 3, … 31: " in striped
    assert repr(SPEC.scaled(layers=1)).count("Layer 0: ") == 1
    assert repr(NORM).startswith("NormSpec(size=12, ") and SPEC == SPEC.replace() != SPEC.replace(tied=False)


def test_a_model_is_told_in_a_table_and_a_part_in_a_line() -> None:
    model = lfs.Decoder(SPEC, np.random.default_rng(0))
    lines = repr(model).splitlines()
    assert lines[0].split() == ["part", "parameters", "bytes"] and len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["in", "all", f"{model.parameter_count:,}", f"{model.nbytes:,}"]
    assert any(line.split()[:3] == ["feed", "forward", "SwiGLU,"] for line in lines)
    size = model.layers[0].mixer.parameter_count
    assert repr(model.layers[0].mixer) == f"Attention(multi-head, query-key norm per head, {size:,} parameters)"
    assert repr(model.layers[0].mixer.query) == "Linear(144 parameters)"


def test_a_part_of_one_s_own_has_a_line_in_the_table() -> None:
    model = lfs.Decoder(SPEC, np.random.default_rng(0))
    model.prompt = lfs.Decoder(SPEC, np.random.default_rng(0)).embedding
    model.layers[1].mixer_norm = model.layers[0].mixer.query  # no norm, and without a spec
    page = model.summary(IDS)
    assert page.parameters == model.parameter_count
    assert "\nprompt " in repr(model) and " linear " in repr(model)


@dataclasses.dataclass(frozen=True)
class HalvedSpec:
    """A norm of one's own that says nothing of itself."""

    def build(self, rng: Any) -> Any:
        return lambda x: x * 0.5


def test_a_norm_of_one_s_own_need_not_say_its_width() -> None:
    spec = lfs.ModelSpec(
        vocab_size=5, hidden_size=12, layers=(LayerSpec.sequential(ATTENTION, FEED_FORWARD, HalvedSpec()),),
        norm=HalvedSpec(), context_length=8,
    )  # type: ignore[arg-type]  # fmt: skip
    assert lfs.Decoder(spec, np.random.default_rng(0))([[1, 2]]).shape == (1, 2, 5)
