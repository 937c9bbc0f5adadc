"""Adapters that peft wrote (fixtures/make_peft.py): the same logits and gradients; and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A
from llm_from_scratch.adapters.published import published_places

from .conftest import FAMILIES, small

FIXTURES = Path(__file__).parent / "fixtures"
BASES = FIXTURES.parents[1] / "families" / "fixtures"
CASES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


def base(case, dtype=np.float64):
    return lfs.from_pretrained(BASES / case.partition("-")[0], dtype=dtype)


def grads(model, ids):
    targets = np.full(ids.shape, -100)
    targets[:, :-1] = ids[:, 1:]
    model.zero_grad()
    model.loss({"ids": ids, "targets": targets}, auxiliary=False).backward()


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients_of_peft(case):
    model, frozen = base(case), load_file(FIXTURES / case / "reference.safetensors")
    alone = model(frozen["ids"]).data
    paths = A.load_adapter(model, FIXTURES / case)
    got = model(frozen["ids"]).data
    assert np.abs(frozen["logits"] - alone).max() > 1e-3, "the adapter does nothing"
    np.testing.assert_allclose(got, frozen["logits"], rtol=0, atol=1e-5)
    assert all(name.find(".default.") > 0 for name, p in model.named_parameters() if p.requires_grad)
    grads(model, frozen["ids"])
    seen = 0
    for key, wanted in frozen.items():
        if key.startswith("gradient."):
            found = gradient_of(model, key.removeprefix("gradient."), paths)
            np.testing.assert_allclose(found, wanted.reshape(found.shape), atol=1e-5 * max(1, np.abs(wanted).max()))
            seen += bool(np.abs(wanted).max() > 1e-5)
    assert seen or "projection" in case or case == "gpt2_tied-prefix"


def gradient_of(model, key, paths):
    """The gradient of a stored tensor, put together from those of ours: fused parts share their A."""
    if key == "prompt_embeddings":
        part = model.prefix.adapters["default"]
        if hasattr(part, "rows"):
            return part.rows.grad
        return np.concatenate([pair.grad.reshape(part.length, -1) for pair in part.pairs], axis=1)
    words = key.removeprefix("base_model.model.").removesuffix(".weight").split(".")
    places = published_places(model)
    module, word = (".".join(words[:-1]), words[-1]) if ".".join(words) not in places else (".".join(words), "whole")
    place = places[module]
    parts = [dict(model.named_modules())[path].adapters["default"] for path in place.ours]
    if word == "whole":
        return parts[0].module.weight.grad.T
    if word in ("lora_A", "lora_embedding_A"):
        return sum(part.A.grad for part in parts).T
    if word in ("lora_B", "lora_embedding_B"):
        return place.join([part.B.grad for part in parts])
    if word == "lora_magnitude_vector":
        return place.join([part.magnitude.grad for part in parts])
    assert word == "ia3_l"
    return parts[0].factors.grad if parts[0].of_inputs else place.join([part.factors.grad for part in parts])


@pytest.mark.parametrize("case", CASES)
def test_written_again_it_is_the_same_file(case, tmp_path):
    model = base(case, np.float32)
    A.load_adapter(model, FIXTURES / case)
    A.save_adapter(model, tmp_path)
    theirs, ours = (load_file(path / "adapter_model.safetensors") for path in (FIXTURES / case, tmp_path))
    theirs = {key: array for key, array in theirs.items() if ".base_layer." not in key}
    assert theirs.keys() == ours.keys()
    assert all((theirs[key] == ours[key]).all() for key in theirs)
    one, other = (json.loads((path / "adapter_config.json").read_text()) for path in (FIXTURES / case, tmp_path))
    for key in ("peft_type", "num_virtual_tokens", "num_layers", "token_dim", "use_dora", "use_rslora"):
        assert one.get(key) == other.get(key), key


def test_other_spellings(tmp_path):
    """The adapter's name in keys (early files); DoRA's vector with .weight; names without the head's prefix."""
    for case, change in (
        ("llama_gqa-lora", lambda key: key.replace("lora_A", "lora_A.default").replace("lora_B", "lora_B.default")),
        ("llama_gqa-lora", lambda key: key.replace("base_model.model.model.", "base_model.model.")),
        ("llama_gqa-dora", lambda key: key + ".weight" * key.endswith("vector")),
        ("llama_gqa-whole_head", lambda key: key.replace("lm_head.weight", "lm_head.modules_to_save.default.weight")),
        ("gpt2_tied-ia3", lambda key: key + ".default"),
    ):
        altered = copied(
            case, tmp_path / case, lambda tensors, change=change: {change(k): v for k, v in tensors.items()}
        )
        model, frozen = base(case), load_file(FIXTURES / case / "reference.safetensors")
        A.load_adapter(model, altered)
        np.testing.assert_allclose(model(frozen["ids"]).data, frozen["logits"], rtol=0, atol=1e-5)


def copied(case, folder, change=None, config=None):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIXTURES / case, folder)
    if change is not None:
        tensors = load_file(folder / "adapter_model.safetensors")
        save_file(change(tensors) or tensors, folder / "adapter_model.safetensors")
    if config is not None:
        content = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**content, **config}))
    return folder


Q0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def without(tensors):
    del tensors[Q0]


def wider(tensors):
    tensors[Q0] = np.zeros((2, 99), np.float32)


def infinite(tensors):
    tensors[Q0][0, 0] = np.inf


def surplus(tensors):
    tensors[Q0.replace("lora_A", "lora_E")] = np.zeros(3, np.float32)


def beside_positions(tensors):
    return {"base_model.model.transformer.wpe.lora_embedding_A": next(iter(tensors.values()))}


def half(tensors):
    return {key: array for key, array in tensors.items() if ".layers.0." in key}


@pytest.mark.parametrize(
    ("case", "change", "config", "message"),
    [
        ("llama_gqa-lora", without, None, r"layers\.0\.self_attn\.q_proj\.lora_A is missing"),
        ("llama_gqa-lora", wider, None, r"q_proj\.lora_A has shape \(2, 99\)"),
        ("llama_gqa-lora", infinite, None, r"q_proj\.lora_A holds numbers that are not finite"),
        ("llama_gqa-lora", surplus, None, "lora_E"),
        ("llama_gqa-lora", half, None, r"target_modules mean .*layers\.1\.self_attn\.q_proj.* holds nothing"),
        ("llama_gqa-lora", None, {"r": 5}, r"lora_A has shape \(2, \d+\); for this model and .* \(5, "),
        ("llama_gqa-lora", None, {"r": -1}, r"r of model\.layers\.0.* is -1"),
        ("llama_gqa-lora", None, {"target_modules": "("}, "no regular expression"),
        ("llama_gqa-lora", None, {"peft_type": "VERA"}, "'VERA' is not known here; known are LORA, IA3"),
        ("llama_gqa-lora", None, {"bias": "all"}, "bias 'all'"),
        ("llama_gqa-lora", None, {"trainable_token_indices": [1]}, "trainable_token_indices"),
        ("llama_gqa-prefix", lambda t: {"prompt_embeddings": t["prompt_embeddings"][:, :5]}, None, "prompt_embeddings"),
        ("llama_gqa-prompt", lambda t: {"prompt_embeddings": t["prompt_embeddings"][:, :5]}, None, "prompt_embeddings"),
        ("llama_gqa-ia3", None, {"feedforward_modules": []}, "ia3_l has shape"),
        ("gpt2_tied-lora", beside_positions, {"target_modules": ["wpe"]}, r"transformer\.wpe is no linear layer"),
    ],
)
def test_what_does_not_fit_names_the_tensor_and_changes_nothing(case, change, config, message, tmp_path):
    model = base(case)
    before = model(np.array([[1, 2, 3]])).data
    with pytest.raises(ValueError, match=message):
        A.load_adapter(model, copied(case, tmp_path / "adapter", change, config))
    assert A.names(model) == [] and (model(np.array([[1, 2, 3]])).data == before).all()


@pytest.mark.parametrize(
    ("case", "other", "message"),
    [
        ("llama_gqa-lora", "gpt2_tied", "this model has no module 'model.layers.0.self_attn.q_proj'"),
        ("gpt2_tied-lora", "llama_gqa", "this model has no module 'transformer.h.0.attn.c_attn'"),
        ("llama_gqa-lora", "mamba_tied", "this model has no module"),
        ("llama_gqa-lora", "llama_mha", "lora_B has shape"),
        ("llama_gqa-prefix", "mamba_tied", "Mamba layers keep no keys and values"),
    ],
)
def test_an_adapter_of_another_model(case, other, message):
    model = lfs.from_pretrained(BASES / other)
    with pytest.raises(ValueError, match=message):
        A.load_adapter(model, FIXTURES / case)
    assert A.names(model) == []


def test_another_vocabulary(tmp_path):
    model = small("llama", np.float32)
    A.add_lora(model, 2)
    A.save_adapter(model, tmp_path)
    with pytest.raises(ValueError, match="made for a vocabulary of 30 tokens, this model has 31"):
        A.load_adapter(small("llama", np.float32, vocab_size=31), tmp_path)
    with pytest.raises(ValueError, match="lm_head.weight has shape"):
        config = lfs.from_pretrained(BASES / "llama_gqa").config
        config = {k: v for k, v in config.items() if k not in ("model_type", "architectures", "torch_dtype")}
        other = lfs.build("llama", **{**config, "vocab_size": config["vocab_size"] + 1})
        A.load_adapter(other, FIXTURES / "llama_gqa-whole_head")


def test_missing_files_and_pickles(tmp_path):
    model = small("llama", np.float32)
    with pytest.raises(FileNotFoundError, match="adapter_config.json was expected"):
        A.load_adapter(model, tmp_path)
    folder = copied("llama_gqa-lora", tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no adapter_model.safetensors"):
        A.load_adapter(model, folder)
    (folder / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="is a pickle, which can run any code"):
        A.load_adapter(model, folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_layer_has_a_published_name(family):
    model = small(family, np.float32)
    named = {path for place in published_places(model).values() for path in place.ours if place.kind == "linear"}
    assert {path for path, module in A.places.matrices(model).items()} - {"embedding"} <= named
