"""What is StripedHyena's own: several ways to one output, states, packed and padded rows, exact poles, first values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.checkpoints.saving import export_weights
from llm_from_scratch.files.sharded import read_safetensors, write_checkpoint
from llm_from_scratch.layers import NormSpec
from llm_from_scratch.layers.hyena import HyenaSpec, ModalFilter, ModalFilterSpec
from llm_from_scratch.training.adamw import decay_groups
from llm_from_scratch.zoo import choices, costs

FIXTURE = Path(__file__).parent / "author_fixtures" / "stripedhyena"
TINY: dict[str, Any] = dict(
    vocab_size=11, hidden_size=8, num_filters=8, num_layers=2, num_attention_heads=2, proj_groups=1, inner_mlp_size=12,
    max_seqlen=64,
)  # fmt: skip
WAYS = ("fft", "recurrence")


def double(method: str = "auto") -> Decoder:
    return switched(lfs.from_pretrained(FIXTURE, dtype=np.float64), method)


def switched(model: Decoder, method: str) -> Decoder:
    for part in filters(model):
        part.method = method
    return model


def filters(model: Decoder) -> Iterator[ModalFilter]:
    found = [module for _, module in model.named_modules() if isinstance(module, ModalFilter)]
    assert found
    return iter(found)


def frozen() -> dict[str, np.ndarray]:
    return read_safetensors(FIXTURE / "reference.safetensors")


@pytest.mark.parametrize("method", WAYS)
def test_both_ways_are_the_authors_parallel_form(method: str) -> None:
    model = switched(lfs.from_pretrained(FIXTURE), method)
    np.testing.assert_allclose(model(frozen()["input_ids"]).data, frozen()["logits"], rtol=0, atol=2e-4)


def test_one_token_at_a_time_is_the_authors_recurrent_form() -> None:
    model, reference = lfs.from_pretrained(FIXTURE), frozen()
    ids, wanted = reference["input_ids"], reference["recurrent_logits"]
    memory = model.new_memory(len(ids))
    for t in range(ids.shape[1]):
        got = model.step(ids[:, t : t + 1], memory)
        np.testing.assert_allclose(got, wanted[:, t], rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", WAYS)
def test_the_state_after_a_prompt_and_a_step_is_the_authors(method: str) -> None:
    model, reference = switched(lfs.from_pretrained(FIXTURE), method), frozen()
    memory = model.new_memory(2)
    model.step(reference["input_ids"][:, :25], memory)
    model.step(reference["input_ids"][:, 25:26], memory)
    state = memory.layers[0]["mixer"].state
    for part, name in enumerate(("re", "im")):
        wanted = reference[f"state_after_first_step.iir.{name}"]
        np.testing.assert_allclose(state[..., part], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 2])
def test_the_filters_are_the_authors(layer: int) -> None:
    model = lfs.from_pretrained(FIXTURE)
    got = model.layers[layer].mixer.filter.values(37).data.T
    np.testing.assert_allclose(got, frozen()[f"filter.{layer}"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("borders", [[0, 1, 2, 3, 4, 37], [0, 20, 37], [0, 36, 37], [0, 3, 17, 18, 37]])
def test_any_split_into_chunks_gives_the_same_logits(method: str, borders: list[int]) -> None:
    model, ids = double(method), frozen()["input_ids"]
    with lfs.no_grad():
        whole = model(ids).data
        memory = model.new_memory(len(ids))
        parts = [model(ids[:, a:b], memory=memory).data for a, b in zip(borders, borders[1:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-11)


def test_gradients_are_the_same_both_ways() -> None:
    ids = frozen()["input_ids"].astype(int)
    segments = np.repeat((np.arange(36) >= 13).astype(int)[None], 2, axis=0)
    batch = {"ids": ids[:, :-1], "targets": ids[:, 1:], "segments": segments}
    found = []
    for method in WAYS:
        model = double(method)
        model.loss(batch).backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in found[0].items():
        assert np.abs(gradient).max() > 1e-6, name
        np.testing.assert_allclose(found[1][name], gradient, rtol=0, atol=1e-11, err_msg=name)


def test_the_memory_of_a_convolution_does_not_grow() -> None:
    model, ids = lfs.from_pretrained(FIXTURE), frozen()["input_ids"]
    memory, sizes = model.new_memory(2), set()
    for t in range(30):
        model.step(ids[:, t : t + 1], memory)
        sizes.add(sum(memory.layers[i]["mixer"].nbytes for i in (0, 2)))
    bill = costs(model.spec)
    assert sizes == {2 * bill.memory_fixed} and bill.memory_fixed == 2 * 4 * 32 * (2 * 2 + 3 * 2)
    assert bill.memory_per_token == 2 * 2 * 8 * 2  # one layer of attention, two key-value heads of width 8, bfloat16
    with pytest.raises(ValueError, match="cannot crop a memory of 30 tokens to 5"):
        memory.crop(5)
    memory.select(np.array([1, 0, 1]))
    got = model.step(ids[[1, 0, 1], 30:31], memory)
    np.testing.assert_allclose(got, frozen()["logits"][[1, 0, 1], 30], rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", WAYS)
def test_padding_on_either_side_changes_nothing(method: str) -> None:
    model, ids = double(method), frozen()["input_ids"][:1, :9]
    mask = np.arange(15)[None] >= 6
    padded = np.concatenate([np.full((1, 6), 3), ids], axis=1)
    with lfs.no_grad():
        alone = model(ids).data
        np.testing.assert_allclose(model(padded, mask=mask).data[:, 6:], alone, rtol=0, atol=1e-12)
        turned = np.concatenate([ids, np.full((1, 6), 3)], axis=1)
        np.testing.assert_allclose(model(turned, mask=mask[:, ::-1]).data[:, :9], alone, rtol=0, atol=1e-12)
    settings: dict[str, Any] = {"max_new_tokens": 8, "temperature": 0.0}
    np.testing.assert_array_equal(model.generate(padded, mask=mask, **settings)[:, 6:], model.generate(ids, **settings))


@pytest.mark.parametrize("method", WAYS)
def test_packed_documents_are_read_as_if_alone(method: str) -> None:
    model, ids = double(method), frozen()["input_ids"]
    segments = np.zeros(ids.shape, int)
    segments[0, 7:], segments[0, 9:], segments[1, 30:] = 1, 2, 5
    with lfs.no_grad():
        packed = model(ids, segments=segments).data
        for row, start, stop in ((0, 0, 7), (0, 7, 9), (0, 9, 37), (1, 0, 30), (1, 30, 37)):
            alone = model(ids[row : row + 1, start:stop]).data
            np.testing.assert_allclose(packed[row : row + 1, start:stop], alone, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", WAYS)
def test_what_is_remembered_of_a_packed_row_is_its_last_document(method: str) -> None:
    config = {**TINY, "attn_layer_idxs": [], "hyena_layer_idxs": [0, 1]}
    model = switched(lfs.build("stripedhyena", dtype=np.float64, **config), method)
    ids = np.random.default_rng(0).integers(0, 11, (2, 12))
    segments = np.zeros(ids.shape, int)
    segments[0, 7:], segments[1, 11:] = 1, 4
    with lfs.no_grad():
        for row, start in ((0, 7), (1, 11)):
            memory = model.new_memory(2)
            model(ids, segments=segments, memory=memory)
            memory.select(np.array([row]))
            alone = model(np.append(ids[row, start:], 4)[None]).data[:, -1]
            np.testing.assert_allclose(model.step(np.array([[4]]), memory), alone, rtol=0, atol=1e-12)


def test_a_long_generation_stays_what_the_formula_says() -> None:
    """Two thousand float32 steps of the recurrence against the filter evaluated in float64."""
    rng = np.random.default_rng(0)
    layer = ModalFilterSpec(2, longest=4000.0).build(6, rng)
    x = rng.standard_normal((1, 2000, 6), dtype=np.float32)
    state, outputs = None, []
    zero = lfs.Tensor(np.zeros(6, np.float32))
    with lfs.no_grad():
        for t in range(2000):
            y, state = layer(lfs.Tensor(x[:, t : t + 1]), zero, state, None, continued=True)
            outputs.append(y.data)
        layer.astype(np.float64)
        wanted = lfs.functional.long_convolution(x.astype(float), layer.values(2000)).data
    got = np.concatenate(outputs, axis=1)
    assert got.dtype == np.float32 and np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_channels_in_thirds_are_the_same_weights_in_another_order(tmp_path: Path) -> None:
    config = json.loads((FIXTURE / "config.json").read_text(encoding="utf-8"))
    stored = read_safetensors(FIXTURE)
    for name in stored:
        if "projections" in name or "short_filter" in name:  # (heads, 3, width of a head) -> (3, heads, …)
            split = stored[name].reshape(4, 3, 8, *stored[name].shape[1:])
            stored[name] = np.ascontiguousarray(split.swapaxes(0, 1)).reshape(stored[name].shape)
    text = json.dumps(config | {"column_split_hyena": False})
    write_checkpoint(tmp_path, stored, texts={"config.json": text})
    model = lfs.from_pretrained(tmp_path)
    np.testing.assert_array_equal(
        model(frozen()["input_ids"]).data, lfs.from_pretrained(FIXTURE)(frozen()["input_ids"]).data
    )
    thirds = export_weights(model)["blocks.0.projections.weight"]
    np.testing.assert_array_equal(thirds[:8], read_safetensors(FIXTURE)["blocks.0.projections.weight"][:8])
    np.testing.assert_array_equal(thirds[8:16], read_safetensors(FIXTURE)["blocks.0.projections.weight"][24:32])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_poles_and_residues_are_stored_in_float32_whatever_the_rest_is(dtype: str, tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURE)
    model.save_pretrained(tmp_path, dtype=dtype)
    stored, original = read_safetensors(tmp_path), read_safetensors(FIXTURE)
    for name, array in stored.items():
        if name.endswith(("poles", "residues")):
            assert array.tobytes() == original[name].tobytes(), name
        else:
            assert array.dtype.itemsize == 2, name
    again = lfs.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path / "again")
    repeated = read_safetensors(tmp_path / "again")
    assert all(repeated[name].tobytes() == stored[name].tobytes() for name in stored)


def test_all_parameters_of_the_release() -> None:
    layer = 3 * 4096 * 14336 + 2 * 4096
    hyena = 4096 * 3 * 4096 + 3 * 4096 + 3 * 4096 * 4 + 4096 + 4096**2 + 4096 + 2 * 4096 * 2 * 2
    attention = 2 * 4096**2 + 2 * 4096 * 1024
    spec = lfs.spec("stripedhyena-7b")
    assert Decoder(spec).parameter_count == 32 * layer + 16 * (hyena + attention) + 2 * 32000 * 4096 + 4096
    assert [isinstance(part.branches[0].functions["mixer"], HyenaSpec) for part in spec.layers] == [True, False] * 16
    assert choices(spec)["mixer"] == "hyena + grouped-query" and choices(spec)["biases"] == "hyena"
    bill = costs(spec)
    assert bill.memory_per_token == 16 * 2 * 8 * 128 * 2 and bill.memory_fixed == 16 * 4 * 4096 * (4 + 6)


def test_fresh_poles_are_stable_and_remember_for_different_times() -> None:
    model = lfs.build("stripedhyena", seed=1, **TINY | {"hidden_size": 256, "num_filters": 256, "max_seqlen": 1000})
    mixer = model.layers[0].mixer
    z = mixer.filter.poles.data.astype(float)
    times = -1 / np.log(np.hypot(z[..., 0], z[..., 1]))
    np.testing.assert_allclose(times[:, 0], times[:, 1], rtol=1e-3)
    assert 4 * 0.999 <= times.min() < 5 and 800 < times.max() <= 1000 * 1.001
    assert abs(np.log(times).mean() - np.log(4000) / 2) < 0.2, "log-uniform: the middle is the geometric mean"
    turns = np.arctan2(z[:, 1, 1], z[:, 1, 0]) / (2 * np.pi) * times[:, 1]
    np.testing.assert_allclose(turns, 1, rtol=1e-3)  # the second mode turns once while it fades
    energy = (mixer.filter.values(8000).data ** 2).sum(0)
    assert 0.5 < energy.mean() < 2
    y = model(np.random.default_rng(0).integers(0, 11, (1, 1000))).data
    assert np.isfinite(y).all() and 0.05 < y.std() < 5


def test_time_scales_do_not_decay() -> None:
    model = lfs.build("stripedhyena", **TINY)
    groups = {group["weight_decay"]: {name for name, _ in group["params"]} for group in decay_groups(model, 0.1)}
    assert {f"layers.0.mixer.{name}" for name in ("D", "filter.poles", "filter.residues")} <= groups[0.0]
    assert {"layers.0.mixer.projection.weight", "layers.0.mixer.convolution.weight"} <= groups[0.1]


def test_gradients_through_the_whole_model() -> None:
    model, rng = lfs.build("stripedhyena", dtype=np.float64, **TINY), np.random.default_rng(0)
    ids = rng.integers(0, 11, (2, 6))
    for name, parameter in model.named_parameters():  # far from the small numbers of a fresh model
        if "poles" not in name:
            parameter.data += 0.2 * rng.normal(size=parameter.shape)
    names, values = zip(*model.named_parameters())

    def loss(*_: Any) -> Any:
        return model.loss({"ids": ids[:, :-1], "targets": ids[:, 1:], "segments": np.array([[0, 0, 1, 1, 1]] * 2)})

    for method in WAYS:
        switched(model, method)
        assert lfs.gradcheck(loss, *values, names=names) < 1e-6


def test_it_learns() -> None:
    model = lfs.build("stripedhyena", **TINY)
    ids = np.random.default_rng(0).integers(0, 11, (4, 17))
    optimizer = lfs.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(lfs.accumulate_gradients(model, ids[:, :-1], ids[:, 1:], threads=2))
        optimizer.step()
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hyena_filter_groups": 4}, "hyena_filter_groups 4 is not supported; supported: 1"),
        ({"num_filters": 4}, "num_filters 4 is not supported; supported: 8"),
        ({"column_split": True}, "column_split True is not supported"),
        ({"long_fir_threshold": 128}, "long_fir_threshold 128 is not supported"),
        ({"smeared_gqa": True}, "smeared_gqa True is not supported"),
        ({"use_interpolated_rotary_pos_emb": True}, "use_interpolated_rotary_pos_emb True is not supported"),
        ({"mlp_activation": "gelu"}, "mlp_activation 'gelu' is not supported"),
        ({"proj_groups": 3}, "num_attention_heads 2 is not a multiple of proj_groups 3"),
        ({"attn_layer_idxs": [0, 1]}, "layer 0 is in both of attn_layer_idxs and hyena_layer_idxs"),
        ({"attn_layer_idxs": []}, "layer 1 is in neither of attn_layer_idxs and hyena_layer_idxs"),
        ({"attn_layer_idxs": "odd"}, "attn_layer_idxs must be a list of layer numbers"),
        ({"state_size": 0}, r"state_size must lie in 1\.\."),
        ({"hcm_layer_idxs": [1]}, "hcm_layer_idxs"),
    ],
)
def test_configs_that_mean_another_model_are_refused(change: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.build("stripedhyena", **TINY | change)


def test_specs_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="state_size must be a positive integer, not 0"):
        ModalFilterSpec(0)
    with pytest.raises(ValueError, match="longest must be a positive number of steps"):
        ModalFilterSpec(2, longest=-1.0)
    with pytest.raises(ValueError, match="convolution_width must be a positive integer"):
        HyenaSpec(8, ModalFilterSpec(), convolution_width=0)
    with pytest.raises(ValueError, match="eps stands outside the root in RMSNorm only"):
        NormSpec(8, eps_outside=True)
    with pytest.raises(ValueError, match="method is 'auto', 'fft' or 'recurrence', not 'fast'"):
        double("fast")(frozen()["input_ids"])
    with pytest.raises(ValueError, match="has no bidirectional prefix"):
        double()(frozen()["input_ids"], prefix_length=4)
