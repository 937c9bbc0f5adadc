"""NF4 matrices in models: they are what their codes say, however used, and nothing else of a model changes."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import Linear
from llm_from_scratch.quantization import NF4Linear, NF4Weight, PackedLinear, nf4, nf4_linear, packed_linear, to_nf4

SIZES = {
    "llama": {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 64},
    "mistral": {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 4,
                "num_key_value_heads": 2, "vocab_size": 50, "tie_word_embeddings": True},
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 16, "vocab_size": 50, "n_positions": 64},
    "gpt_neox": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                 "vocab_size": 50, "max_position_embeddings": 64},
    "bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50},
    "mixtral": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
                "num_key_value_heads": 1, "num_local_experts": 4, "vocab_size": 50},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": 50},
}  # fmt: skip
LINEARS = {"llama": 14, "mistral": 7, "gpt2": 6, "gpt_neox": 6, "bloom": 6, "mixtral": 16, "mamba": 5}


def _rounded(matrix, block_size, double):
    """A matrix (inputs, outputs) after NF4, by the plain functions."""
    packed, absmax = nf4.quantize(matrix.T, block_size)
    if double:
        absmax = nf4.double_dequantize(*nf4.double_quantize(absmax))
    return nf4.dequantize(packed, absmax, matrix.T.shape, block_size).T


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("size", [64, 32, 5])
@pytest.mark.parametrize("shape", [(64, 70), (33, 7), (1, 9), (300, 2)])  # of blocks across rows, and odd borders
def test_a_weight_is_what_the_plain_functions_say_in_whatever_pieces(shape, size, double, monkeypatch):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weight = NF4Weight.of(matrix.T, block_size=size, double=double)
    wanted = _rounded(matrix, size, double)
    assert weight.shape == shape
    np.testing.assert_array_equal(weight.expand(), wanted)
    for panel in (1, 100, 2**19):
        monkeypatch.setattr(nf4_linear, "_PANEL", panel)
        for rows in (0, 1, 20):
            x = np.random.default_rng(1).normal(size=(rows, shape[0])).astype(np.float32)
            np.testing.assert_allclose(weight.matmul(x), x @ wanted, atol=2e-4)
            y = np.random.default_rng(2).normal(size=(rows, shape[1])).astype(np.float32)
            np.testing.assert_allclose(weight.transposed_matmul(y), y @ wanted.T, atol=2e-4)


def test_bytes_are_counted_as_held():
    matrix = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    assert NF4Weight.of(matrix, double=False).nbytes == 512 * 512 // 2 + 4 * 512 * 8
    assert NF4Weight.of(matrix).nbytes == 512 * 512 // 2 + 512 * 8 + 4 * 512 * 8 // 256 + 4
    layer = NF4Linear(NF4Weight.of(matrix), lfs.Tensor(np.zeros(512, np.float32)))
    assert layer.nbytes == layer.weight.nbytes + 4 * 512 and layer.parameter_count == 512 * 513


@pytest.mark.parametrize("rows", [1, 9])
def test_gradients(rows):
    rng = np.random.default_rng(0)
    weight = NF4Weight.of(rng.normal(size=(5, 12)), block_size=8)
    lfs.gradcheck(
        lambda x, bias: packed_linear(x, bias, weight=weight), rng.normal(size=(rows, 12)), rng.normal(size=5)
    )


@pytest.mark.parametrize("family", SIZES)
def test_any_family_becomes_an_nf4_base(family, tmp_path):
    model, plain = (lfs.build(family, **SIZES[family], seed=3) for _ in range(2))
    kept = {name: w.copy() for name, w in model.state_dict().items()}
    paths = to_nf4(model)
    assert len(paths) == LINEARS[family] and not any("head" in path or "router" in path for path in paths)
    assert model.parameter_count == plain.parameter_count and model.nbytes < plain.nbytes
    for path, module in plain.named_modules():
        if path in paths:
            module.weight.data = _rounded(module.weight.data, 64, True)
    ids = np.array([[3, 1, 4, 1, 5]])
    np.testing.assert_allclose(model(ids).data, plain(ids).data, atol=1e-5)
    # what has a gradient has that of the rounded model; matrices have none
    for each in (model, plain):
        lfs.accumulate_gradients(each, ids[:, :-1], ids[:, 1:])
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    left = dict(model.named_parameters())
    assert left.keys() == kept.keys() - {f"{path}.weight" for path in paths}
    for name, parameter in left.items():
        np.testing.assert_array_equal(parameter.data, kept[name])
        if gradients[name] is None:
            assert parameter.grad is None
        else:
            np.testing.assert_allclose(parameter.grad, gradients[name], atol=1e-5)
    model.save_pretrained(tmp_path)  # the numbers that the codes stand for
    again = lfs.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(ids).data, plain(ids).data, atol=1e-5)


def test_a_choice_of_layers_and_packed_ones():
    model = lfs.build("llama", **SIZES["llama"], seed=0)
    assert to_nf4(model, "layers.0.mixer.*", double=False) == [
        f"layers.0.mixer.{name}" for name in ("query", "key", "value", "output")
    ]
    assert type(model.layers[0].feed_forward.up) is Linear
    assert model.layers[0].mixer.query.weight.scales is None
    blocks = lfs.quantization.quantize(np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32), "Q8_0")
    packed = PackedLinear(lfs.quantization.PackedWeight.from_blocks(blocks, "Q8_0"))
    np.testing.assert_array_equal(NF4Linear.of(packed).weight.expand(), _rounded(packed.weight.expand(), 64, True))


def test_gradients_do_not_reach_the_codes_and_all_that_is_needed_is_x():
    layer = NF4Linear(NF4Weight.of(np.ones((4, 8), np.float32)))
    x = lfs.Tensor(np.ones((2, 8), np.float32), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad, 4.0, rtol=1e-6)
    assert list(layer.named_parameters()) == []


def test_what_cannot_be_done_is_refused():
    model = lfs.build("llama", **SIZES["llama"], seed=0)
    with pytest.raises(ValueError, match="no linear layer was found by 'layers.9"):
        to_nf4(model, "layers.9.*")
    with pytest.raises(TypeError, match="only linear layers have a matrix to quantise, not Norm"):
        to_nf4(model, "norm")
    assert type(model.layers[0].mixer.query) is Linear  # nothing was half done
    with pytest.raises(TypeError, match="packed weights compute in float32"):
        to_nf4(model) and model.astype(np.float64)
    with pytest.raises(TypeError, match="the model is float64"):
        to_nf4(lfs.build("llama", **SIZES["llama"]).astype(np.float64))
    with pytest.raises(ValueError, match=r"\(outputs, inputs\) was expected, not \(3,\)"):
        NF4Weight.of(np.ones(3))
    broken = Linear(2, 2, rng=np.random.default_rng(0))
    broken.weight.data[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"the weight at \(0, 1\) is nan"):
        NF4Linear.of(broken)
