"""GGUF files of every architecture: read back bit by bit, and the llama.cpp library computes the same, frozen.

The library itself is run where `llama-cpp-python` is installed.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import save_gguf
from llm_from_scratch.checkpoints.gguf_saving import kept
from llm_from_scratch.files.gguf import GgufFile
from llm_from_scratch.quantization import PackedEmbedding, PackedLinear

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("gguf_models", HERE / "gguf_models.py")
models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)
IDS = models.IDS[None]
LLAMA_CPP = HERE / "fixtures" / "llama_cpp.safetensors"


@pytest.fixture(scope="module", params=list(models.CASES))
def written(request, tmp_path_factory):
    """A case, its model, and the file of it in float32."""
    path = tmp_path_factory.mktemp("gguf") / f"{request.param}.gguf"
    model = models.random_model(request.param)
    save_gguf(model, path, tokenizer=models.small_tokenizer())
    return request.param, model, path


def test_a_file_reads_back_as_the_same_model(written, tmp_path):
    name, model, path = written
    again, logits = lfs.from_pretrained(path), model(IDS).data
    exact = "mamba" not in name  # A is stored in place of its logarithm
    np.testing.assert_allclose(again(IDS).data, logits, atol=0 if exact else 1e-5)
    assert again.spec.words() == model.spec.words() and again.spec.tied == model.spec.tied
    again.save_pretrained(tmp_path / "published")  # the published layout, from the file
    np.testing.assert_array_equal(lfs.from_pretrained(tmp_path / "published")(IDS).data, again(IDS).data)


def test_a_published_checkpoint_becomes_a_file_and_is_the_same_model(written, tmp_path):
    _, model, _ = written
    model.save_pretrained(tmp_path / "published")
    save_gguf(lfs.from_pretrained(tmp_path / "published"), tmp_path / "a.gguf")
    np.testing.assert_allclose(lfs.from_pretrained(tmp_path / "a.gguf")(IDS).data, model(IDS).data, atol=1e-5)


def test_llama_cpp_computes_the_same_frozen(written):
    name, _, path = written
    frozen = load_file(LLAMA_CPP)[name]
    assert np.abs(frozen).max() > 2
    np.testing.assert_allclose(lfs.from_pretrained(path)(IDS).data[0, -6:, ::4], frozen, atol=1e-3)


def test_the_files_are_those_that_llama_cpp_computed_with(written):
    name, _, path = written
    frozen, found = json.loads(LLAMA_CPP.with_suffix(".json").read_text(encoding="utf-8"))[name], models.described(path)
    assert found["metadata"] == pytest.approx(frozen["metadata"])
    assert found["tensors"].keys() == frozen["tensors"].keys()
    for tensor, numbers in frozen["tensors"].items():
        assert found["tensors"][tensor] == pytest.approx(numbers, rel=1e-5, abs=1e-4), tensor


def test_llama_cpp_computes_the_same(written):
    library = pytest.importorskip("llama_cpp")
    _, model, path = written
    found = models.llama_cpp_logits(library, path, models.IDS)
    np.testing.assert_allclose(found, model(IDS).data[0], atol=1e-3)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1"])
def test_quantised_files_are_read_packed(written, tmp_path, kind):
    name, model, _ = written
    types = save_gguf(model, tmp_path / "q.gguf", kind=kind)
    expanded, packed = (lfs.from_pretrained(tmp_path / "q.gguf", packed=packed) for packed in (False, True))
    np.testing.assert_allclose(packed(IDS).data, expanded(IDS).data, atol=2e-5)
    memory = packed.new_memory(1)
    for place in range(4):
        step = packed.step(IDS[:, place : place + 1], memory)
    np.testing.assert_allclose(step, expanded(IDS).data[:, 3], atol=2e-4)
    count = sum(isinstance(module, (PackedLinear, PackedEmbedding)) for _, module in packed.named_modules())
    assert count >= sum(found == kind for found in types.values()) >= 6
    difference = np.abs(expanded(IDS).data - model(IDS).data).max()
    assert 1e-4 < difference < {"Q8_0": 0.5, "Q4_1": 20.0}[kind]
    kinds = {name: tensor.type.name for name, tensor in GgufFile(tmp_path / "q.gguf").tensors.items()}
    assert kinds == types and set(kept(types, kind)) == {name for name in kinds if kinds[name] != kind}


def test_a_packed_model_is_written_as_the_numbers_it_stands_for(tmp_path):
    for name in ("llama", "qwen_tied", "mixtral"):
        save_gguf(models.random_model(name), tmp_path / "q.gguf", kind="Q5_0")
        packed = lfs.from_pretrained(tmp_path / "q.gguf", packed=True)
        save_gguf(packed, tmp_path / "again.gguf")
        again = lfs.from_pretrained(tmp_path / "again.gguf")
        np.testing.assert_allclose(again(IDS).data, packed(IDS).data, atol=1e-5)


def test_rows_that_are_no_whole_blocks_take_the_next_format(tmp_path):
    config = models.CASES["llama"][1] | {"intermediate_size": 100}
    model = lfs.build("llama", **config)
    types = save_gguf(model, tmp_path / "a.gguf", kind="Q4_K")
    assert types["blk.0.ffn_up.weight"] == "Q5_0"  # rows of 64: no 256, but twice 32
    assert types["blk.1.ffn_down.weight"] == "F16"  # rows of 100
    assert types["token_embd.weight"] == types["output.weight"] == "Q8_0"
    assert types["blk.0.attn_norm.weight"] == "F32"
    types = save_gguf(model, tmp_path / "b.gguf", kind="Q4_0", head="Q4_0")
    assert set(kept(types, "Q4_0").values()) == {"F16", "F32"} and types["output.weight"] == "Q4_0"
    wide = lfs.build("llama", **config | {"hidden_size": 256})
    assert save_gguf(wide, tmp_path / "c.gguf", kind="Q4_K")["blk.0.ffn_up.weight"] == "Q4_K"
    assert np.isfinite(lfs.from_pretrained(tmp_path / "c.gguf", packed=True)(IDS).data).all()


def test_progress_names_every_tensor(tmp_path):
    told = []
    types = save_gguf(models.random_model("bloom"), tmp_path / "a.gguf", progress=told.append)
    assert told == list(types)


REFUSED = {
    "dynamic NTK": ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic NTK"),
    "a window": ("mistral", {"sliding_window": 16}, r"window is 16 \(a sliding window\)"),
    "windows of some layers": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "window is 8"),
    "another activation": ("llama", {"hidden_act": "gelu"}, "activation is 'gelu'"),
    "NTK in steps": ("qwen", {"use_dynamic_ntk": True}, "dynamic NTK"),
    "log-n attention": ("qwen", {"use_logn_attn": True}, "log-n attention"),
    "narrow heads": ("qwen", {"kv_channels": 8}, "width 16 of a head"),
    "ALiBi": (
        "falcon", {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}, "rotary.*ALiBi"),
    "one after the other": ("falcon", {"parallel_attn": False}, "number of .*branches is 2"),
    "biases": ("falcon", {"bias": True}, "bias is True"),
    "normed residual": ("bloom", {"apply_residual_connection_post_layernorm": True}, "residual_is_normed is True"),
    "normed queries": ("mpt", {"attn_config": {"qk_ln": True}}, "no row for .*key_norm"),
    "a scale": ("mpt", {"attn_config": {"softmax_scale": 0.3}}, "scale is 0.3"),
    "a scale by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, r"layers\[1\].*scale is 0.125"),
    "relu": ("gpt2", {"activation_function": "relu"}, "activation is 'relu'"),
    "no biases": ("gpt_neox", {"attention_bias": False}, "bias is False"),
    "three times as wide": ("mamba", {"expand": 3}, "d_inner 192 is not supported"),
    "biases of projections": ("mamba", {"use_bias": True}, "no row for .*gate.bias"),
    "no bias of the convolution": ("mamba", {"use_conv_bias": False}, "convolution_bias is False"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_hold_is_refused_by_name(tmp_path, name):
    family, changes, message = REFUSED[name]
    base = {"falcon": "falcon_7b"}.get(family, family)
    model = lfs.build(family, **{**models.CASES[base][1], **changes})
    with pytest.raises(ValueError, match=f"cannot hold this model: .*{message}"):
        save_gguf(model, tmp_path / "a.gguf")
    assert not list(tmp_path.iterdir())


def test_other_families_formats_and_paths_are_refused_by_name(tmp_path):
    other = lfs.build("gpt_neo", hidden_size=16, num_layers=2, num_heads=2, vocab_size=50, max_position_embeddings=16,
                      attention_types=[[["global", "local"], 1]])  # fmt: skip
    with pytest.raises(ValueError, match="family 'gpt_neo' cannot be written as GGUF; those of bloom, falcon"):
        save_gguf(other, tmp_path / "a.gguf")
    model, path = models.random_model("llama"), tmp_path / "a.gguf"
    for settings in ({"kind": "Q3_K"}, {"kind": "q4_0"}, {"head": "Q2_K"}):
        with pytest.raises(ValueError, match="not a format of GGUF that is written here; known: F32"):
            save_gguf(model, path, **settings)
    with pytest.raises(ValueError, match=r"must end in \.gguf"):
        save_gguf(model, tmp_path / "a.bin")
    with pytest.raises(TypeError, match="must be a Tokenizer, not str"):
        save_gguf(model, path, tokenizer="gpt2")
    bare = lfs.Decoder(model.spec, np.random.default_rng(0))
    with pytest.raises(ValueError, match="made from a spec alone"):
        save_gguf(bare, path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_leave_what_was_there(tmp_path):
    model, path = models.random_model("llama"), tmp_path / "a.gguf"
    save_gguf(model, path)
    before = path.read_bytes()
    model.layers[1].feed_forward.down.weight.data[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"blk\.1\.ffn_down\.weight: .*not finite"):
        save_gguf(model, path)
    model.layers[1].feed_forward.down.weight.data[3, 4] = 1e6
    with pytest.raises(ValueError, match=r"blk\.1\.ffn_down\.weight: .*too large for F16"):
        save_gguf(model, path, kind="F16")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_tokenizer_template_and_ends_come_back(tmp_path):
    model, tokenizer = models.random_model("llama"), models.small_tokenizer()
    tokenizer.chat_template = lfs.ChatTemplate("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    model.config |= {"eos_token_id": [0, 7]}
    save_gguf(model, tmp_path / "a.gguf", tokenizer=tokenizer, name="small")
    again, read = lfs.from_pretrained(tmp_path / "a.gguf"), lfs.Tokenizer.from_pretrained(tmp_path / "a.gguf")
    assert again.end_tokens == (0, 7) and GgufFile(tmp_path / "a.gguf").metadata["general.name"] == "small"
    assert read.vocab_size == tokenizer.vocab_size == 268 and read.eos_id == 0
    messages = [{"role": "user", "content": "the mat"}]
    assert read.chat_template.render(messages) == "the mat<|endoftext|>"
    with pytest.raises(ValueError, match="has 268 tokens, the model's embedding only 100 rows"):
        save_gguf(lfs.build("llama", **models.CASES["llama"][1] | {"vocab_size": 100}), tmp_path / "b.gguf",
                  tokenizer=tokenizer)  # fmt: skip


def test_the_files_metadata_say_what_the_config_said(written):
    _, model, path = written
    config = json.loads(json.dumps(model.config))
    read = lfs.from_pretrained(path).config
    assert read["vocab_size"] == config["vocab_size"] and read["tie_word_embeddings"] == config["tie_word_embeddings"]
    for key in ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "rope_theta", "hidden_act"):
        if key in config and "llama_3" not in path.stem and config["model_type"] == read["model_type"]:
            same = {"gelu_fast": "gelu_new"}.get(config[key], config[key])  # two words for one function
            assert read[key] == same, key


TALES = HERE.parents[1] / "chapters" / "tales_model"


def test_llama_cpp_writes_the_same_tales(tmp_path):
    """The trained model: the same greedy text in float32, the same first choices where ours is clear otherwise."""
    library = pytest.importorskip("llama_cpp")
    model, tokenizer = lfs.from_pretrained(TALES), lfs.Tokenizer.from_pretrained(TALES)
    begin = tokenizer.encode("Once upon a time", add_special_tokens=True)
    written = model.generate([begin], max_new_tokens=100, temperature=0.0)[0]
    for kind in ("F32", "Q8_0", "Q4_1"):
        path = tmp_path / f"{kind}.gguf"
        save_gguf(model, path, kind=kind, tokenizer=tokenizer)
        theirs = models.llama_cpp_logits(library, path, written)
        ours = lfs.from_pretrained(path)(written[None]).data[0]
        if kind == "F32":  # every greedy step is the same: each continues the same text
            np.testing.assert_array_equal(theirs[len(begin) - 1 : -1].argmax(-1), written[len(begin) :])
            np.testing.assert_allclose(theirs, ours, atol=1e-3)
        ordered = np.sort(ours, -1)
        clear = ordered[:, -1] - ordered[:, -2] > 0.1
        assert clear.mean() > 0.8 and (theirs.argmax(-1) == ours.argmax(-1))[clear].mean() >= 0.99
