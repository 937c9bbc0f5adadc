"""MPT, Falcon and the first Qwen beyond the frozen references: what no library has, starts, sizes, first spellings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder, export_weights
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers import SteppedNTK, alibi_slopes
from llm_from_scratch.layers.positions import bfloat16_alibi

HERE = Path(__file__).parent
MPT: dict[str, Any] = dict(vocab_size=31, d_model=12, n_heads=3, n_layers=2)
FALCON: dict[str, Any] = dict(vocab_size=31, hidden_size=24, num_hidden_layers=2, num_attention_heads=6)
QWEN: dict[str, Any] = dict(
    vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, kv_channels=8, intermediate_size=40,
    seq_length=8,
)  # fmt: skip
IDS = np.random.default_rng(0).integers(0, 31, (2, 20))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["mpt_4_heads", "falcon_multi_query", "falcon_rw"])
def test_padding_on_either_side(name: str, side: str) -> None:
    directory = HERE / "fixtures" / name
    model, frozen = lfs.from_pretrained(directory), read_safetensors(directory / "reference.safetensors")
    mask = frozen[f"{side}_mask"]
    logits = model(frozen["input_ids"], mask=mask).data * mask[..., None]
    np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)


COUNTS = {
    "mpt-7b": 6_649_286_656,
    "mpt-7b-storywriter": 6_649_286_656,
    "mpt-30b": 48 * (12 * 7168**2 + 2 * 7168) + 7168 + 50432 * 7168,
    "falcon-rw-1b": 1_311_625_216,
    "falcon-rw-7b": 36 * (12 * 4096**2 + 13 * 4096) + 2 * 4096 + 65024 * 4096,
    "falcon-7b": 6_921_720_704,
    "falcon-40b": 41_303_293_952,
    "falcon-180b": 80 * (10 * 14848**2 + 2 * 14848 * 8 * 64 + 4 * 14848) + (65024 + 2) * 14848,
    "qwen-1.8b": 1_836_828_672,
    "qwen-7b": 7_721_324_544,
    "qwen-14b": 14_167_290_880,
    "qwen-72b": 72_287_920_128,
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_sizes(name: str) -> None:
    assert Decoder(lfs.spec(name)).parameter_count == COUNTS[name]


def stds(model: Decoder) -> dict[str, float]:
    found = {}
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.data.any(), name
        elif "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            found[name] = float(parameter.data.std())
    return found


def test_mpt_starts_as_published() -> None:
    """kaiming_normal with fan-in and relu: √(2 / inputs); what adds to the residual over √(2 · layers)."""
    for name, std in stds(lfs.build("mpt", d_model=128, n_heads=4, n_layers=8, vocab_size=500)).items():
        inputs, residual = (512, 4) if "down" in name else (128, 4 if "output" in name else 1)
        assert std == pytest.approx(math.sqrt(2 / inputs) / residual, rel=0.05), name


def test_falcon_starts_alike_everywhere() -> None:
    for settings in ({}, {"new_decoder_architecture": True}, {"alibi": True, "bias": True, "parallel_attn": False}):
        model = lfs.build(
            "falcon", hidden_size=128, num_attention_heads=4, num_hidden_layers=2, vocab_size=500, **settings
        )
        assert all(std == pytest.approx(0.02, rel=0.05) for std in stds(model).values())


def test_qwen_starts_as_published() -> None:
    model = lfs.build(
        "qwen", hidden_size=128, num_attention_heads=4, kv_channels=32, num_hidden_layers=8, vocab_size=500,
        intermediate_size=512,
    )  # fmt: skip
    for name, std in stds(model).items():
        residual = name.endswith(("mixer.output.weight", "feed_forward.down.weight"))
        assert std == pytest.approx(0.02 / (4 if residual else 1), rel=0.05), name


def plain_mpt(
    tensors: dict[str, np.ndarray], heads: int, bias_max: float, clip: float | None, scale: float
) -> np.ndarray:
    """MPT's forward written down once more from its published layout, query by query, with a norm of q and of k."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * tensors[name + ".weight"]

    power = 2 ** math.ceil(math.log2(heads))  # as llm-foundry: those of the next power of two, odd ones first
    steps = 2.0 ** (-bias_max * np.arange(1, power + 1) / power)
    slopes = steps if power == heads else np.concatenate([steps[1::2], steps[::2]])[:heads]
    erf = np.vectorize(math.erf)
    x = tensors["transformer.wte.weight"][IDS]
    width = x.shape[-1] // heads
    for i in range(MPT["n_layers"]):
        block = f"transformer.blocks.{i}."
        fused = norm(x, block + "norm_1") @ tensors[block + "attn.Wqkv.weight"].T
        fused = fused if clip is None else np.minimum(np.maximum(fused, -clip), clip)
        q, k, v = np.split(fused, 3, axis=-1)
        q, k = norm(q, block + "attn.q_ln"), norm(k, block + "attn.k_ln")
        mixed = np.zeros_like(x)
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            for t in range(x.shape[1]):
                scores = (k[:, : t + 1, part] @ q[:, t, part, None])[..., 0] * scale - slopes[h] * (
                    t - np.arange(t + 1)
                )
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                weights /= weights.sum(-1, keepdims=True)
                mixed[:, t, part] = (weights[:, None] @ v[:, : t + 1, part])[:, 0]
        x = x + mixed @ tensors[block + "attn.out_proj.weight"].T
        up = norm(x, block + "norm_2") @ tensors[block + "ffn.up_proj.weight"].T
        x = x + (up * 0.5 * (1 + erf(up / math.sqrt(2)))) @ tensors[block + "ffn.down_proj.weight"].T
    return norm(x, "transformer.norm_f") @ tensors["transformer.wte.weight"].T


@pytest.mark.parametrize("bias_max, clip, scale", [(16, None, None), (4.0, 0.6, 0.4)])
def test_options_of_mpt_that_no_library_has(bias_max: float, clip: float | None, scale: float | None) -> None:
    options = {"alibi_bias_max": bias_max, "clip_qkv": clip, "softmax_scale": scale, "qk_ln": True}
    model = lfs.build("mpt", **MPT, attn_config=options, dtype=np.float64)
    rng = np.random.default_rng(5)
    for name, parameter in model.named_parameters():
        parameter.data = rng.normal(size=parameter.shape) * 0.3 + (1.0 if "norm" in name else 0.0)
    tensors = export_weights(model)
    assert {name for name in tensors if "_ln" in name} == {
        f"transformer.blocks.{i}.attn.{part}_ln.weight" for i in range(2) for part in "qk"
    }
    expected = plain_mpt(tensors, 3, bias_max, clip, 0.5 if scale is None else scale)
    np.testing.assert_allclose(model(IDS).data, expected, atol=1e-10)
    if clip is not None:
        assert np.abs(plain_mpt(tensors, 3, bias_max, None, 0.4) - expected).max() > 1e-3
    assert np.abs(plain_mpt(tensors, 3, 8, clip, 0.5 if scale is None else scale) - expected).max() > 1e-3


def test_mpt_s_slopes_are_the_powers_of_the_next_power_of_two_odd_ones_first() -> None:
    for heads in (1, 2, 3, 6, 12, 16, 24, 64, 100):
        for bias_max in (8.0, 16.0):
            power = 2 ** math.ceil(math.log2(heads))
            steps = 2.0 ** (-bias_max * np.arange(1, power + 1) / power)
            expected = steps if power == heads else np.concatenate([steps[1::2], steps[::2]])[:heads]
            np.testing.assert_allclose(alibi_slopes(heads, bias_max), expected, rtol=1e-12)


def test_mpt_s_published_config_of_2023_is_understood() -> None:
    config = json.loads("""{"architectures": ["MPTForCausalLM"], "attn_config": {"alibi": true, "alibi_bias_max": 16,
        "attn_impl": "torch", "attn_pdrop": 0, "attn_type": "multihead_attention", "attn_uses_sequence_id": false,
        "clip_qkv": 6, "prefix_lm": false, "qk_ln": false, "softmax_scale": null}, "d_model": 4096, "emb_pdrop": 0,
        "embedding_fraction": 1.0, "expansion_ratio": 4, "init_config": {"emb_init_std": null, "fan_mode": "fan_in",
        "init_div_is_residual": true, "init_gain": 0, "init_nonlinearity": "relu", "init_std": 0.02,
        "name": "kaiming_normal_", "verbose": 0}, "init_device": "cpu", "learned_pos_emb": true, "logit_scale": null,
        "max_seq_len": 65536, "model_type": "mpt", "n_heads": 32, "n_layers": 32, "no_bias": true,
        "norm_type": "low_precision_layernorm", "resid_pdrop": 0, "tokenizer_name": "EleutherAI/gpt-neox-20b",
        "torch_dtype": "bfloat16", "use_cache": false, "verbose": 0, "vocab_size": 50432}""")
    assert lfs.spec(config) == lfs.spec("mpt-7b-storywriter")
    attention = lfs.spec(config).layers[0].branches[0].functions["mixer"]
    assert attention.clip == 6 and attention.slopes[0] == 2.0**-0.5


FIRST_FALCONS = {
    "falcon-7b": {"model_type": "RefinedWebModel", "n_head": 71, "n_layer": 32, "hidden_size": 4544},
    "falcon-40b": {"model_type": "RefinedWeb", "n_head": 128, "n_head_kv": 8, "n_layer": 60, "hidden_size": 8192},
    "falcon-rw-1b": {
        "model_type": "RefinedWebModel", "n_head": 32, "n_layer": 24, "hidden_size": 2048, "multi_query": False,
        "parallel_attn": False, "alibi": True, "bias": True, "vocab_size": 50304,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST_FALCONS)
def test_falcon_s_first_spelling_is_the_same_model(name: str) -> None:
    common = {
        "apply_residual_connection_post_layernorm": False, "architectures": ["RWForCausalLM"], "bias": False,
        "attention_dropout": 0.0, "hidden_dropout": 0.0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5,
        "vocab_size": 65024, "parallel_attn": True, "alibi": False,
    }  # fmt: skip
    assert lfs.spec({**common, **FIRST_FALCONS[name]}) == lfs.spec(name)


def test_falcon_s_first_spelling_is_saved_in_the_later_one(tmp_path: Path) -> None:
    model = lfs.build("RefinedWeb", n_head=6, n_head_kv=2, n_layer=2, hidden_size=24, vocab_size=31)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "falcon" and config["new_decoder_architecture"] is True
    assert config["num_kv_heads"] == 2 and not {"n_head", "n_head_kv", "n_layer"} & config.keys()
    again = lfs.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again(IDS).data, model(IDS).data)


def test_falcon_s_spelling_of_2023(tmp_path: Path) -> None:
    directory = HERE / "author_fixtures" / "falcon_rw_16heads"
    config = json.loads((directory / "config.2023.json").read_text(encoding="utf-8"))
    assert lfs.spec(config) == lfs.spec(directory)


def test_falcon_s_alibi_is_rounded_at_every_step() -> None:
    """Literals from the released code's build_alibi_tensor: the second slope of 16 heads is 2^-1, the first 2^-0.5."""
    slopes = alibi_slopes(16)
    got = bfloat16_alibi(slopes[:1], np.array([[1, 3, 100, 255, 257, 1000]]))
    assert got.ravel().tolist() == [0.70703125, 2.125, 70.5, 180.0, 181.0, 708.0]
    exact = bfloat16_alibi(slopes[1:2], np.array([[1, 3, 100, 256]]))
    assert exact.ravel().tolist() == [0.5, 1.5, 50.0, 128.0]


def test_falcon_s_rounding_shows_in_the_logits() -> None:
    directory = HERE / "author_fixtures" / "falcon_rw_16heads"
    model = lfs.from_pretrained(directory)
    frozen = read_safetensors(directory / "reference.safetensors")
    for layer in model.layers:
        object.__setattr__(layer.mixer.spec, "bfloat16_slopes", False)
        object.__setattr__(layer.mixer.spec, "slopes", tuple(m / math.sqrt(2) for m in alibi_slopes(16)))
    assert np.abs(model(frozen["input_ids"]).data - frozen["logits"]).max() > 5e-4


def test_falcon_counts_positions_of_documents_and_padding_from_their_starts() -> None:
    model = lfs.build("falcon", **FALCON, alibi=True, parallel_attn=False, multi_query=False, dtype=np.float64)
    for parameter in model.parameters():
        parameter.data = parameter.data * 10
    segments = np.repeat([[0, 1]], 2, axis=0).repeat([7, 13], axis=1)
    np.testing.assert_allclose(model(IDS, segments=segments).data[:, 7:], model(IDS[:, 7:]).data, atol=1e-12)
    mask = np.ones((2, 12), bool)
    mask[1, :5] = False
    memory = model.new_memory(2)
    model.step(IDS[:, :12], memory, mask=mask)
    for t in range(12, 15):
        got = model.step(IDS[:, t : t + 1], memory)
        np.testing.assert_allclose(got[1], model(IDS[1:, 5 : t + 1]).data[0, -1], atol=1e-12)
    memory.select([1])
    got = model.step(IDS[1:, 15:17], memory)
    np.testing.assert_allclose(got, model(IDS[1:, 5:17]).data[:, -1], atol=1e-12)


def test_qwen_inside_its_length_is_a_qwen2_in_another_layout() -> None:
    directory = HERE / "author_fixtures" / "qwen1"
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    model = lfs.from_pretrained(directory, dtype=np.float64)
    again = lfs.build(
        "qwen2", vocab_size=96, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, dtype=np.float64,
        intermediate_size=config["intermediate_size"] // 2,
    )  # fmt: skip
    again.load_state_dict(model.state_dict())
    ids = read_safetensors(directory / "reference.safetensors")["input_ids"]
    np.testing.assert_allclose(model(ids).data, again(ids).data, atol=1e-12)


def test_qwen_s_base_rises_in_steps_as_its_authors_compute_them() -> None:
    alpha = read_safetensors(HERE / "author_fixtures" / "qwen1_long" / "reference.safetensors")["ntk_alpha"]
    ours = SteppedNTK(16)(np.arange(1, 65))
    assert set(ours) == {1.0, 3.0, 7.0} and np.array_equal(ours, alpha)


def test_qwen_s_late_queries_are_sharper() -> None:
    model = lfs.build("qwen", **QWEN, use_dynamic_ntk=False, dtype=np.float64, initializer_range=0.4)
    plain = lfs.build(
        "qwen", **QWEN, use_dynamic_ntk=False, use_logn_attn=False, dtype=np.float64, initializer_range=0.4
    )
    with model.record() as ours, plain.record() as theirs:
        model(IDS), plain(IDS)
    first, second = ours["attention"][0], theirs["attention"][0]
    np.testing.assert_allclose(first[:, :, :8], second[:, :, :8], atol=1e-12)
    with np.errstate(divide="ignore"):
        a, b = np.log(first[0, 0, 15, :16]), np.log(second[0, 0, 15, :16])  # position 16 from 1: log 16 / log 8
    np.testing.assert_allclose(a - a[0], (b - b[0]) * 4 / 3, atol=1e-9)


def test_qwen_runs_again_at_doublings_only() -> None:
    model = lfs.build("qwen", **QWEN, dtype=np.float64, initializer_range=0.4)
    memory, runs = model.new_memory(2), []
    for t in range(20):
        with model.record() as seen:
            got = model.step(IDS[:, t : t + 1], memory)
        runs.append(seen["hidden"][0].shape[1])
        np.testing.assert_allclose(got, model(IDS[:, : t + 1]).data[:, -1], atol=1e-11)
    assert [t + 1 for t, tokens in enumerate(runs) if tokens > 1] == [9, 17]


BAD = [
    ("mpt", {"attn_config": {"alibi": False}}, "attn_config of the config: alibi False is not supported"),
    ("mpt", {"attn_config": {"attn_type": "multiquery_attention"}}, "attn_type 'multiquery_attention'"),
    ("mpt", {"attn_config": {"prefix_lm": True}}, "prefix_lm True is not supported"),
    ("mpt", {"attn_config": {"attn_uses_sequence_id": True}}, "attn_uses_sequence_id True"),
    ("mpt", {"attn_config": {"alibi_bias_max": 0}}, "alibi_bias_max must be a finite number above 0"),
    ("mpt", {"attn_config": {"clip_qkv": -1}}, "clip_qkv must be a finite number above 0"),
    ("mpt", {"attn_config": {"qk_gn": True}}, "qk_gn"),
    ("mpt", {"attn_config": "torch"}, "attn_config must be an object"),
    ("mpt", {"no_bias": False}, "no_bias False is not supported"),
    ("mpt", {"logit_scale": 2.0}, "logit_scale 2.0 is not supported"),
    ("mpt", {"norm_type": "rmsnorm"}, "norm_type 'rmsnorm' is not supported"),
    ("mpt", {"n_heads": 5}, "d_model 12 is not a multiple of n_heads 5"),
    ("falcon", {"num_attention_heads": 5}, "hidden_size 24 is not a multiple"),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 4}, "not a multiple of num_kv_heads 4"),
    ("falcon", {"multi_query": False, "num_kv_heads": 2}, "num_kv_heads 2 is not supported; supported: null, 6"),
    ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}, "parallel_attn False is not supported"),
    ("falcon", {"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn 2 is not supported"),
    ("falcon", {"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm"),
    ("falcon", {"num_attention_heads": 8, "hidden_size": 24}, "the width of a head must be even, not 3"),
    ("falcon", {"activation": "geglu"}, "activation 'geglu' is not supported"),
    ("qwen", {"no_bias": False}, "no_bias False is not supported"),
    ("qwen", {"intermediate_size": 41}, "intermediate_size 41 counts gate and up together"),
    ("qwen", {"seq_length": 1}, "seq_length must be 2 or more"),
    ("qwen", {"rotary_pct": 0.3}, "rotary_pct 0.3"),
    ("qwen", {"scale_attn_weights": False}, "scale_attn_weights"),
    ("qwen", {"use_window": 3}, "use_window"),
]


@pytest.mark.parametrize("family, change, message", BAD)
def test_bad_configs_are_named(family: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.build(family, **{**{"mpt": MPT, "falcon": FALCON, "qwen": QWEN}[family], **change})
