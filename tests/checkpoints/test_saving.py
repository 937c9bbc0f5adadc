"""Load, save, load: bit for bit, in every number format, in one file or many, and never half."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import export_weights
from llm_from_scratch.files.sharded import open_checkpoint, read_safetensors
from llm_from_scratch.recipes.miniature import miniature

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "config.json").exists())
TINY = {
    "gpt2": dict(vocab_size=11, n_positions=8, n_embd=8, n_layer=2, n_head=2),
    "llama": dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2),
}
FRESH = (
    "gpt2", "llama-2-70b", "mistral-7b", "mixtral-8x7b", "opt-125m", "opt-350m", "galactica-125m", "bloom-560m",
    "pythia-70m", "gpt-neo-125m", "mpt-7b", "falcon-rw-1b", "falcon-7b", "falcon-40b", "qwen2-0.5b", "mamba-130m",
)  # fmt: skip


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.mark.parametrize("dtype", [None, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_load_save_load_is_the_identity(name: str, dtype: Any, tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / name, dtype=dtype)
    model.save_pretrained(tmp_path)
    original, saved = read_safetensors(FIXTURES / name), read_safetensors(tmp_path)
    if name == "gpt2_hub":
        original = {"transformer." + key: value for key, value in original.items() if ".attn.bias" not in key}
    original = {key: value for key, value in original.items() if "masked_bias" not in key and "inv_freq" not in key}
    if name == "llama_tied":
        del original["lm_head.weight"]
    assert same_bits(saved, original)
    again = lfs.from_pretrained(tmp_path, dtype=dtype)
    assert same_bits(again.state_dict(), model.state_dict())
    assert again.spec == model.spec
    first = (tmp_path / "model.safetensors").read_bytes(), (tmp_path / "config.json").read_bytes()
    again.save_pretrained(tmp_path)
    assert first == ((tmp_path / "model.safetensors").read_bytes(), (tmp_path / "config.json").read_bytes())


@pytest.mark.parametrize("family", TINY)
def test_the_config_is_written_in_the_published_spelling(family: str, tmp_path: Path) -> None:
    lfs.build(family, **TINY[family]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == family and config["torch_dtype"] == "float32"
    assert config["architectures"] == ["GPT2LMHeadModel" if family == "gpt2" else "LlamaForCausalLM"]
    assert TINY[family].items() <= config.items()
    assert "rope_parameters" not in config and "dtype" not in config
    metadata = open_checkpoint(tmp_path).metadata
    assert metadata.keys() == {"format", "lineage"} and metadata["format"] == "pt"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", np.float32, np.float64, ml_dtypes.bfloat16])
def test_the_number_format_can_be_chosen(dtype: Any, tmp_path: Path) -> None:
    model = lfs.build("llama", **TINY["llama"])
    model.save_pretrained(tmp_path, dtype=dtype)
    stored = read_safetensors(tmp_path)
    assert {value.dtype for value in stored.values()} == {np.dtype(dtype)}
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["torch_dtype"] == str(np.dtype(dtype))
    for key, value in export_weights(model).items():
        np.testing.assert_array_equal(stored[key], value.astype(dtype))
    assert lfs.from_pretrained(tmp_path).dtype == (np.float64 if dtype == np.float64 else np.float32)


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3fn", "wide", 3, np.complex64])
def test_other_number_formats_are_refused(dtype: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stored as one of float16, bfloat16, float32, float64"):
        lfs.build("gpt2", **TINY["gpt2"]).save_pretrained(tmp_path / "x", dtype=dtype)
    assert not (tmp_path / "x").exists()


def test_numbers_too_large_for_the_format_are_refused(tmp_path: Path) -> None:
    model = lfs.build("gpt2", **TINY["gpt2"])
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    model.norm.weight.data[3] = 1e6  # float16 ends at 65504
    with pytest.raises(ValueError, match=r"transformer.ln_f.weight holds numbers too large for float16"):
        model.save_pretrained(tmp_path, dtype="float16")
    assert (tmp_path / "model.safetensors").read_bytes() == before
    wide = lfs.build("gpt2", dtype=np.float64, **TINY["gpt2"])
    wide.norm.weight.data[3] = 1e300
    wide.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="transformer.ln_f.weight is float64 and holds numbers too large for float32"):
        lfs.from_pretrained(tmp_path, dtype=np.float32)


def test_shards_load_like_the_single_file(tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / "gpt2_tied")
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 3
    assert same_bits(lfs.from_pretrained(tmp_path).state_dict(), model.state_dict())
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_what_was_trained_is_what_is_saved(tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / "gpt2_tied")
    key = model.layers[1].mixer.key
    key.weight.data = np.asfortranarray(key.weight.data + 1.0)  # also in another memory order
    model.save_pretrained(tmp_path)
    before, after = read_safetensors(FIXTURES / "gpt2_tied"), read_safetensors(tmp_path)
    changed = [name for name in after if not np.array_equal(after[name], before[name])]
    assert changed == ["transformer.h.1.attn.c_attn.weight"]
    difference = after[changed[0]] - before[changed[0]]
    np.testing.assert_allclose(difference[:, 16:32], 1.0, atol=1e-6)
    assert not difference[:, :16].any() and not difference[:, 32:].any()


@pytest.mark.parametrize("shard", ["5GB", "4KB"])
def test_a_full_disk_leaves_the_earlier_checkpoint_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str
) -> None:
    old, new = (lfs.build("gpt2", seed=seed, **TINY["gpt2"]) for seed in (0, 1))
    old.save_pretrained(tmp_path, texts={"tokenizer.json": "{}"})
    calls, real = 0, os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="the disk is full"):
            new.save_pretrained(tmp_path, max_shard_size=shard)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert same_bits(lfs.from_pretrained(tmp_path).state_dict(), old.state_dict())


def test_a_model_with_another_config_is_not_saved_wrong(tmp_path: Path) -> None:
    model = lfs.build("gpt2", **TINY["gpt2"])
    model.config["layer_norm_epsilon"] = 1e-3
    with pytest.raises(ValueError, match="no longer describes this gpt2 model"):
        model.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_peaks_a_little_above_the_size_of_the_model(tmp_path: Path, dtype: str) -> None:
    # The worst case: nearly everything is one tensor.
    model = lfs.build("gpt2", vocab_size=40_000, n_embd=512, n_layer=1, n_head=8, n_positions=64)
    model.save_pretrained(tmp_path, dtype=dtype)
    program = """
import sys
import llm_from_scratch as lfs
def status(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
lfs.from_pretrained, lfs.build("gpt2", n_embd=8, n_layer=1, n_head=1, vocab_size=8)
before = status("VmRSS:")
model = lfs.from_pretrained(sys.argv[1])
size = sum(parameter.data.nbytes for parameter in model.parameters()) / 2**20
print(size, status("VmHWM:") - before)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    size, peak = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert size > 80
    assert peak < 1.3 * size, f"loading {size:.0f} MiB took {peak:.0f} MiB"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [*NAMES, *TINY])
def test_the_transformers_library_opens_what_we_save(name: str, dtype: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = lfs.build(name, **TINY[name]) if name in TINY else lfs.from_pretrained(FIXTURES / name)
    model.save_pretrained(tmp_path, dtype=dtype, max_shard_size="10KB" if name == "llama_sharded" else "5GB")
    path = "sdpa" if name == "falcon_rw" else "eager"  # the eager one adds Falcon's ALiBi twice
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation=path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = np.random.default_rng(0).integers(0, model.spec.vocab_size, (2, 8))
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    ours = lfs.from_pretrained(tmp_path)(ids).data
    assert logits.std() > 1e-3
    np.testing.assert_allclose(ours, logits, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", FRESH)
def test_the_transformers_library_opens_a_fresh_model_of_every_family_it_has(name: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = miniature(name, width=64, layers=2, context=16, vocabulary=11)
    model = lfs.build(config.pop("model_type"), **config)
    model.save_pretrained(tmp_path)
    path = "sdpa" if name == "falcon-rw-1b" else "eager"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=path, dtype=torch.float32)
    ids = np.random.default_rng(0).integers(0, 11, (2, 8))
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    largest = np.abs(logits).max()
    np.testing.assert_allclose(model(ids).data, logits, rtol=0, atol=1e-5 * largest)
    again = lfs.from_pretrained(tmp_path)
    assert same_bits(again.state_dict(), model.state_dict())
