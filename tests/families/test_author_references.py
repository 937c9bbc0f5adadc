"""Families that no library ships, against numbers from their authors' own modules (author_fixtures/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import export_gradients
from llm_from_scratch.files.sharded import read_safetensors

FIXTURES = Path(__file__).parent / "author_fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
PADDED = [name for name in NAMES if "pad_ids" in read_safetensors(FIXTURES / name / "reference.safetensors")]


def reference(name: str) -> dict[str, np.ndarray]:
    return read_safetensors(FIXTURES / name / "reference.safetensors")


def test_there_are_references_and_padded_ones() -> None:
    assert NAMES and PADDED


@pytest.mark.parametrize("name", NAMES)
def test_logits_loss_and_greedy_tokens(name: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), reference(name)
    for part in ("input", "single"):
        expected = frozen["logits" if part == "input" else "single_logits"]
        assert np.abs(expected).max() > 100 * 2e-4
        np.testing.assert_allclose(model(frozen[f"{part}_ids"]).data, expected, rtol=0, atol=2e-4)
    prompt = frozen["gen_prompt"]
    made = model.generate(prompt, max_new_tokens=frozen["gen_ids"].shape[1] - prompt.shape[1], temperature=0.0)
    np.testing.assert_array_equal(made, frozen["gen_ids"])


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradients(name: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), reference(name)
    ids = frozen["input_ids"].astype(np.int64)
    targets = np.full(ids.shape, -100)
    targets[:, :-1] = ids[:, 1:]
    loss = model.loss({"ids": ids, "targets": targets})
    assert abs(loss.item() - frozen["loss"]) < 1e-5
    loss.backward()
    gradients = export_gradients(model)
    named = [key for key in frozen if key.startswith("grad.")]
    assert len(named) >= 5
    for key in named:
        scale = np.abs(frozen[key]).max()
        assert scale > 1e-5
        np.testing.assert_allclose(gradients[key[5:]], frozen[key], rtol=0, atol=1e-3 * scale, err_msg=key)


@pytest.mark.parametrize("name", PADDED)
def test_padding_on_the_right(name: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), reference(name)
    mask = frozen["pad_mask"]
    assert 0 < mask.sum() < mask.size
    logits = model(frozen["pad_ids"], mask=mask).data * mask[..., None]
    np.testing.assert_allclose(logits, frozen["pad_logits"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_load_save_load_is_the_identity(name: str, tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / name)
    model.save_pretrained(tmp_path)
    original, saved = read_safetensors(FIXTURES / name), read_safetensors(tmp_path)
    assert original.keys() == saved.keys()
    assert all(original[key].tobytes() == saved[key].tobytes() for key in original)
    assert lfs.from_pretrained(tmp_path).spec == model.spec


@pytest.mark.parametrize("name", NAMES)
def test_any_split_gives_the_logits_of_a_run_without_memory(name: str) -> None:
    """Where the rotary base rises, what is asked for after it has risen is what a run over the whole gives."""
    model = lfs.from_pretrained(FIXTURES / name, dtype=np.float64)
    ids = reference(name)["input_ids"]
    with lfs.no_grad():
        for borders in ([0, 1, 2, 3, 15, 16, 17, 18, 37], [0, 9, 37], [0, 36, 37]):
            memory = model.new_memory(len(ids))
            for a, b in zip(borders, borders[1:]):
                got = model(ids[:, a:b], memory=memory).data
                np.testing.assert_allclose(got, model(ids[:, :b]).data[:, a:], rtol=0, atol=1e-11)
        if any("filter" in name for name, _ in model.named_modules()):  # a recurrent state cannot go back: run again
            with pytest.raises(ValueError, match="cannot crop a memory of 37 tokens to 20"):
                memory.crop(20)
            memory = model.new_memory(len(ids))
            model.step(ids[:, :20], memory)
        else:
            memory.crop(20)
        memory.select([1, 1, 0])
        got = model.step(ids[[1, 1, 0], 20:25], memory)
        np.testing.assert_allclose(got, model(ids[[1, 1, 0], :25]).data[:, -1], rtol=0, atol=1e-11)
