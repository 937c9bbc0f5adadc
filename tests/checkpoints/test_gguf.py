"""Models from GGUF files against the transformers library, frozen (fixtures/make_gguf.py); expanded and packed."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.files.download import ARTIFACTS, cache_directory
from llm_from_scratch.files.gguf import GgufFile
from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.layers import Block, Linear, Module
from llm_from_scratch.quantization import PackedLinear, quantize

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures" / "gguf"
REAL = cache_directory() / ARTIFACTS["smollm2"].filename


@pytest.fixture(scope="module", params=[False, True], ids=["expanded", "packed"])
def packed(request):
    return request.param


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_logits_equal_transformers(name, packed):
    model = lfs.from_pretrained(FIXTURES / f"{name}.gguf", packed=packed)
    frozen = load_file(FIXTURES / f"{name}.safetensors")
    logits = model(frozen["ids"]).data
    assert logits.dtype == np.float32 and np.abs(frozen["logits"]).max() > 1
    np.testing.assert_allclose(logits, frozen["logits"], atol=2e-4)
    memory, steps = model.new_memory(2), []
    for ids in np.split(frozen["ids"], [11, 12, 13], axis=1):  # a prompt, then single tokens: the other kernel
        steps.append(model.step(ids, memory))
    np.testing.assert_allclose(np.stack(steps, 1), frozen["logits"][:, [10, 11, 12, 19]], atol=2e-4)


def test_packed_and_expanded_count_and_weigh_what_they_should():
    model, small = (lfs.from_pretrained(FIXTURES / "tied.gguf", packed=packed) for packed in (False, True))
    assert model.parameter_count == small.parameter_count
    layer = small.layers[0]
    assert isinstance(layer.mixer.query, PackedLinear) and layer.mixer.query.weight.codes.dtype == np.uint8
    assert isinstance(small.layers[1].feed_forward.gate, type(model.layers[1].feed_forward.gate))  # F16: plain
    np.testing.assert_array_equal(layer.mixer.query.weight.expand(), model.layers[0].mixer.query.weight.data)
    assert 0 < small.nbytes < 0.5 * model.nbytes and model.nbytes == 4 * model.parameter_count
    out = [m.generate([[5, 6, 7]], max_new_tokens=8, temperature=0.0).tolist() for m in (model, small)]
    assert out[0] == out[1]


def test_gradients_flow_through_packed_weights_to_what_is_not_packed():
    small = lfs.from_pretrained(FIXTURES / "tied.gguf", packed=True)
    model = lfs.from_pretrained(FIXTURES / "tied.gguf", packed=False)
    ids = load_file(FIXTURES / "tied.safetensors")["ids"]
    for each in (model, small):
        lfs.cross_entropy(each(ids)[:, :-1], ids[:, 1:]).backward()
    expected = dict(model.named_parameters())
    names = [name for name, parameter in small.named_parameters() if parameter.grad is not None]
    assert "layers.0.mixer_norm.weight" in names and "norm.weight" in names
    for name in names:
        wanted = expected[name].grad
        got = dict(small.named_parameters())[name].grad
        np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


def test_float64(packed):
    if packed:
        with pytest.raises(TypeError, match="compute in float32"):
            lfs.from_pretrained(FIXTURES / "tied.gguf", dtype=np.float64, packed=True)
        return
    model = lfs.from_pretrained(FIXTURES / "tied.gguf", dtype=np.float64)
    frozen = load_file(FIXTURES / "tied.safetensors")
    logits = model(frozen["ids"]).data
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits, frozen["logits"], atol=2e-4)


def test_an_expanded_model_is_an_ordinary_one(tmp_path):
    model = lfs.from_pretrained(FIXTURES / "untied.gguf", packed=False)
    ids = load_file(FIXTURES / "untied.safetensors")["ids"]
    model.save_pretrained(tmp_path / "saved")
    again = lfs.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again(ids).data, model(ids).data)
    assert again.config["rope_scaling"] == {"type": "linear", "factor": 2.0} and again.config["head_dim"] == 32
    model.loss({"ids": ids[:, :-1], "targets": ids[:, 1:]}).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_packed_models_cannot_do_is_said(tmp_path):
    model = lfs.from_pretrained(FIXTURES / "tied.gguf", packed=True)
    with pytest.raises(TypeError, match="float32"):
        model.astype(np.float64)
    with pytest.raises(ValueError, match="0..261"):
        model([[262]])
    with pytest.raises(ValueError, match="is none"):
        lfs.from_pretrained(tmp_path, packed=True)
    with pytest.raises(FileNotFoundError, match="no file"):
        lfs.from_pretrained(tmp_path / "none.gguf")


def _changed(path, metadata=None, tensors=None, drop=()):
    """The small file with some entries changed."""
    file = GgufFile(FIXTURES / "untied.gguf")
    kept = {
        name: (entry.type.name, np.ascontiguousarray(file[name]).view(_view(entry)).copy())
        for name, entry in file.tensors.items()
        if name not in drop
    }
    write_gguf(path, {**file.metadata, **(metadata or {})}, {**kept, **(tensors or {})})
    return path


def _view(entry):
    return {1: np.uint8, 2: np.uint16, 4: np.uint32}[entry.type.bytes if entry.type.values == 1 else 1]


MATRIX = np.zeros((64, 32), np.float32)
BAD = {
    "another architecture": ({"general.architecture": "rwkv6"}, {}, (), "architecture 'rwkv6' is not supported"),
    "experts": ({"llama.expert_count": 8}, {}, (), "num_experts_per_tok"),
    "scaling": ({"llama.rope.scaling.type": "yarn"}, {}, (), "'yarn' is not supported"),
    "unknown option": ({"llama.attention.scale": 0.5}, {}, (), r"llama\.attention\.scale = 0\.5 is not known"),
    "a window": ({"llama.attention.sliding_window": 8}, {}, (), r"llama\.attention\.sliding_window = 8 is not known"),
    "no heads": ({"llama.attention.head_count": 0}, {}, (), "impossible sizes: 0 heads"),
    "a word for a number": ({"llama.block_count": "one"}, {}, (), "llama.block_count must be a number"),
    "layers that are not there": ({"llama.block_count": 2}, {}, (), "missing: blk.1"),
    "absurd depth": ({"llama.block_count": 2**31}, {}, (), "num_hidden_layers"),
    "no embedding": ({}, {}, ("token_embd.weight",), "embedding is missing"),
    "a tensor less": ({}, {}, ("blk.0.attn_k.weight",), "missing: blk.0.attn_k.weight"),
    "a tensor more": ({}, {"rope_factors_long.weight": ("F32", np.ones(16, np.float32))}, (), "not expected: rope_f"),
    "another shape": ({}, {"blk.0.ffn_up.weight": ("F32", MATRIX[:32])}, (), r"has shape \(32, 32\)"),
    "whole numbers": ({}, {"blk.0.ffn_up.weight": ("I32", MATRIX.astype(np.int32))}, (), "holds int32"),
    "another width of rotary": ({"llama.rope.dimension_count": 8}, {}, (), "is not the width 32 of a head"),
    "heads that differ": (
        {"llama.attention.head_count_kv": np.array([1, 2], np.uint32)}, {}, (), "differs from layer to layer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_does_not_fit_is_refused(tmp_path, name, packed):
    metadata, tensors, drop, message = BAD[name]
    path = _changed(tmp_path / "bad.gguf", metadata, tensors, drop)
    with pytest.raises(ValueError, match=message) as caught:
        lfs.from_pretrained(path, packed=packed)
    assert "bad.gguf" in str(caught.value)


def test_the_changed_file_of_these_tests_is_otherwise_good(tmp_path, packed):
    matrix = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    path = _changed(tmp_path / "good.gguf", {}, {"blk.0.ffn_up.weight": ("Q5_0", quantize(matrix, "Q5_0"))})
    assert np.isfinite(lfs.from_pretrained(path, packed=packed)([[1, 2]]).data).all()


@pytest.mark.parametrize("old", ["scale_linear", "scaling.factor"])
def test_linear_scaling_is_read_where_no_type_is_named(tmp_path, old, packed):
    """The first files had a key of their own; the type came later, and linear is what llama.cpp takes without it."""
    file = GgufFile(FIXTURES / "untied.gguf")
    kept = {key: value for key, value in file.metadata.items() if "rope.scaling" not in key}
    tensors = {name: (t.type.name, np.array(file[name]).view(_view(t))) for name, t in file.tensors.items()}
    write_gguf(tmp_path / "old.gguf", {**kept, f"llama.rope.{old}": 2.0}, tensors)
    model = lfs.from_pretrained(tmp_path / "old.gguf", packed=packed)
    expected = lfs.from_pretrained(FIXTURES / "untied.gguf", packed=packed)
    assert model.config["rope_scaling"] == {"type": "linear", "factor": 2.0}
    np.testing.assert_array_equal(model([[1, 2, 3]]).data, expected([[1, 2, 3]]).data)


def test_one_matrix_in_float64_does_not_make_the_model_of_two_minds(tmp_path, packed):
    matrix = np.random.default_rng(0).normal(size=(64, 32))
    path = _changed(tmp_path / "mixed.gguf", {}, {"blk.0.ffn_up.weight": ("F64", matrix)})
    model = lfs.from_pretrained(path, packed=packed)
    assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}
    assert model([[1, 2]]).dtype == np.float32


def test_rows_of_query_and_key_are_put_in_order(tmp_path):
    """A wrong order would still make a model: here the rows are looked at one by one."""
    rows = np.arange(64, dtype=np.float32)[:, None] + np.zeros(32, np.float32)
    path = _changed(tmp_path / "a.gguf", {}, {"blk.0.attn_q.weight": ("F32", rows)})
    query = lfs.from_pretrained(path, packed=False).layers[0].mixer.query.weight.data[0]  # two heads of 32
    assert query[:3].tolist() == [0, 2, 4] and query[16:19].tolist() == [1, 3, 5] and query[32] == 32


real_model = pytest.mark.skipif(
    not REAL.exists(), reason="needs the real model (93 MB): python -m llm_from_scratch fetch smollm2"
)


@real_model
def test_the_real_model_equals_transformers(packed):
    frozen = load_file(FIXTURES / "smollm2.safetensors")
    model = lfs.from_pretrained(REAL, packed=packed)
    assert model.parameter_count == 134_515_008
    logits = model(frozen["ids"]).data[0]
    np.testing.assert_allclose(logits[-1], frozen["last"], atol=1e-2)
    assert frozen["margin"].min() > 1e-3  # no ties that rounding could decide
    np.testing.assert_array_equal(logits.argmax(-1), frozen["argmax"])


class _Shifted(Module):
    """What an adapter is: it wraps the packed matrix and adds a product of its own, which trains."""

    def __init__(self, inner):
        self.inner = inner
        rng, (inputs, outputs) = np.random.default_rng(0), inner.weight.shape
        self.down, self.up = Linear(inputs, 2, bias=False, rng=rng), Linear(2, outputs, bias=False, rng=rng)

    def __call__(self, x):
        return self.inner(x) + self.up(self.down(x))


def _packed():
    return lfs.from_pretrained(FIXTURES / "tied.gguf", packed=True)


def _one_by_one(model, ids):
    memory = model.new_memory(1)
    return np.stack([model.step(ids[:1, i : i + 1], memory)[0] for i in range(ids.shape[1])])


def test_a_packed_model_is_a_decoder_whose_blocks_are_fast_until_something_is_replaced(monkeypatch):
    ids, calls = load_file(FIXTURES / "tied.safetensors")["ids"], []
    model = _packed()
    call = Block.__call__
    monkeypatch.setattr(Block, "__call__", lambda block, *args: calls.append(block) or call(block, *args))
    assert type(model) is lfs.Decoder
    expected = model(ids[:1]).data[0]
    calls.clear()
    np.testing.assert_allclose(_one_by_one(model, ids), expected, atol=2e-4)
    assert not calls
    adapted = model.replace("layers.*.mixer.query", _Shifted)
    assert len(adapted) == len(model.layers)
    np.testing.assert_allclose(_one_by_one(model, ids), model(ids[:1]).data[0], atol=2e-3)
    assert np.abs(model(ids[:1]).data[0] - expected).max() > 1e-3 and len(calls) >= len(model.layers) * ids.shape[1]


@pytest.mark.parametrize("how", ["padding", "record", "gradients"])
def test_what_the_fast_path_does_not_know_goes_the_usual_way(how):
    model, ids = _packed(), load_file(FIXTURES / "tied.safetensors")["ids"]
    memory = model.new_memory(1)
    if how == "padding":
        mask = np.ones((1, ids.shape[1]), bool)
        mask[0, :3] = False
        logits = [model.step(ids[:1, i : i + 1], memory, mask[:, i : i + 1])[0] for i in range(ids.shape[1])]
        np.testing.assert_allclose(logits[3:], model(ids[:1, 3:]).data[0], atol=2e-4)
    elif how == "record":
        model.step(ids[:1, :4], memory)
        with model.record() as seen:
            model.step(ids[:1, 4:5], memory)
        assert len(seen["attention"]) == len(model.layers) and seen["attention"][0].shape[-2:] == (1, 5)
    else:
        model(ids[:1, :1], memory=memory)[0, 0, 3].backward()
        assert model.layers[0].mixer_norm.weight.grad is not None


def test_a_packed_model_is_adapted_trained_and_saved_as_the_numbers_it_stands_for(tmp_path):
    model, ids = _packed(), load_file(FIXTURES / "tied.safetensors")["ids"]
    model.save_pretrained(tmp_path / "whole")
    again = lfs.from_pretrained(tmp_path / "whole")
    np.testing.assert_array_equal(again(ids).data, lfs.from_pretrained(FIXTURES / "tied.gguf", packed=False)(ids).data)
    model.freeze()
    model.replace("layers.*.mixer.query", _Shifted)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and all(".query.up." in name or ".query.down." in name for name in trained)
    batch = {"ids": ids[:, :-1], "targets": ids[:, 1:]}
    optimizer, losses = lfs.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2), []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(lfs.accumulate_gradients(model, **batch))
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def test_matrices_stay_packed_unless_told_otherwise():
    path = FIXTURES / "tied.gguf"

    def kinds(**how):
        return {type(module) for _, module in lfs.from_pretrained(path, **how).named_modules()}

    assert PackedLinear in kinds() and PackedLinear in kinds(packed=True)
    for how in ({"packed": False}, {"dequantize": True}, {"dtype": np.float64}):
        assert PackedLinear not in kinds(**how)
    with pytest.raises(ValueError, match="pass one"):
        lfs.from_pretrained(path, packed=True, dequantize=True)


def test_codes_are_not_trained():
    model, settings = _packed(), lfs.training.TrainingSettings(steps=1)
    with pytest.raises(ValueError, match=r"packed=False"):
        lfs.training.train(model, None, settings)


def test_a_packed_model_begins_with_a_prefix():
    model, ids = _packed(), load_file(FIXTURES / "tied.safetensors")["ids"][:1]
    whole = model.new_memory(1)
    model(ids[:, :3], memory=whole)
    caches = [parts["mixer"] for parts in whole.layers]
    memory = model.new_memory(1)
    memory.begin([(Tensor(c._keys[:, :, :3].copy()), Tensor(c._values[:, :, :3].copy())) for c in caches])
    for i in range(3, ids.shape[1]):
        found, wanted = (model.step(ids[:, i : i + 1], m) for m in (memory, whole))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
