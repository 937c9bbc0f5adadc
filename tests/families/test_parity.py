"""The families against frozen numbers of the transformers library (fixtures/make_references.py); mistakes caught."""

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
from llm_from_scratch.families import Row, WeightTable, find_family
from llm_from_scratch.families.published.layouts import AS_IS, TRANSPOSED, Fused, InterleavedRotary
from llm_from_scratch.files.sharded import open_checkpoint, read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "config.json").exists())
WITH_GRADIENTS = [name for name in NAMES if not name.endswith(("hub", "sharded", "float16"))]
SPELLINGS = ["config.json", "config.current.json"]


def reference(name: str) -> dict[str, np.ndarray]:
    return read_safetensors(FIXTURES / name / "reference.safetensors")


def checkpoint(name: str, spelling: str, tmp_path: Path) -> Path:
    """The fixture with one of its two configs as config.json."""
    shutil.copytree(FIXTURES / name, tmp_path / name)
    shutil.copy(FIXTURES / name / spelling, tmp_path / name / "config.json")
    return tmp_path / name


def batch(ids: np.ndarray) -> dict[str, np.ndarray]:
    targets = np.full(ids.shape, -100)
    targets[:, :-1] = ids[:, 1:]
    return {"ids": ids, "targets": targets}


def test_the_fixtures_are_what_is_tested() -> None:
    assert len([name for name in NAMES if name.startswith("gpt2")]) >= 4
    assert len([name for name in NAMES if name.startswith("llama")]) >= 8
    for name in NAMES:
        size = sum(path.stat().st_size for path in (FIXTURES / name).iterdir())
        assert size < 200_000, f"references stay small: {name} has {size} bytes"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMES)
def test_logits_loss_and_greedy_tokens(name: str, spelling: str, tmp_path: Path) -> None:
    model, frozen = lfs.from_pretrained(checkpoint(name, spelling, tmp_path)), reference(name)
    ids = frozen["input_ids"]
    logits = model(ids)
    assert logits.dtype == np.float32 and model.dtype == np.float32
    assert np.abs(frozen["logits"]).max() > 100 * 2e-4
    np.testing.assert_allclose(logits.data, frozen["logits"], rtol=0, atol=2e-4)
    assert abs(model.loss(batch(ids)).item() - frozen["loss"]) < 1e-5
    assert abs(lfs.cross_entropy(logits[:, :-1], ids[:, 1:]).item() - frozen["loss"]) < 1e-5
    generated = model.generate(frozen["gen_prompt"], max_new_tokens=10, temperature=0.0)
    np.testing.assert_array_equal(generated, frozen["gen_ids"])


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradients_of_every_tensor(name: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), reference(name)
    model.loss(batch(frozen["input_ids"])).backward()
    gradients = export_gradients(model)
    expected = {key[5:]: value for key, value in frozen.items() if key.startswith("grad.")}
    assert gradients.keys() == expected.keys()
    largest = max(np.abs(value).max() for value in expected.values())
    for key, value in expected.items():
        # Some are zero but for rounding: a key bias adds the same to all scores of a row.
        scale = max(np.abs(value).max(), 1e-6 * largest / 1e-3)
        assert gradients[key].shape == value.shape and gradients[key].dtype == np.float32
        assert np.abs(gradients[key] - value).max() <= 1e-3 * scale, key


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt2_tied", "llama_gqa", "phi_half"])
def test_padding_on_either_side(name: str, side: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), reference(name)
    mask = frozen[f"{side}_mask"]
    assert 0 < mask.sum() < mask.size
    for positions in (None, frozen[f"{side}_positions"]):  # by default they count real tokens, as the reference's do
        logits = model(frozen["input_ids"], mask=mask, positions=positions).data * mask[..., None]
        np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64_and_agrees_more_closely(name: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name, dtype=np.float64), reference(name)
    logits = model(frozen["input_ids"])
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits.data, frozen["logits"], rtol=0, atol=2e-5)
    if name in WITH_GRADIENTS:
        model.loss(batch(frozen["input_ids"])).backward()
        assert {value.dtype for value in export_gradients(model).values()} == {np.dtype(np.float64)}


def test_parameters_are_contiguous_arrays_of_their_own() -> None:
    for name in ("gpt2_tied", "llama_gqa"):
        for key, parameter in lfs.from_pretrained(FIXTURES / name).named_parameters():
            assert parameter.data.flags.c_contiguous and parameter.data.flags.writeable, key
            assert parameter.data.flags.owndata and parameter.requires_grad, key


def load_with(name: str, change: Any) -> Decoder:
    """The fixture, loaded through its weight table after `change(rows)`."""
    config = json.loads((FIXTURES / name / "config.json").read_text(encoding="utf-8"))
    family = find_family(config["model_type"])
    table = family.weights(config)
    model = Decoder(family.spec(config), None, family.complete(config))
    dataclasses.replace(table, rows=tuple(change(list(table.rows)))).load(model, open_checkpoint(FIXTURES / name), None)
    return model


def agrees(model: Decoder, name: str) -> bool:
    frozen = reference(name)
    return bool(np.abs(model(frozen["input_ids"]).data - frozen["logits"]).max() < 2e-4)


def swappable(name: str) -> list[tuple[int, int]]:
    """Pairs of rows of one layout whose tensors have equal shapes, so that swapping them raises no error."""
    config = json.loads((FIXTURES / name / "config.json").read_text(encoding="utf-8"))
    family = find_family(config["model_type"])
    rows = family.weights(config).rows
    spec = Decoder(family.spec(config))
    shapes = {}
    for position, row in enumerate(rows):
        bound = WeightTable(rows=rows).bind({key: p.shape for key, p in spec.named_parameters()})
        pattern = row.theirs.replace("{i}", "0").replace("{w}", "weight")
        kind = "{i}" in row.theirs, "{w}" in row.theirs
        shapes[position] = [(b.shape, kind) for b in bound if b.theirs == pattern and len(b.ours) == 1]
    return [(a, b) for a in shapes for b in shapes if a < b and shapes[a] and shapes[a] == shapes[b]]


SWAPPED = ("gpt2_tied", "llama_mha", "opt_pre", "opt_post", "bloom_6_heads", "neox_pythia", "phi_half")
SWAPS = [(name, pair) for name in SWAPPED for pair in swappable(name)]


def test_there_are_mistakes_to_try() -> None:
    assert all(any(swap[0] == name for swap in SWAPS) for name in SWAPPED)
    assert len([swap for swap in SWAPS if swap[0] == "llama_mha"]) >= 8


@pytest.mark.parametrize("name, pair", SWAPS)
def test_swapping_two_rows_is_caught(name: str, pair: tuple[int, int]) -> None:
    a, b = pair

    def swap(rows: list[Row]) -> list[Row]:
        first, second = rows[a].theirs, rows[b].theirs
        rows[a] = dataclasses.replace(rows[a], theirs=second)
        rows[b] = dataclasses.replace(rows[b], theirs=first)
        return rows

    assert not agrees(load_with(name, swap), name)


LAYOUT_MISTAKES = [
    ("gpt2_tied", "c_attn", Fused(groups=4, outputs_first=False)),  # per head instead of thirds
    ("gpt2_tied", "attn.c_proj", TRANSPOSED),
    ("llama_mha", "q_proj", AS_IS),
    ("llama_mha", "o_proj", AS_IS),
    ("llama_mha", "k_proj", InterleavedRotary(heads=4)),
    ("bloom_4_heads", "query_key_value", Fused()),  # thirds instead of per head
    ("neox_pythia", "query_key_value", Fused()),
    ("opt_pre", "out_proj", AS_IS),
]


@pytest.mark.parametrize("name, tensor, layout", LAYOUT_MISTAKES)
def test_a_wrong_layout_is_caught(name: str, tensor: str, layout: Any) -> None:
    def change(rows: list[Row]) -> list[Row]:
        changed = [dataclasses.replace(row, layout=layout) if tensor in row.theirs else row for row in rows]
        assert changed != rows
        return changed

    assert not agrees(load_with(name, change), name)


def test_parts_of_the_fused_matrix_in_another_order_are_caught() -> None:
    def change(rows: list[Row]) -> list[Row]:
        return [row if isinstance(row.ours, str) else dataclasses.replace(row, ours=row.ours[::-1]) for row in rows]

    assert agrees(load_with("gpt2_tied", lambda rows: rows), "gpt2_tied")
    assert not agrees(load_with("gpt2_tied", change), "gpt2_tied")


def test_meta_s_interleaved_files_are_the_same_model_rows_permuted() -> None:
    name, heads = "llama_mha", 4
    config = json.loads((FIXTURES / name / "config.json").read_text(encoding="utf-8"))
    family = find_family("llama")
    interleaved = InterleavedRotary(heads)

    class Permuted(dict):
        """The checkpoint as Meta would store it: query and key rows with rotary pairs as neighbours."""

        def entry(self, key: str) -> np.ndarray:
            return self[key]

        def copy(self, key: str, view: np.ndarray, into: np.ndarray) -> None:
            np.copyto(into, view)

        def release(self, key: str) -> None:
            pass

    tensors = Permuted(read_safetensors(FIXTURES / name))
    for key, value in tensors.items():
        if "q_proj" in key or "k_proj" in key:
            tensors[key] = value.reshape(heads, 2, 2, 16).swapaxes(1, 2).reshape(16, 16)
    rows = [
        dataclasses.replace(row, layout=interleaved) if "q_proj" in row.theirs or "k_proj" in row.theirs else row
        for row in family.weights(config).rows
    ]
    model = Decoder(family.spec(config))
    table = dataclasses.replace(family.weights(config), rows=tuple(rows))
    table.load(model, tensors, None)
    assert agrees(model, name)
    made = {key: source.make() for key, source in table.sources(model.state_dict()).items()}
    assert all(np.array_equal(made[key], tensors[key]) for key in made)
