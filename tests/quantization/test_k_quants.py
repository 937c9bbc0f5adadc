"""K-quants: as close as the reference quantisation of llama.cpp, frozen, and read alike by the `gguf` package."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.files.gguf import TYPES
from llm_from_scratch.quantization import decode, dequantize, quantize

HERE = Path(__file__).parent / "fixtures"
FROZEN = json.loads((HERE / "k_quants.json").read_text(encoding="utf-8"))["errors"]
KINDS = ("Q4_K", "Q5_K", "Q6_K")
LEVELS = {"Q4_K": 15, "Q5_K": 31, "Q6_K": 63}


def numbers():
    """As in fixtures/make_k_quants.py, which needs more than numpy."""
    source = (HERE / "make_k_quants.py").read_text(encoding="utf-8").replace("import llama_cpp\n", "")
    module = {"__name__": "make_k_quants", "__file__": str(HERE / "make_k_quants.py")}
    exec(compile(source, "make_k_quants.py", "exec"), module)
    return module["numbers"]()


NUMBERS = numbers()


def relative_error(values, kind):
    off = dequantize(quantize(values, kind), kind).astype(np.float64) - values
    return np.sqrt((off**2).mean() / (values.astype(np.float64) ** 2).mean())


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_no_larger_than_that_of_llama_cpp(kind, name):
    assert 0.3 * FROZEN[kind][name] < relative_error(NUMBERS[name], kind) < 1.002 * FROZEN[kind][name]


def test_more_bits_are_closer():
    errors = [relative_error(NUMBERS["normal"], kind) for kind in KINDS]
    assert errors == sorted(errors, reverse=True) and errors[0] < 0.075 and errors[2] < 0.018


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_on_a_grid_come_back_exactly(kind):
    """What a file holds is found again: blocks whose scales need no rounding."""
    rng = np.random.default_rng(1)
    highest, groups = LEVELS[kind], 16 if kind == "Q6_K" else 8
    codes = rng.integers(0, highest + 1, (5, groups, 256 // groups)).astype(np.float32)
    codes[..., 0], codes[..., 1] = 0, highest
    if kind == "Q6_K":
        scale = rng.integers(64, 129, (5, groups, 1)) * -1.0
        scale[:, 0] = -128.0
        values = (codes - 32) * scale * 2.0**-10
    else:
        scale, minimum = (rng.integers(20, 64, (5, groups, 1)).astype(np.float32) for _ in range(2))
        scale[:, 0] = minimum[:, 0] = 63
        values = codes * scale * 2.0**-8 - minimum * 2.0**-6
    values = values.reshape(5, 256).astype(np.float32)
    np.testing.assert_allclose(dequantize(quantize(values, kind), kind), values, atol=1e-6 * np.abs(values).max())


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_without_anything_or_with_one_number_alone(kind):
    values = np.zeros((6, 256), np.float32)
    values[1] = 0.25
    values[2] = -0.25
    values[3, 77] = 5.0
    values[4, 77] = -5.0
    values[5] = np.tile([1e-7, -1e-7], 128)  # below what float16 scales can say
    read = dequantize(quantize(values, kind), kind)
    assert not read[0].any() and np.isfinite(read).all()
    np.testing.assert_allclose(read[1:5], values[1:5], rtol=0.02, atol=2e-3)
    assert np.abs(read[5]).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_does_not_depend_on_its_neighbours(kind):
    values = NUMBERS["heavy tails"]
    rows = [quantize(row[None], kind) for row in values[:3]]
    np.testing.assert_array_equal(quantize(values[:3], kind), np.concatenate(rows))
    assert quantize(values.reshape(2, 32, 1024), kind).shape == (2, 32, 1024 // 256 * TYPES[kind].bytes)


@pytest.mark.parametrize("kind", KINDS)
def test_all_codes_are_used(kind):
    codes = decode(quantize(NUMBERS["uniform"], kind), kind).codes
    assert len(np.unique(codes)) == LEVELS[kind] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_gguf_package_reads_what_is_written(kind):
    gguf = pytest.importorskip("gguf")
    data = quantize(NUMBERS["normal"], kind)
    theirs = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(dequantize(data, kind), theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_said_is_refused(kind):
    for values, message in (
        (np.ones((2, 128)), "whole .* blocks of 256"),
        (np.full((1, 256), np.nan), "not finite"),
        (np.full((1, 256), 1e12), f"too large for {kind}"),
    ):
        with pytest.raises(ValueError, match=message):
            quantize(values.astype(np.float32), kind)
