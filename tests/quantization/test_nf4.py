"""NF4's numbers derived, double quantisation against bitsandbytes and against the definition."""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.quantization import absmax_quantize, nf4, zero_point_quantize

FROZEN = load_file(Path(__file__).parent / "fixtures" / "four_bit.safetensors")


def test_codes_are_quantiles_but_for_their_last_digits():
    derived = nf4.derived_codes()
    assert np.abs(derived - nf4.CODES).max() < 1.2e-7
    # The published table is what is used: a rounding of the quantiles gives other last digits in most places.
    assert (derived.astype(np.float32) != nf4.CODES).sum() == 10
    assert np.abs(nf4.derived_codes(offset=0.97) - nf4.CODES).max() > 1e-3
    assert abs((1 - 1 / 32 + 1 - 1 / 30) / 2 - 0.9677083) < 1e-7


def test_a_normal_weight_meets_all_codes():
    rng = np.random.default_rng(0)
    packed, _ = nf4.quantize(rng.normal(size=(1000, 64)))
    counts = np.bincount(np.concatenate([packed >> 4, packed & 15]), minlength=16) / 64_000
    # Not sixteenths: the largest of 64 is further out than the table's outermost quantile, so the middle is crowded.
    assert 0.015 < counts.min() < 0.02 and 0.09 < counts.max() < 0.1 and counts.argmax() == 6


def test_the_eight_bit_numbers_are_those_of_bitsandbytes():
    numbers = nf4.dynamic_numbers()
    assert (np.diff(numbers) > 0).all()
    np.testing.assert_allclose(numbers, FROZEN["map"], rtol=1.2e-7, atol=0)  # ours rounded once, theirs at each step


def test_double_quantisation_is_the_nearest_number_where_bitsandbytes_is_now_and_then_one_beside():
    codes, scales, offset = nf4.double_quantize(FROZEN["magnitudes"])
    np.testing.assert_allclose(offset, FROZEN["offset"][0], rtol=2e-7)
    np.testing.assert_allclose(scales, FROZEN["scales"], rtol=1e-6)
    assert codes.dtype == np.uint8 and scales.dtype == np.float32 and scales.shape == (3,)
    theirs = FROZEN["codes"]
    different = np.flatnonzero(codes != theirs)
    assert len(different) <= 4  # of 700: their search on the CPU ends early
    scaled = (FROZEN["magnitudes"].astype(float) - offset) / np.repeat(scales, 256)[:700]
    numbers = nf4.dynamic_numbers().astype(float)
    ours_off, theirs_off = (np.abs(scaled - numbers[c]) for c in (codes, theirs))
    assert (ours_off <= theirs_off + 1e-6).all()
    np.testing.assert_allclose(ours_off, np.abs(scaled[:, None] - numbers).min(axis=1), atol=1e-6)


def test_reading_magnitudes_of_bitsandbytes():
    read = nf4.double_dequantize(FROZEN["codes"], FROZEN["scales"], FROZEN["offset"][0])
    np.testing.assert_allclose(read, FROZEN["magnitudes.read"], rtol=3e-7)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_magnitudes_come_back_to_a_hundredth(count):
    magnitudes = np.random.default_rng(count).uniform(1, 3, count).astype(np.float32)
    codes, scales, offset = nf4.double_quantize(magnitudes)
    assert codes.shape == (count,) and scales.shape == (-(-count // 256),)
    read = nf4.double_dequantize(codes, scales, offset)
    assert read.dtype == np.float32 and np.abs(read - magnitudes).max() <= 0.0075 * scales.max()
    # a part of them is read with the scales that belong to it
    if count > 300:
        np.testing.assert_array_equal(nf4.decode_statistics(codes[250:300], scales, offset, 250), read[250:300])


def test_equal_magnitudes_are_exact():
    codes, scales, offset = nf4.double_quantize(np.full(300, 0.3, np.float32))
    assert (codes == 127).all() and (scales == 0).all()
    np.testing.assert_array_equal(nf4.double_dequantize(codes, scales, offset), np.float32(0.3))


def test_bits_a_weight():
    packed, absmax = nf4.quantize(np.random.default_rng(0).normal(size=(512, 512)))
    codes, scales, _ = nf4.double_quantize(absmax)
    assert 8 * (packed.nbytes + absmax.nbytes) / 512**2 == 4.5
    assert 8 * (packed.nbytes + codes.nbytes + scales.nbytes) / 512**2 == 4 + 8 / 64 + 32 / (64 * 256)


@pytest.mark.parametrize("seed", range(3))
def test_nf4_is_better_than_even_steps_for_normal_weights_in_blocks_of_128_but_not_of_32(seed):
    """What NF4 is for, and its limit: mean squared error against 15 symmetric steps, and 16 over a block's range."""

    def ratio(size, quantize):
        numbers = np.random.default_rng(seed).normal(size=(5_000, size)).astype(np.float32)
        even = quantize(numbers, bits=4, per="row").values()
        read = nf4.dequantize(*nf4.quantize(numbers, size), numbers.shape, size)
        return ((read - numbers) ** 2).mean() / ((even - numbers) ** 2).mean()

    assert ratio(256, absmax_quantize) < ratio(64, absmax_quantize) < ratio(32, absmax_quantize) < 0.9
    assert ratio(32, zero_point_quantize) > 1.1 and ratio(128, zero_point_quantize) < 0.95


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="absmax is an array"):
        nf4.double_quantize(np.ones(3, int))
    with pytest.raises(TypeError, match="absmax is an array"):
        nf4.double_quantize(np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        nf4.double_quantize(np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="one absmax for each 256"):
        nf4.double_dequantize(np.zeros(300, np.uint8), np.ones(1, np.float32), 0.0)
    assert NormalDist().inv_cdf(0.5) == 0
