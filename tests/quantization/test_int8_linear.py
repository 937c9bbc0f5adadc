"""Int8 matrices in models: they are what their codes say, in every family, and the gradient is that of the codes."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import Linear
from llm_from_scratch.quantization import Int8Linear, Int8Weight, int8, int8_linear, packed_linear, to_int8, to_nf4

from .test_nf4_linear import LINEARS, SIZES


@pytest.mark.parametrize("shape", [(64, 70), (33, 7), (1, 9), (300, 2)])
def test_a_weight_is_what_the_plain_functions_say(shape, monkeypatch):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=shape).astype(np.float32)  # (inputs, outputs)
    weight = Int8Weight.of(matrix.T)
    codes, absmax = int8.quantize_rows(matrix.T)
    assert weight.shape == shape and weight.outputs == shape[1] and weight.nbytes == matrix.size + 4 * shape[1]
    np.testing.assert_array_equal(weight.expand(), int8.dequantize_rows(codes, absmax).T)
    assert weight.expand(np.float64).dtype == np.float64
    for panel in (1, 100, 2**19):
        monkeypatch.setattr(int8_linear, "_PANEL", panel)
        for rows in (0, 1, 20):
            x = 3 * rng.normal(size=(rows, shape[0])).astype(np.float32)
            np.testing.assert_array_equal(weight.matmul(x), int8.matmul(x, codes, absmax))
            y = rng.normal(size=(rows, shape[1])).astype(np.float32)
            np.testing.assert_allclose(weight.transposed_matmul(y), y @ weight.expand().T, atol=2e-5)


@pytest.mark.parametrize("threshold", [0.0, 6.0])
def test_a_row_is_what_it_is_alone_only_without_outliers(threshold):
    rng = np.random.default_rng(0)
    weight = Int8Weight.of(rng.normal(size=(7, 64)).astype(np.float32), threshold=threshold)
    x = 3 * rng.normal(size=(20, 64)).astype(np.float32)
    alone = np.concatenate([weight.matmul(row[None]) for row in x])
    assert weight.rows_independent == np.array_equal(weight.matmul(x), alone) == (threshold == 0)


@pytest.mark.parametrize("rows", [1, 9])
def test_gradients(rows):
    """With every input an outlier the product is one in floats, which has a gradient; else it is that of the codes."""
    rng = np.random.default_rng(0)
    weight = Int8Weight.of(rng.normal(size=(5, 12)).astype(np.float32), threshold=1e-12)
    x, bias = rng.normal(size=(rows, 12)), rng.normal(size=5)
    lfs.gradcheck(lambda x, bias: packed_linear(x, bias, weight=weight), x, bias)
    stepped = Int8Weight(weight.codes, weight.absmax, threshold=2.0)
    given = lfs.Tensor(x, requires_grad=True)
    cotangent = rng.normal(size=(rows, 5))
    (packed_linear(given, weight=stepped) * cotangent).sum().backward()
    np.testing.assert_allclose(given.grad, cotangent @ weight.expand(np.float64).T, rtol=1e-12)


@pytest.mark.parametrize("family", SIZES)
def test_any_family_runs_in_int8(family, tmp_path):
    model, plain = (lfs.build(family, **SIZES[family], seed=3) for _ in range(2))
    kept = {name: w.copy() for name, w in model.state_dict().items()}
    paths = to_int8(model)
    assert len(paths) == LINEARS[family] and not any("head" in path or "router" in path for path in paths)
    assert model.parameter_count == plain.parameter_count and model.nbytes < plain.nbytes
    for path, module in plain.named_modules():
        if path in paths:
            module.weight.data = int8.dequantize_rows(*int8.quantize_rows(module.weight.data.T)).T
    ids = np.array([[3, 1, 4, 1, 5]])
    close, spread = np.abs(model(ids).data - plain(ids).data).max(), np.abs(plain(ids).data).max()
    assert 0 < close < 0.05 * spread  # activations are rounded as well
    for each in (model, plain):
        lfs.accumulate_gradients(each, ids[:, :-1], ids[:, 1:])
    left = dict(model.named_parameters())
    assert left.keys() == kept.keys() - {f"{path}.weight" for path in paths}
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, parameter in left.items():
        np.testing.assert_array_equal(parameter.data, kept[name])
        if gradients[name] is not None:
            largest = max(np.abs(gradients[name]).max(), 1e-3)
            assert np.abs(parameter.grad - gradients[name]).max() < 0.2 * largest
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)  # the same codes, and so the same bits
    np.testing.assert_array_equal(again(ids).data, model(ids).data)
    assert [path for path, module in again.named_modules() if type(module) is Int8Linear] == paths


def test_layers_and_choices():
    model = lfs.build("llama", **SIZES["llama"], seed=0)
    assert to_int8(model, "layers.0.mixer.*", threshold=4.0) == [
        f"layers.0.mixer.{name}" for name in ("query", "key", "value", "output")
    ]
    assert model.layers[0].mixer.query.weight.threshold == 4.0
    assert type(model.layers[0].feed_forward.up) is Linear
    assert len(to_nf4(model)) == 10  # what was not picked is still there for others
    layer = Int8Linear(Int8Weight.of(np.ones((4, 8), np.float32)), lfs.Tensor(np.ones(4, np.float32)))
    assert layer.nbytes == 32 + 16 + 16 and layer.parameter_count == 36
    np.testing.assert_allclose(layer(lfs.Tensor(np.ones((2, 3, 8), np.float32))).data, np.full((2, 3, 4), 9), rtol=1e-6)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_generation_runs():
    model = lfs.build("llama", **SIZES["llama"], seed=1)
    to_int8(model)
    out = model.generate(np.array([[1, 2, 3]]), max_new_tokens=5, temperature=0.0)
    assert out.shape == (1, 8)


def test_what_cannot_be_done_is_refused():
    model = lfs.build("llama", **SIZES["llama"], seed=0)
    with pytest.raises(ValueError, match="no linear layer was found by 'layers.9"):
        to_int8(model, "layers.9.*")
    with pytest.raises(TypeError, match="only linear layers have a matrix to quantise, not Norm"):
        to_int8(model, "norm")
    with pytest.raises(ValueError, match="threshold is a number above 0"):
        to_int8(model, threshold=-6.0)
    assert type(model.layers[0].mixer.query) is Linear  # nothing was half done
    with pytest.raises(TypeError, match="the model is float64"):
        to_int8(lfs.build("llama", **SIZES["llama"]).astype(np.float64))
    codes, absmax = np.ones((4, 3), np.int8), np.ones(4, np.float32)
    for parts, error, message in (
        ((codes, absmax[:3]), ValueError, r"\(4, 3\) and \(3,\)"),
        ((codes, absmax.astype(np.float64)), ValueError, "absmax is float32"),
        ((codes, absmax, np.inf), ValueError, "the threshold finite"),
        ((codes.astype(int), absmax), TypeError, "codes are int8"),
    ):
        with pytest.raises(error, match=message):
            Int8Weight(*parts)
    assert Int8Weight.of(np.ones((4, 3)), threshold=np.inf).threshold == 0.0
    broken = Linear(2, 2, rng=np.random.default_rng(0))
    broken.weight.data[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"weight at \(0, 1\) is nan"):
        Int8Linear.of(broken)
