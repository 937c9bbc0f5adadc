"""What is Mamba's own: a state in place of a cache, packed and padded rows, the authors' files, initialisation."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import llm_from_scratch as lfs
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers import BranchSpec, MambaSpec
from llm_from_scratch.training.adamw import decay_groups
from llm_from_scratch.zoo import costs

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ["mamba_tied", "mamba_biased", "mamba_wide"]
TINY = dict(vocab_size=11, hidden_size=8, num_hidden_layers=2, state_size=3)


def double(name: str = "mamba_tied") -> lfs.Decoder:
    return lfs.from_pretrained(FIXTURES / name, dtype=np.float64)


def tokens(name: str = "mamba_tied") -> np.ndarray:
    return read_safetensors(FIXTURES / name / "reference.safetensors")["input_ids"]


@pytest.mark.parametrize("name", NAMES)
def test_one_step_at_a_time_is_the_whole_sequence(name: str) -> None:
    model, ids = double(name), tokens(name)
    with lfs.no_grad():
        whole = model(ids).data
    memory = model.new_memory(len(ids))
    sizes = set()
    for t in range(ids.shape[1]):
        np.testing.assert_allclose(model.step(ids[:, t : t + 1], memory), whole[:, t], rtol=0, atol=1e-12)
        sizes.add(memory.nbytes)
    spec = model.spec.layers[0].branches[0].functions["mixer"]
    assert sizes == {2 * len(ids) * len(model.layers) * spec.memory_bytes(1)}, "float64, and it does not grow"
    assert costs(model.spec).memory_per_token == 0
    assert costs(model.spec).memory_fixed == len(model.layers) * spec.memory_bytes(1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_as_the_reference(side: str) -> None:
    frozen = read_safetensors(FIXTURES / "mamba_tied" / "reference.safetensors")
    mask = frozen[f"{side}_mask"]
    logits = lfs.from_pretrained(FIXTURES / "mamba_tied")(frozen["input_ids"], mask=mask).data * mask[..., None]
    np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_padding_on_the_left_changes_nothing_and_neither_does_generation_behind_it(name: str) -> None:
    model, ids = double(name), tokens(name)[:1, :9]
    padded = np.concatenate([np.full((1, 6), 3), ids], axis=1)
    mask = np.arange(15)[None] >= 6
    with lfs.no_grad():
        np.testing.assert_allclose(model(padded, mask=mask).data[:, 6:], model(ids).data, rtol=0, atol=1e-12)
    settings = {"max_new_tokens": 8, "temperature": 0.0}
    np.testing.assert_array_equal(model.generate(padded, mask=mask, **settings)[:, 6:], model.generate(ids, **settings))


def test_padding_between_tokens_is_refused() -> None:
    model, ids = double(), tokens()
    mask = np.ones(ids.shape, bool)
    mask[1, 15:] = False
    memory = model.new_memory(2)
    model.step(ids, memory, mask)
    with pytest.raises(ValueError, match="fill up rows on the left"):
        model.step(ids[:, :1], memory)


@pytest.mark.parametrize("name", NAMES)
def test_packed_documents_are_read_as_if_alone(name: str) -> None:
    model, ids = double(name), tokens(name)
    segments = np.zeros(ids.shape, int)
    segments[0, 7:], segments[0, 9:], segments[1, 18:] = 1, 0, 5
    with lfs.no_grad():
        packed = model(ids, segments=segments).data
        for row, start, stop in ((0, 0, 7), (0, 7, 9), (0, 9, 20), (1, 0, 18), (1, 18, 20)):
            alone = model(ids[row : row + 1, start:stop]).data
            np.testing.assert_allclose(packed[row : row + 1, start:stop], alone, rtol=0, atol=1e-12)
        for row, start in ((0, 9), (1, 18)):
            memory = model.new_memory(2)
            model(ids, segments=segments, memory=memory)  # the memory holds the last document of each row only
            memory.select(np.array([row]))
            alone = model(np.append(ids[row, start:], 4)[None]).data[:, -1]
            np.testing.assert_allclose(model.step(np.array([[4]]), memory), alone, rtol=0, atol=1e-12)


def test_rows_of_the_memory_can_be_chosen_but_its_past_is_gone() -> None:
    model, ids = double(), tokens()
    memory = model.new_memory(2)
    model.step(ids[:, :5], memory)
    memory.crop(5)
    with pytest.raises(ValueError, match="cannot crop a memory of 5 tokens to 3"):
        memory.crop(3)
    with pytest.raises(ValueError, match=r"cannot be cropped to 3: it can go back to 0 only"):
        memory.layers[0]["mixer"].crop(3)
    memory.select(np.array([1, 1, 0]))
    logits = model.step(np.array([[7], [7], [7]]), memory)
    with lfs.no_grad():
        wanted = model(np.concatenate([ids[[1, 1, 0], :5], np.full((3, 1), 7)], axis=1)).data[:, -1]
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-12)
    memory.crop(0)
    assert memory.nbytes == 0
    with lfs.no_grad():
        np.testing.assert_allclose(model.step(ids[[0, 1, 1]], memory), model(ids[[0, 1, 1]]).data[:, -1], atol=1e-12)


def test_a_bidirectional_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="has no bidirectional prefix"):
        double()(tokens(), prefix_length=4)


def test_gradients_through_the_whole_model() -> None:
    model, rng = lfs.build("mamba", dtype=np.float64, **TINY | {"num_hidden_layers": 1}), np.random.default_rng(0)
    ids = rng.integers(0, 11, (2, 6))
    for parameter in model.parameters():  # far from the small numbers of a fresh model, whose gradients are tiny
        parameter.data += 0.2 * rng.normal(size=parameter.shape)
    names, values = zip(*model.named_parameters())

    def loss(*_):
        return model.loss({"ids": ids[:, :-1], "targets": ids[:, 1:], "segments": np.array([[0, 0, 1, 1, 1]] * 2)})

    assert lfs.gradcheck(loss, *values, names=names) < 1e-6


def test_the_authors_files_are_read(tmp_path: Path) -> None:
    source = FIXTURES / "mamba_tied"
    shutil.copytree(source, tmp_path / "theirs")
    tensors = read_safetensors(source)
    tensors["backbone.embedding.weight"] = np.concatenate(
        [tensors.pop("backbone.embeddings.weight"), np.ones((1, 12), np.float32)]
    )
    tensors["lm_head.weight"] = tensors["backbone.embedding.weight"].copy()
    save_file(tensors, tmp_path / "theirs" / "model.safetensors")
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config = {key: config[key] for key in ("model_type", "state_size", "vocab_size")}
    config |= {"d_model": 12, "n_layer": 2, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True}
    config |= {"fused_add_norm": True, "pad_vocab_size_multiple": 8}
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = lfs.from_pretrained(tmp_path / "theirs")
    assert model.spec.vocab_size == 48
    frozen = read_safetensors(source / "reference.safetensors")
    np.testing.assert_allclose(model(frozen["input_ids"]).data[..., :47], frozen["logits"], rtol=0, atol=2e-4)
    model.save_pretrained(tmp_path / "ours")
    again = lfs.from_pretrained(tmp_path / "ours")
    assert again.spec == model.spec and "backbone.embeddings.weight" in read_safetensors(tmp_path / "ours")
    written = json.loads((tmp_path / "ours" / "config.json").read_text(encoding="utf-8"))
    assert written["vocab_size"] == 48  # the table's rows: what the transformers library goes by
    assert written["rescale_prenorm_residual"] is False  # it would rescale what it loads


def test_fresh_parameters_are_drawn_as_published() -> None:
    model = lfs.build("mamba", seed=1, vocab_size=500, hidden_size=64, num_hidden_layers=4)
    values = dict(model.named_parameters())
    mixer = {
        key.removeprefix("layers.1.mixer."): value.data for key, value in values.items() if "layers.1.mixer." in key
    }
    np.testing.assert_allclose(np.exp(mixer["A_log"]), np.broadcast_to(np.arange(1, 17), (128, 16)), rtol=1e-6)
    assert (mixer["D"] == 1).all()
    steps = np.log1p(np.exp(mixer["step.bias"].astype(float)))
    assert 1e-3 * (1 - 1e-5) <= steps.min() < 2e-3 and 0.05 < steps.max() <= 0.1 * (1 + 1e-5)
    assert abs(np.log(steps).mean() - math.log(1e-2)) < 0.4, "log-uniform: the middle is the geometric mean"
    bounds = {"step.weight": 0.5, "input.weight": 1 / 8, "gate.weight": 1 / 8, "selection.weight": 128**-0.5}
    bounds |= {"convolution.weight": 0.5, "output.weight": 128**-0.5 / 2}
    for name, bound in bounds.items():
        assert 0.97 * bound < np.abs(mixer[name]).max() <= bound * (1 + 1e-6), name
    assert abs(values["embedding.weight"].data.std() - 0.02) < 2e-4


def test_time_scales_do_not_decay() -> None:
    model = lfs.build("mamba", **TINY)
    groups = {group["weight_decay"]: {name for name, _ in group["params"]} for group in decay_groups(model, 0.1)}
    assert all(f"layers.{i}.mixer.{name}" in groups[0.0] for i in range(2) for name in ("A_log", "D", "step.bias"))
    assert {"embedding.weight", "layers.0.mixer.selection.weight", "layers.1.mixer.input.weight"} <= groups[0.1]
    assert len(groups[0.0] | groups[0.1]) == len(list(model.named_parameters()))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported"),
        ({"time_step_rank": "big"}, "time_step_rank must be a positive integer"),
        ({"intermediate_size": 17}, "intermediate_size 17 is not supported"),
        ({"time_step_max": 1e-4}, "time_step_max must be a finite number at least 0.001"),
        ({"ssm_cfg": {"layer": "Mamba2"}}, "ssm_cfg .* is not supported"),
        ({"attn_layer_idx": [3]}, "attn_layer_idx"),
    ],
)
def test_configs_that_mean_another_model_are_refused(change: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.build("mamba", **TINY, **change)


def test_another_mixer_needs_no_registry() -> None:
    spec = lfs.spec("mamba-130m")
    assert isinstance(spec.layers[0].branches[0], BranchSpec)
    with pytest.raises(ValueError, match="state_size must be a positive integer, not 0"):
        MambaSpec(8, 16, state_size=0)
