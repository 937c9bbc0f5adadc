"""OPT and Galactica beyond the frozen references: the bands, both norm placements, published configs, fresh models.

The library's OPT is dense in every layer, so the bands are compared with a plain NumPy OPT whose masks are written out;
that plain model is itself held to the frozen dense reference first.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.files.sharded import read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"


def plain_opt(weights: dict[str, np.ndarray], ids: np.ndarray, heads: int, band: int | None) -> np.ndarray:
    """A pre-norm ReLU OPT for one row of ids, written out with full masks."""
    w = {name.removeprefix("model.decoder."): value.astype(np.float64) for name, value in weights.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    length = len(ids)
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    x = w["embed_tokens.weight"][ids] + w["embed_positions.weight"][2 : length + 2]
    for i in range(2):
        seen = distance >= 0
        if band is not None and i % 2 == 1:
            seen &= distance < band
        h = norm(x, f"layers.{i}.self_attn_layer_norm")
        q, k, v = (linear(h, f"layers.{i}.self_attn.{part}_proj") for part in "qkv")
        mixed = []
        for part in np.split(np.arange(q.shape[1]), heads):
            scores = np.where(seen, q[:, part] @ k[:, part].T / math.sqrt(len(part)), -np.inf)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(shares / shares.sum(-1, keepdims=True) @ v[:, part])
        x = x + linear(np.concatenate(mixed, axis=1), f"layers.{i}.self_attn.out_proj")
        h = norm(x, f"layers.{i}.final_layer_norm")
        x = x + linear(np.maximum(linear(h, f"layers.{i}.fc1"), 0), f"layers.{i}.fc2")
    return norm(x, "final_layer_norm") @ w["embed_tokens.weight"].T


def banded(band: int | None) -> Decoder:
    """The pre-norm fixture with `attention_band`, its weights unchanged."""
    dense = lfs.from_pretrained(FIXTURES / "opt_pre", dtype=np.float64)
    model = lfs.build("opt", dtype=np.float64, **({**_own(dense.config), "attention_band": band}))
    model.load_state_dict(dense.state_dict())
    return model


def _own(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("architectures", "model_type", "torch_dtype")}


def test_the_plain_model_is_right_where_a_reference_exists() -> None:
    frozen = read_safetensors(FIXTURES / "opt_pre" / "reference.safetensors")
    weights = read_safetensors(FIXTURES / "opt_pre")
    for row in (0, 1):
        plain = plain_opt(weights, frozen["input_ids"][row], 4, None)
        np.testing.assert_allclose(plain, frozen["logits"][row], rtol=0, atol=2e-5)


@pytest.mark.parametrize("band", [1, 3, 8, 20])
def test_bands_against_masks_written_out(band: int) -> None:
    ids = read_safetensors(FIXTURES / "opt_pre" / "reference.safetensors")["input_ids"]
    weights = read_safetensors(FIXTURES / "opt_pre")
    model = banded(band)
    logits = model(ids).data
    for row in (0, 1):
        np.testing.assert_allclose(logits[row], plain_opt(weights, ids[row], 4, band), rtol=0, atol=1e-10)
    dense = banded(None)(ids).data
    if band < ids.shape[1]:
        assert np.abs(logits - dense).max() > 0.1
        np.testing.assert_allclose(logits[:, :band], dense[:, :band], atol=1e-12)  # nothing is out of sight yet
    else:
        np.testing.assert_allclose(logits, dense, atol=1e-12)
    memory, parts = model.new_memory(2), []
    for t in range(ids.shape[1]):
        parts.append(model.step(ids[:, t : t + 1], memory))
    np.testing.assert_allclose(np.stack(parts, axis=1), logits, atol=1e-11)


def test_bands_are_saved_and_read_again(tmp_path: Path) -> None:
    model = banded(3)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["attention_band"] == 3
    assert lfs.from_pretrained(tmp_path).spec == model.spec
    assert [layer.branches[0].functions["mixer"].window for layer in model.spec.layers] == [None, 3]
    for bad in (0, -1, 2.5, True, "3"):
        with pytest.raises((ValueError, TypeError), match="opt config: attention_band must"):
            lfs.build("opt", **({**_own(model.config), "attention_band": bad}))


def test_padding_rows_of_the_table_are_not_used() -> None:
    model = lfs.from_pretrained(FIXTURES / "opt_pre")
    frozen = read_safetensors(FIXTURES / "opt_pre" / "reference.safetensors")
    model.positions.weight.data[:2] = np.nan
    for side in ("left", "right"):
        mask = frozen[f"{side}_mask"]
        logits = model(frozen["input_ids"], mask=mask).data * mask[..., None]
        np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)
    with pytest.raises(ValueError, match="position 32 is beyond the 32 positions"):
        model(np.zeros((1, 33), int))


def test_fresh_models_are_initialised_as_published() -> None:
    settings: dict[str, Any] = dict(vocab_size=500, hidden_size=128, ffn_dim=512, num_attention_heads=4)
    model = lfs.build("opt", num_hidden_layers=8, max_position_embeddings=64, word_embed_proj_dim=64, **settings)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.data.any(), name
        elif "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            residual = name.endswith(("mixer.output.weight", "down.weight"))
            assert parameter.data.std() == pytest.approx(0.006 / (4 if residual else 1), rel=0.05), name
    ids = np.random.default_rng(0).integers(0, 500, (4, 30))
    assert model.loss({"ids": ids, "targets": np.roll(ids, -1, 1)}).item() == pytest.approx(math.log(500), abs=0.05)


PUBLISHED = {
    "opt-350m": """{"_name_or_path": "opt-350m", "_remove_final_layer_norm": false, "activation_dropout": 0.0,
        "activation_function": "relu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 2,
        "do_layer_norm_before": false, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 4096, "hidden_size": 1024,
        "init_std": 0.006, "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt",
        "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 1, "prefix": "</s>",
        "torch_dtype": "float16", "transformers_version": "4.20.0.dev0", "use_cache": true, "vocab_size": 50272,
        "word_embed_proj_dim": 512}""",
    "galactica-125m": """{"activation_function": "gelu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.1,
        "bos_token_id": 0, "do_layer_norm_before": true, "dropout": 0.1, "enable_bias": true, "eos_token_id": 2,
        "ffn_dim": 3072, "hidden_size": 768, "init_std": 0.006, "layer_norm_elementwise_affine": true,
        "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt", "num_attention_heads": 12,
        "num_hidden_layers": 12, "pad_token_id": 1, "torch_dtype": "float32", "use_cache": true, "vocab_size": 50000,
        "word_embed_proj_dim": 768, "_remove_final_layer_norm": false}""",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configs_as_published(name: str) -> None:
    assert lfs.spec(json.loads(PUBLISHED[name])) == lfs.spec(name)


def test_galactica_in_its_four_combinations() -> None:
    counts = {}
    for biases in (False, True):
        for norms in (False, True):
            settings = dict(enable_bias=biases, layer_norm_elementwise_affine=norms)
            model = lfs.build("opt", vocab_size=20, hidden_size=8, ffn_dim=32, num_attention_heads=2, **settings)
            names = {name for name, _ in model.named_parameters()}
            assert any("norm" in name for name in names) == norms
            assert any(name.endswith("bias") and "norm" not in name for name in names) == biases
            counts[biases, norms] = model.parameter_count
    assert counts[False, False] == 20 * 8 + 2050 * 8 + 12 * (4 * 64 + 2 * 256)
    assert counts[True, True] - counts[False, False] == 12 * (4 * 8 + 8 + 32) + (2 * 12 + 1) * 2 * 8
