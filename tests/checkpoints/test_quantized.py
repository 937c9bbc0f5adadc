"""Quantised models on disk: the same modules and the same bytes, whatever the family; and what other files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints.lineage import fingerprint, tree_of
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers import Embedding, Linear, StoredWeight
from llm_from_scratch.quantization import PackedEmbedding, PackedLinear, PackedWeight, quantize, to_nf4
from llm_from_scratch.recipes.technique_table import VOCABULARY, small_model

FAMILIES = sorted(lfs.families.all_families())
IDS = np.random.default_rng(0).integers(1, VOCABULARY, (2, 9))
FILES = Path(__file__).parents[1] / "families" / "fixtures" / "gguf"


def packed(module: Any) -> Any:
    """A matrix, or a table of embeddings, in Q8_0."""
    rows = module.weight.data if isinstance(module, Embedding) else module.weight.data.T
    weight = PackedWeight.from_blocks(quantize(np.ascontiguousarray(rows), "Q8_0"), "Q8_0")
    return PackedEmbedding(weight) if isinstance(module, Embedding) else PackedLinear(weight, module.bias)


def same_model(a: Any, b: Any) -> bool:
    """Equal types of modules at equal paths, equal arrays and plain fields in all weights."""

    def said(model: Any) -> Any:
        modules = [(path, type(module)) for path, module in model.named_modules()]
        weights = []
        for name, weight in model.named_weights():
            kept = isinstance(weight, StoredWeight)
            arrays = weight.arrays() if kept else {"": weight.data}
            parts = {part: (x.dtype, x.shape, x.tobytes()) for part, x in arrays.items()}
            weights.append((name, parts, weight.fields() if kept else None))
        return modules, weights

    return said(a) == said(b)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_comes_back_to_the_byte(family: str, tmp_path: Path) -> None:
    model = small_model(family)
    to_nf4(model, block_size=32)
    wanted = model(IDS).data
    model.save_pretrained(tmp_path / "one", max_shard_size="20KB")
    assert len(list((tmp_path / "one").glob("model-*.safetensors"))) > 1
    again = lfs.from_pretrained(tmp_path / "one")
    assert same_model(model, again) and (again(IDS).data == wanted).all() and again.config == model.describe()["config"]
    assert lfs.spec(tmp_path / "one") == again.spec
    again.save_pretrained(tmp_path / "two", max_shard_size="20KB")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "two").iterdir()}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    # the numbers that the codes stand for, here and in the published layout
    plain = lfs.from_pretrained(tmp_path / "one", dequantize=True)
    assert not any(isinstance(weight, StoredWeight) for _, weight in plain.named_weights())
    assert fingerprint(plain) == fingerprint(model)
    model.save_pretrained(tmp_path / "two", dequantize=True)
    published = lfs.from_pretrained(tmp_path / "two")
    assert not (tmp_path / "two" / "spec.json").exists() and type(published.layers[0]) is type(plain.layers[0])
    assert fingerprint(published) == fingerprint(model)


def test_packed_matrices_and_tables_too(tmp_path: Path) -> None:
    model = lfs.from_pretrained(FILES / "tied.gguf", packed=True)
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert same_model(model, again)
    assert isinstance(again.embedding, PackedEmbedding) and again.head.embedding is again.embedding
    assert again.nbytes == model.nbytes
    untied = lfs.build("llama", vocab_size=80, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                       num_attention_heads=2)  # fmt: skip
    untied.replace(lambda _, module: isinstance(module, (Linear, Embedding)), packed)
    untied.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert type(again.head) is PackedLinear and type(again.embedding) is PackedEmbedding
    assert (again(IDS).data == untied(IDS).data).all()


def test_what_is_left_in_floats_keeps_its_format_where_that_loses_nothing(tmp_path: Path) -> None:
    lfs.build("gpt2", n_layer=1, n_head=2, n_embd=16, vocab_size=50, n_positions=64).save_pretrained(
        tmp_path / "half", dtype="bfloat16"
    )
    model = lfs.from_pretrained(tmp_path / "half")
    to_nf4(model)
    model.norm.weight.data += np.float32(1e-3)
    model.save_pretrained(tmp_path / "small")
    formats = {name: str(array.dtype) for name, array in read_safetensors(tmp_path / "small").items()}
    assert formats["embedding.weight"] == "bfloat16" and formats["norm.weight"] == "float32"
    assert formats["layers.0.mixer.query.weight.packed"] == "uint8"
    assert same_model(model, lfs.from_pretrained(tmp_path / "small"))


def test_a_tensor_used_twice_and_a_lineage(tmp_path: Path) -> None:
    model = lfs.build("llama", vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                      num_attention_heads=2)  # fmt: skip
    model.layers[1].mixer = model.layers[0].mixer
    to_nf4(model)
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert (again(IDS[:, :5] % 40).data == model(IDS[:, :5] % 40).data).all()
    assert tree_of(again.lineage.steps, weights=False) == ["quantised from", "└─ initialised as llama (seed 0)"]


def test_a_model_without_a_family_and_float64(tmp_path: Path) -> None:
    model = small_model("llama")
    model.config = {}
    to_nf4(model, block_size=32)
    model.save_pretrained(tmp_path)
    assert same_model(model, again := lfs.from_pretrained(tmp_path)) and again.config == {}
    with pytest.raises(TypeError, match=r"compute in float32: leave dtype away, or dequantize=True"):
        lfs.from_pretrained(tmp_path, dtype=np.float64)
    double = lfs.from_pretrained(tmp_path, dtype=np.float64, dequantize=True)
    assert double.dtype == np.float64 and np.abs(double(IDS).data - model(IDS).data).max() < 1e-5


def test_others_are_told_and_a_published_model_saved_after_is_one(tmp_path: Path) -> None:
    model = small_model("llama")
    plain = small_model("llama")
    to_nf4(model, block_size=32)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llm_from_scratch_quantized"
    assert config["quantization_config"]["quant_method"] == "llm_from_scratch"
    plain.save_pretrained(tmp_path)
    assert not (tmp_path / "spec.json").exists() and same_model(lfs.from_pretrained(tmp_path), plain)


def _changed(directory: Path, change: Any) -> None:
    spec, tensors = json.loads((directory / "spec.json").read_text()), read_safetensors(directory)
    change(spec["quantization"]["layers.0.mixer.query.weight"], tensors)
    (directory / "spec.json").write_text(json.dumps(spec))
    write_safetensors(directory / "model.safetensors", tensors)


QUERY = "layers.0.mixer.query.weight"
WRONG = {
    "kind": (lambda said, _: said.update(kind="gold"), f"{QUERY} is kept as 'gold'; known are "),
    "no kind": (lambda said, _: said.pop("kind"), f"{QUERY}: 'kind' is missing"),
    "missing": (lambda _, tensors: tensors.pop(f"{QUERY}.packed"), f"{QUERY} is no nf4 weight of .*packed"),
    "surplus": (lambda _, tensors: tensors.update({f"{QUERY}.more": np.ones(1)}), f"{QUERY} is no nf4 .*more"),
    "cut": (lambda _, tensors: tensors.update({f"{QUERY}.packed": np.ones(3, np.uint8)}), r"is not codes \(3,\)"),
    "field": (lambda said, _: said["fields"].update(outputs=31), f"{QUERY} is no nf4 weight .* 31 x 32"),
    "text": (lambda said, _: said["fields"].update(outputs="many"), f"{QUERY} is no nf4 weight"),
    "shape": (lambda said, _: said["fields"].update(outputs=16, inputs=64), r"query.weight has shape \(64, 16\)"),
    "float": (lambda _, tensors: tensors.pop("norm.weight"), "missing: norm.weight"),
    "other": (lambda _, tensors: tensors.update(more=np.ones(1)), "not expected: more"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_damaged_file_is_refused_by_name(wrong: str, tmp_path: Path) -> None:
    model = small_model("llama")
    to_nf4(model, block_size=32)
    model.save_pretrained(tmp_path)
    change, message = WRONG[wrong]
    _changed(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        lfs.from_pretrained(tmp_path)
