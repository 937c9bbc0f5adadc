"""Packed weights: what they stand for is exactly what the blocks stand for, however they are used."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.quantization import (
    BLOCKS,
    Codes,
    PackedEmbedding,
    PackedLinear,
    PackedWeight,
    dequantize,
    packed_linear,
    quantize,
)

WRITTEN = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def _weight(kind, outputs=70, inputs=64):
    rows = np.random.default_rng(0).normal(size=(outputs, inputs)).astype(np.float32)
    blocks = quantize(rows, kind)
    return PackedWeight.from_blocks(blocks, kind), dequantize(blocks, kind)


@pytest.mark.parametrize("kind", WRITTEN)
def test_expanding_is_exact(kind):
    weight, rows = _weight(kind)
    assert weight.shape == (64, 70)
    assert weight.codes.dtype == (np.uint8 if kind.startswith("Q4") else np.int8)
    np.testing.assert_array_equal(weight.expand(), rows.T)
    np.testing.assert_array_equal(weight.rows(np.array([0, 69, 64, 3])), rows[[0, 69, 64, 3]])


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_products_by_either_way(kind, count):
    weight, rows = _weight(kind)
    x = np.random.default_rng(1).normal(size=(count, 64)).astype(np.float32)
    np.testing.assert_allclose(weight.matmul(x), x @ rows.T, atol=1e-4)
    y = np.random.default_rng(2).normal(size=(count, 70)).astype(np.float32)
    np.testing.assert_allclose(weight.transposed_matmul(y), y @ rows, atol=1e-4)


def test_products_in_several_panels(monkeypatch):
    monkeypatch.setattr("llm_from_scratch.quantization.packed._PANEL", 64 * 64)  # one tile at a time
    weight, rows = _weight("Q4_1", outputs=200)
    x, y = (np.random.default_rng(1).normal(size=(20, n)).astype(np.float32) for n in (64, 200))
    np.testing.assert_allclose(weight.matmul(x), x @ rows.T, atol=1e-4)
    np.testing.assert_allclose(weight.transposed_matmul(y), y @ rows, atol=2e-4)


def test_k_quants_keep_their_groups_of_sixteen():
    blocks = np.random.default_rng(3).integers(0, 256, (65, 210)).astype(np.uint8)
    blocks[:, 208:] = np.float16(0.01).tobytes()[0], np.float16(0.01).tobytes()[1]
    assert "Q6_K" in BLOCKS
    weight = PackedWeight.from_blocks(blocks, "Q6_K")
    assert weight.scale.shape == (2, 16, 64)
    np.testing.assert_array_equal(weight.expand(), dequantize(blocks, "Q6_K").T)


@pytest.mark.parametrize("case", [0, 1])
def test_gradient(case):
    (x, *bias), settings = packed_linear.examples[case](np.random.default_rng(0))
    lfs.gradcheck(lambda *inputs: packed_linear(*inputs, **settings), x, *bias)


def test_layers():
    weight, rows = _weight("Q8_0")
    bias = lfs.Tensor(np.ones(70, np.float32), requires_grad=True)
    layer = PackedLinear(weight, bias)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    x = np.ones((2, 3, 64), np.float32)
    np.testing.assert_allclose(layer(lfs.Tensor(x)).data, x @ rows.T + 1, atol=1e-4)
    ids = np.array([[5, 69]])
    np.testing.assert_array_equal(PackedEmbedding(weight)(ids).data, rows[ids])


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "positive"])
def test_weights_of_earlier_files_are_read(kind):
    """Codes (tiles, inputs, 64), or two in a byte: output o in the low half, o + 32 in the high one."""
    codes = np.random.default_rng(4).integers(0, 16, (2, 24, 64)).astype(np.int8)
    scale, minimum = np.random.default_rng(5).normal(size=(2, 2, 3, 64)).astype(np.float32)
    none = np.zeros((0, 0, 0), np.float32)
    bytes_ = codes if kind == "Q8_0" else (codes[..., :32] | (codes[..., 32:] << 4)).view(np.uint8)
    arrays = {"codes": bytes_, "scale": scale, "minimum": minimum if kind == "Q4_1" else none}
    weight = PackedWeight.of_parts(arrays, {"outputs": 100})
    values = codes.reshape(2, 3, 8, 64) * scale[:, :, None] + (minimum[:, :, None] if kind == "Q4_1" else 0)
    wanted = values.reshape(2, 24, 64).swapaxes(0, 1).reshape(24, 128)[:, :100]
    np.testing.assert_allclose(weight.expand(), wanted, rtol=1e-6, atol=1e-6)
    again = PackedWeight.of_parts(weight.arrays(), weight.fields())
    np.testing.assert_array_equal(again.expand(), weight.expand())


def test_what_does_not_fit_is_refused():
    weight, _ = _weight("Q4_0")
    with pytest.raises(ValueError, match="does not fit a weight"):
        packed_linear(np.ones((2, 63), np.float32), weight=weight)
    with pytest.raises(ValueError, match="bias has shape"):
        packed_linear(np.ones((2, 64), np.float32), np.ones(3, np.float32), weight=weight)
    with pytest.raises(ValueError, match="8 divides groups"):
        PackedWeight.from_codes(Codes(np.zeros((2, 12), np.int8), np.ones((2, 1), np.float32), None))
    with pytest.raises(ValueError, match="a matrix has rows"):
        PackedWeight.from_blocks(np.zeros(18, np.uint8), "Q4_0")
