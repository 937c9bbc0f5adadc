"""Mixtral beyond what every family must pass: its balancing loss, both layouts of its experts, its early config."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder, export_gradients
from llm_from_scratch.families import find_family
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import open_checkpoint, read_safetensors
from llm_from_scratch.layers import MixtureSpec

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.glob("mixtral_*"))
WEIGHT = 0.3  # of the balancing loss in the frozen numbers
TINY: dict[str, Any] = dict(vocab_size=31, hidden_size=16, intermediate_size=12, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, max_position_embeddings=64)


def reference(name: str) -> dict[str, np.ndarray]:
    return read_safetensors(FIXTURES / name / "reference.safetensors")


def changed(name: str, tmp_path: Path, **changes: Any) -> Path:
    """The fixture with some keys of its config changed."""
    directory = tmp_path / name
    shutil.copytree(FIXTURES / name, directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    (directory / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")
    return directory


def batch(ids: np.ndarray) -> dict[str, np.ndarray]:
    targets = np.full(ids.shape, -100)
    targets[:, :-1] = ids[:, 1:]
    return {"ids": ids, "targets": targets}


def layer_of(model: Decoder) -> MixtureSpec:
    mixture = model.spec.layers[0].branches[1].functions["feed_forward"]
    assert isinstance(mixture, MixtureSpec)
    return mixture


def test_the_variants() -> None:
    assert len(NAMES) >= 5
    designs = {name: layer_of(Decoder(find_family("mixtral").spec(config_of(name)))) for name in NAMES}
    assert {design.chosen for design in designs.values()} == {1, 2, 3}
    assert len({design.experts for design in designs.values()}) >= 4


def config_of(name: str) -> dict[str, Any]:
    return json.loads((FIXTURES / name / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_with_balancing(name: str, tmp_path: Path) -> None:
    frozen = reference(name)
    assert abs(frozen["balanced_loss"] - frozen["loss"]) > 0.2
    asked = changed(name, tmp_path, output_router_logits=True, router_aux_loss_coef=WEIGHT)
    model, data = lfs.from_pretrained(asked), batch(frozen["input_ids"])
    assert abs(model.loss(data).item() - frozen["balanced_loss"]) < 1e-5
    with lfs.no_grad():  # measured, not trained: the same number as without
        assert abs(model.loss(data).item() - frozen["loss"]) < 1e-5
    unasked = lfs.from_pretrained(FIXTURES / name)
    assert layer_of(unasked).balance == 0.0 and abs(unasked.loss(data).item() - frozen["loss"]) < 1e-5


def test_gradients_with_balancing(tmp_path: Path) -> None:
    name = "mixtral_top2"
    frozen = reference(name)
    model = lfs.from_pretrained(changed(name, tmp_path, output_router_logits=True, router_aux_loss_coef=WEIGHT))
    model.loss(batch(frozen["input_ids"])).backward()
    gradients = export_gradients(model)
    expected = {key[14:]: value for key, value in frozen.items() if key.startswith("balanced_grad.")}
    assert gradients.keys() == expected.keys()
    for key, value in expected.items():
        assert np.abs(gradients[key] - value).max() <= 1e-3 * np.abs(value).max(), key
    routers = [key for key in expected if "block_sparse_moe.gate" in key]
    assert len(routers) == 2
    for key in routers:  # the balance makes up a good part of what a router learns from
        assert np.abs(frozen["grad." + key] - expected[key]).max() > 0.05 * np.abs(expected[key]).max()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(side: str, tmp_path: Path) -> None:
    name = "mixtral_top2"
    frozen = reference(name)
    model = lfs.from_pretrained(changed(name, tmp_path, output_router_logits=True, router_aux_loss_coef=WEIGHT))
    mask = frozen[f"{side}_mask"]
    logits = model(frozen["input_ids"], mask=mask).data * mask[..., None]
    np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)
    data = {**batch(frozen["input_ids"]), "mask": mask}
    balance = model.loss(data, auxiliary=True).item() - model.loss(data, auxiliary=False).item()
    assert abs(balance / WEIGHT - frozen[f"{side}_auxiliary"]) < 1e-5
    unmasked = batch(frozen["input_ids"])
    other = model.loss(unmasked, auxiliary=True).item() - model.loss(unmasked, auxiliary=False).item()
    assert abs(other - balance) / WEIGHT > 1e-3


def stacked(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The layout in which the library holds experts: (E, 2 f, d) of gate and up, (E, d, f) of down."""
    found = {name: value for name, value in tensors.items() if ".experts." not in name}
    found = {name.replace(".block_sparse_moe.", ".mlp."): value for name, value in found.items()}
    for i in range(2):
        path = f"model.layers.{i}.block_sparse_moe.experts."
        count = sum(name.startswith(path) for name in tensors) // 3
        pairs = [[tensors[f"{path}{n}.{w}.weight"] for w in ("w1", "w3")] for n in range(count)]
        experts = f"model.layers.{i}.mlp.experts."
        found[experts + "gate_up_proj"] = np.stack([np.concatenate(pair) for pair in pairs])
        found[experts + "down_proj"] = np.stack([tensors[f"{path}{n}.w2.weight"] for n in range(count)])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_stacked_experts_are_the_same_model(name: str, tmp_path: Path) -> None:
    directory = changed(name, tmp_path)
    tensors = read_safetensors(directory / "model.safetensors")
    write_safetensors(directory / "model.safetensors", stacked(tensors))
    assert len(open_checkpoint(directory)) < len(tensors)
    model = lfs.from_pretrained(directory)
    for key, value in lfs.from_pretrained(FIXTURES / name).state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[key], value)
        assert model.state_dict()[key].flags.owndata
    model.save_pretrained(directory)
    saved = read_safetensors(directory)
    assert saved.keys() == tensors.keys()
    assert all(np.array_equal(saved[key], tensors[key]) for key in tensors)


def test_stacked_experts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    directory = changed("mixtral_top2", tmp_path)
    whole = read_safetensors(directory / "model.safetensors")
    good, key = stacked(whole), "model.layers.1.mlp.experts.gate_up_proj"

    def load(tensors: dict[str, np.ndarray]) -> Decoder:
        write_safetensors(directory / "model.safetensors", tensors)
        return lfs.from_pretrained(directory)

    with pytest.raises(ValueError, match=r"experts.gate_up_proj has shape \(4, 39, 16\): the matrices of all experts"):
        load({**good, key: good[key][:, :39]})
    with pytest.raises(ValueError, match=r"experts.3.w1.weight has shape|missing: .*experts.3.w1.weight"):
        load({**good, key: good[key][:3]})
    with pytest.raises(ValueError, match=r"experts.0.w1.weight has shape \(19, 16\), the config asks for \(20, 16\)"):
        load({**good, key: good[key][:, :38]})
    twice = "model.layers.1.block_sparse_moe.experts.0.w1.weight"
    with pytest.raises(ValueError, match=r"experts.0.w1.weight twice"):
        load({**good, twice: whole[twice]})


def test_what_the_library_writes_is_read_in_either_layout(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    name = "mixtral_top2"
    theirs = transformers.MixtralForCausalLM.from_pretrained(FIXTURES / name, dtype=torch.float32)
    expected = lfs.from_pretrained(FIXTURES / name).state_dict()
    for original in (True, False):
        theirs.save_pretrained(tmp_path / str(original), save_original_format=original)
        found = lfs.from_pretrained(tmp_path / str(original)).state_dict()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert any("gate_up_proj" in key for key in open_checkpoint(tmp_path / "False"))


@pytest.mark.parametrize("pair", [("w1", "w3"), ("w2", "w2.other"), ("experts.{n}.w1", "experts.{n}.w1.other")])
def test_a_wrong_mapping_of_the_experts_is_caught(pair: tuple[str, str]) -> None:
    name = "mixtral_top2"
    family = find_family("mixtral")
    tensors = dict(read_safetensors(FIXTURES / name / "model.safetensors"))
    right = dict(tensors)
    for key in right:
        if pair == ("w1", "w3") and (".w1." in key or ".w3." in key):
            other = key.replace(".w1.", ".w3.") if ".w1." in key else key.replace(".w3.", ".w1.")
        elif pair[0] == "w2" and ".w2." in key or pair[0].startswith("experts") and ".w1." in key:
            other = key.replace("experts.0.", "experts.x.").replace("experts.1.", "experts.0.")
            other = other.replace("experts.x.", "experts.1.")
        else:
            continue
        tensors[key] = right[other]

    class Swapped(dict):
        def entry(self, key: str) -> np.ndarray:
            return self[key]

        def copy(self, key: str, view: np.ndarray, into: np.ndarray) -> None:  # type: ignore[override]
            np.copyto(into, view)

        def release(self, key: str) -> None:
            pass

    frozen = reference(name)
    for stored, agrees in ((right, True), (tensors, False)):
        model = Decoder(family.spec(config_of(name)), None, family.complete(config_of(name)))
        family.weights(config_of(name)).load(model, Swapped(stored), None)
        assert (np.abs(model(frozen["input_ids"]).data - frozen["logits"]).max() < 2e-4) == agrees


def test_eight_times_seven_is_not_fifty_six() -> None:
    spec = lfs.spec("mixtral-8x7b")
    model = Decoder(spec)
    d, f, kv, layers, vocabulary, experts, chosen = 4096, 14336, 8 * 128, 32, 32000, 8, 2
    attention, expert, router, norms = 2 * d * d + 2 * d * kv, 3 * d * f, d * experts, 2 * d
    shared = layers * (attention + router + norms) + 2 * vocabulary * d + d
    assert model.parameter_count == shared + layers * experts * expert == 46_702_792_704
    idle = sum(layer.feed_forward.idle_parameter_count for layer in model.layers)
    assert model.parameter_count - idle == shared + layers * chosen * expert == 12_879_925_248


def test_fresh_models_are_drawn_as_published_and_balanced() -> None:
    model = lfs.build(
        "mixtral", seed=3, initializer_range=0.05, **{**TINY, "hidden_size": 128, "intermediate_size": 96}
    )
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            assert parameter.data.std() == pytest.approx(0.05, rel=0.1), name
    weights = [layer.feed_forward.experts[n].up.weight.data for layer in model.layers for n in range(4)]
    assert not any(np.array_equal(a, b) for k, a in enumerate(weights) for b in weights[:k])
    assert layer_of(model).balance == 0.001 and model.config["output_router_logits"] is True


def test_a_small_one_learns_and_keeps_its_experts_busy() -> None:
    model = lfs.build("mixtral", seed=0, router_aux_loss_coef=0.05, **TINY)
    optimizer = lfs.AdamW(model.named_parameters(), lr=1e-2)
    ids = np.arange(240).reshape(8, 30) % 11  # counting
    first = None
    for _ in range(25):
        loss = lfs.accumulate_gradients(model, ids[:, :-1], ids[:, 1:], threads=2)
        first = first or loss
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.3 * first
    with model.record() as seen:
        model(ids)
    for chosen in seen["experts"]:
        assert np.bincount(chosen.ravel(), minlength=4).min() > 0.05 * chosen.size


def test_the_first_release_s_window_is_taken_for_none() -> None:
    family = find_family("mixtral")
    mixers = {}
    for window, context in ((4096, 32768), (None, 32768), (4096, 8192), (128, 32768)):
        spec = family.spec({"sliding_window": window, "max_position_embeddings": context})
        mixers[window, context] = spec.layers[0].branches[0].functions["mixer"].window
    assert mixers == {(4096, 32768): None, (None, 32768): None, (4096, 8192): 4096, (128, 32768): 128}


def test_both_names_of_the_number_of_experts() -> None:
    family = find_family("mixtral")
    spec = family.spec({**{k: v for k, v in TINY.items() if k != "num_local_experts"}, "num_experts": 6})
    assert spec.layers[0].branches[1].functions["feed_forward"].experts == 6
    with pytest.raises(ValueError, match="num_local_experts is there twice"):
        family.spec({**TINY, "num_experts": 6})


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"num_local_experts": 0}, "num_local_experts must lie in 1"),
        ({"num_experts_per_tok": 5}, "num_experts_per_tok is 5, but num_local_experts only 4"),
        ({"num_experts_per_tok": "2"}, "num_experts_per_tok must be a positive integer"),
        ({"router_aux_loss_coef": -0.1}, "router_aux_loss_coef must be a finite number at least 0"),
        ({"router_jitter_noise": 0.1}, "router_jitter_noise 0.1 is not supported"),
        ({"output_router_logits": "yes"}, "output_router_logits must be true or false"),
        ({"sliding_window": 0}, "sliding_window must lie in 1"),
        ({"attention_bias": True}, "attention_bias True is not supported"),
        ({"norm_topk_prob": True}, "norm_topk_prob = True is not known here"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.build("mixtral", **{**TINY, **wrong})


def test_packed_documents_do_not_see_each_other() -> None:
    model = lfs.build("mixtral", dtype=np.float64, **{**TINY, "initializer_range": 0.3})
    one, two = np.random.default_rng(0).integers(0, 31, (2, 1, 6))
    segments = np.array([[0] * 6 + [1] * 6])
    packed = model(np.concatenate([one, two], axis=1), segments=segments).data
    for part, ids in ((packed[:, :6], one), (packed[:, 6:], two)):
        np.testing.assert_allclose(part, model(ids).data, rtol=0, atol=1e-12)


def test_specs_of_equal_configs_are_equal_and_small() -> None:
    spec = lfs.spec("mixtral-8x7b")
    assert spec == lfs.spec("mixtral-8x7b") and len({id(layer) for layer in spec.layers}) == 1
    assert dataclasses.replace(spec, vocab_size=5) != spec
