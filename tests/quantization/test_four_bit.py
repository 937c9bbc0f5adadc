"""Four bits a number against bitsandbytes' bits, against the definition, and what is refused."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.kernels import four_bit as kernels
from llm_from_scratch.quantization import fp4, nf4

FROZEN = load_file(Path(__file__).parent / "fixtures" / "four_bit.safetensors")
FORMATS = {"nf4": nf4, "fp4": fp4}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("label, size", [("even", 64), ("odd", 64), ("wide", 128)])
def test_bits_of_bitsandbytes(name, label, size):
    numbers, packed, absmax, read = (
        FROZEN[f"{name}.{label}.{part}"] for part in ("numbers", "packed", "absmax", "read")
    )
    ours = FORMATS[name].quantize(numbers, size)
    np.testing.assert_array_equal(ours[0], packed)
    np.testing.assert_array_equal(ours[1], absmax)
    np.testing.assert_array_equal(FORMATS[name].dequantize(packed, absmax, numbers.shape, size), read)
    assert ours[0].dtype == np.uint8 and ours[1].dtype == np.float32


@pytest.mark.parametrize("name", FORMATS)
def test_table_of_bitsandbytes(name):
    np.testing.assert_array_equal(FORMATS[name].CODES, FROZEN[f"{name}.table"])


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_short_floats_give_the_bits_of_bitsandbytes(kind):
    numbers = FROZEN["nf4.odd.numbers"].astype(kind)
    np.testing.assert_array_equal(nf4.quantize(numbers)[0], FROZEN[f"nf4.torch.{np.dtype(kind).name}.packed"])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", [(4, 64), (7, 33), (1, 1), (3, 5, 2), (200,), ()])
@pytest.mark.parametrize("size", [1, 5, 64, 1000])
def test_every_number_is_the_nearest(name, shape, size):
    numbers = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    packed, absmax = FORMATS[name].quantize(numbers, size)
    assert packed.shape == (-(-numbers.size // 2),) and absmax.shape == (-(-numbers.size // size),)
    read = FORMATS[name].dequantize(packed, absmax, shape, size)
    assert read.shape == shape and read.dtype == np.float32
    for start, largest in zip(range(0, numbers.size, size), absmax):  # by definition: all sixteen are tried
        block, got = numbers.reshape(-1)[start : start + size], read.reshape(-1)[start : start + size]
        assert largest == np.abs(block).max()
        errors = np.abs(block[:, None].astype(float) - FORMATS[name].CODES.astype(float) * float(largest))
        np.testing.assert_allclose(np.abs(got.astype(float) - block), errors.min(axis=1), atol=1e-6)


def test_the_first_of_two_is_in_the_high_half():
    assert nf4.quantize(np.array([1.0, -1.0, 0.0], np.float32))[0].tolist() == [0xF0, 0x77]


def test_float64_is_read_as_float32_and_strides_do_not_matter():
    numbers = np.random.default_rng(1).normal(size=(6, 10))
    for other in (numbers.astype(np.float32), np.asfortranarray(numbers), np.repeat(numbers, 2, axis=1)[:, ::2]):
        for a, b in zip(nf4.quantize(numbers), nf4.quantize(other)):
            np.testing.assert_array_equal(a, b)


def test_zeros_and_the_smallest_numbers():
    packed, absmax = nf4.quantize(np.zeros((2, 64)))
    assert (packed == 0x77).all() and (absmax == 0).all()
    np.testing.assert_array_equal(nf4.dequantize(packed, absmax, (2, 64)), 0)
    tiny = np.full(4, np.float32(1e-45))  # the smallest subnormal: its reciprocal is infinite
    np.testing.assert_array_equal(nf4.dequantize(*nf4.quantize(tiny), (4,)), tiny)
    huge = np.array([3e38, -1e38], np.float32)
    assert np.isfinite(nf4.dequantize(*nf4.quantize(huge), (2,))).all()
    assert nf4.dequantize(*nf4.quantize(np.zeros((0, 3))), (0, 3)).shape == (0, 3)


def test_both_kernels_agree_to_the_last_bit():
    numbers = np.random.default_rng(2).normal(size=10_001).astype(np.float32)
    for size in (3, 64):
        _, absmax = nf4.quantize(numbers, size)
        arguments = numbers, absmax, *kernels.ranked(nf4.CODES), size
        packed = kernels.four_bit_encode(*arguments)
        np.testing.assert_array_equal(packed, kernels.four_bit_encode.__wrapped__(*arguments))
        arguments = packed, absmax, nf4.CODES, size, numbers.size
        twin = kernels.four_bit_decode.__wrapped__(*arguments)
        np.testing.assert_array_equal(kernels.four_bit_decode(*arguments), twin)


@pytest.mark.parametrize(
    "weight, size, error, message",
    [
        (np.array([[1.0, np.nan]]), 64, ValueError, r"the weight at \(0, 1\) is nan"),
        (np.array([[1.0], [-np.inf]]), 64, ValueError, r"the weight at \(1, 0\) is -inf"),
        (np.array([1e39]), 64, ValueError, r"\(0,\) is 1e\+39: only numbers that are finite in float32"),
        (np.array([1, 2]), 64, TypeError, "floating-point numbers, got int64"),
        (np.array([True]), 64, TypeError, "got bool"),
        (np.ones(3, ml_dtypes.float8_e4m3fn), 64, TypeError, "got float8_e4m3fn"),
        (np.ones(3), 0, ValueError, "block_size must be a positive integer, not 0"),
        (np.ones(3), 2.0, ValueError, "not 2.0"),
        (np.ones(3), True, ValueError, "not True"),
    ],
)
def test_what_cannot_be_quantised_is_refused(weight, size, error, message):
    with pytest.raises(error, match=message):
        nf4.quantize(weight, size)


def test_parts_that_do_not_fit_are_refused():
    packed, absmax = nf4.quantize(np.ones((2, 65)))
    for arguments, error, message in (
        ((packed, absmax, (2, 64)), ValueError, "128 numbers in blocks of 64 have 2 largest magnitudes"),
        ((packed[1:], absmax, (2, 65)), ValueError, "130 numbers of four bits are 65 uint8"),
        ((packed, absmax, (2, 65), 32), ValueError, "130 numbers in blocks of 32 have 5"),
        ((packed.view(np.int8), absmax, (2, 65)), TypeError, "packed codes are uint8"),
        ((packed, absmax.astype(int), (2, 65)), TypeError, "absmax floats"),
    ):
        with pytest.raises(error, match=message):
            nf4.dequantize(*arguments)
