"""Block formats against the `gguf` package, frozen in fixtures/blocks.safetensors: bit for bit."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.files.gguf import TYPES
from llm_from_scratch.quantization import BLOCKS, FLOATS, decode, dequantize, quantize

FROZEN = load_file(Path(__file__).parent / "fixtures" / "blocks.safetensors")
WRITTEN = ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


@pytest.mark.parametrize("kind", BLOCKS)
def test_reading_equals_gguf_bit_for_bit(kind):
    got, wanted = dequantize(FROZEN[f"{kind}.bytes"], kind), FROZEN[f"{kind}.values"]
    assert got.dtype == np.float32 and got.shape == wanted.shape
    assert np.abs(wanted).max() > 1
    np.testing.assert_array_equal(got.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("kind", WRITTEN)
def test_writing_equals_gguf_bit_for_bit(kind):
    made = quantize(FROZEN["numbers"], kind)
    np.testing.assert_array_equal(made, FROZEN[f"{kind}.made"])
    np.testing.assert_array_equal(dequantize(made, kind), FROZEN[f"{kind}.read"])


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_parts_make_the_values(kind):
    data = FROZEN[f"{kind}.bytes"]
    parts = decode(data, kind)
    assert parts.codes.dtype == np.int8 and parts.group in (16, 32)
    wide = [np.repeat(part, parts.group, axis=-1).astype(np.float64) for part in parts[1:] if part is not None]
    exact = wide[0] * parts.codes + (wide[1] if len(wide) > 1 else 0)
    np.testing.assert_allclose(dequantize(data, kind), exact, rtol=1e-6, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("kind, steps", [("Q4_0", 8), ("Q4_1", 15), ("Q5_0", 16), ("Q5_1", 31), ("Q8_0", 127)])
def test_rounding_error_is_at_most_about_half_a_step(kind, steps):
    values = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    blocks = values.reshape(50, 2, 32)
    span = np.ptp(blocks, axis=-1) if kind.endswith("_1") else np.abs(blocks).max(-1)
    error = np.abs(dequantize(quantize(values, kind), kind) - values).reshape(blocks.shape).max(-1)
    # The end of a signed range has one code less: the far side may be a whole step off.
    allowed = (1.0 if kind in ("Q4_0", "Q5_0") else 0.5) * span / steps + 2e-3 * np.abs(blocks).max(-1)
    assert (error <= allowed).all()
    assert error.max() > 0.2 * (span / steps).max()


def test_a_block_of_any_leading_shape():
    data = FROZEN["Q4_1.bytes"].reshape(2, 3, 2, 20)
    np.testing.assert_array_equal(dequantize(data, "Q4_1").reshape(2, -1), FROZEN["Q4_1.values"])
    assert dequantize(np.empty((0, 20), np.uint8), "Q4_1").shape == (0, 32)


@pytest.mark.parametrize("kind", [*BLOCKS, *FLOATS])
def test_bytes_that_are_no_whole_blocks_are_refused(kind):
    with pytest.raises(ValueError, match=f"not whole {kind} blocks"):
        dequantize(np.zeros(TYPES[kind].bytes + 1, np.uint8), kind)
    with pytest.raises(TypeError, match="uint8"):
        dequantize(np.zeros(TYPES[kind].bytes, np.int8), kind)


def test_what_cannot_be_quantised_says_why():
    good = np.ones((2, 32), np.float32)
    for values, kind, message in (
        (good[:, :31], "Q4_0", "whole Q4_0 blocks of 32"),
        (good * np.nan, "Q8_0", "not finite"),
        (good * 1e30, "Q4_1", "too large for Q4_1"),
        (good * 1e5, "F16", "too large for F16"),
        (good, "Q4_K", "whole Q4_K blocks of 256"),
        (good, "Q3_K", "not written here"),
        (good, "Q9", "not written here"),
    ):
        with pytest.raises(ValueError, match=message):
            quantize(values, kind)
    with pytest.raises(TypeError, match="float32"):
        quantize(good.astype(np.float64), "Q4_0")
    with pytest.raises(ValueError, match="not a type of real numbers"):
        dequantize(np.zeros(4, np.uint8), "I32")
    with pytest.raises(ValueError, match="plain numbers"):
        decode(np.zeros(4, np.uint8), "F32")
