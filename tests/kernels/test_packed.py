"""Packed codes meet activations, split or as they are: what is lost is bounded, what is not finite shows in its row."""

import threading

import numpy as np
import pytest

from llm_from_scratch.kernels import packed
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.kernels.packed import BLOCK, TILE, pack_codes, split_activations, unpack_codes

compiled_only = pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")
EPS = 2.0**-24  # what one rounding to float32 loses of a number


def _weight(rng, tiles, inputs, group, four_bits, shifted):
    codes = rng.integers(0 if four_bits else -128, 16 if four_bits else 128, (tiles, inputs, TILE)).astype(np.int8)
    scale = rng.normal(size=(tiles, inputs // group, TILE)).astype(np.float32)
    minimum = rng.normal(size=scale.shape).astype(np.float32) if shifted else np.zeros((0, 0, 0), np.float32)
    return codes, (pack_codes(codes, four_bits), scale, minimum)


def _numbers(codes, parts, four_bits):
    """The weights in float64, (inputs, outputs), from the codes themselves and by another road than `packed_expand`."""
    _, scale, minimum = (np.asarray(part, np.float64) for part in parts)
    tiles, inputs, _ = codes.shape
    weights = np.empty((inputs, tiles * TILE))
    for i in range(inputs):
        g = i * scale.shape[1] // inputs
        shift = minimum[:, g] if minimum.size else (-8 if four_bits else 0) * scale[:, g]
        weights[i] = (codes[:, i] * scale[:, g] + shift).reshape(-1)
    return weights


def _bound(x, weights, scale, minimum):
    """How far a product may be off: what splitting loses, and a few roundings of every part that is added up.

    Splitting loses less than 2^-29 of the largest in a block (or of 2^-87). A block's sum of codes, of activations, its
    scale and minimum are each rounded a fixed number of times, and added to a total once a block.
    """
    x, blocks = np.abs(x.astype(np.float64)), -(-x.size // BLOCK)
    padded = np.zeros(blocks * BLOCK)
    padded[: x.size] = x
    largest = np.maximum(padded.reshape(-1, BLOCK).max(axis=1), 2.0**-87).repeat(BLOCK)[: x.size]
    parts = np.abs(weights) + 2 * np.abs(_repeated(scale, x.size)) * 128 + 2 * np.abs(_repeated(minimum, x.size))
    steps = 8 + 4 * blocks + 8  # roundings inside a block, of four groups of eight at most a block, and of an output
    return largest @ np.abs(weights) * 2.0**-29 + x @ parts * steps * EPS + 1e-36


def _repeated(part, inputs):
    if not part.size:
        return 0.0
    return np.repeat(part.astype(np.float64), inputs // part.shape[1], axis=1).swapaxes(0, 1).reshape(inputs, -1)


SHAPES = [(1, 8, 8), (1, 32, 32), (2, 40, 8), (1, 48, 16), (3, 96, 32), (1, 96, 96), (2, 160, 160), (1, 576, 64)]
FORMS = [(True, True), (True, False), (False, False), (False, True)]


def _hostile(rng, inputs):
    """Rows on which rounding is hard: many magnitudes in a block, a huge entry, subnormal ones, zeros of both signs."""
    yield rng.normal(size=inputs)
    yield rng.normal(size=inputs) * 10.0 ** rng.uniform(-12, 12, inputs)
    huge = rng.normal(size=inputs)
    huge[inputs // 2] = 3e30
    yield huge
    yield np.full(inputs, 1e-41)
    yield np.where(np.arange(inputs) % 2, -0.0, 0.0)
    yield np.where(np.arange(inputs) % 3, 1.0, np.nextafter(np.float32(1), np.float32(2)))
    yield 2.0 ** rng.integers(-40, 40, inputs) * (1 - EPS)  # just below powers of two


@pytest.mark.parametrize("four_bits, shifted", FORMS)
@pytest.mark.parametrize("tiles, inputs, group", SHAPES)
def test_products_are_off_by_no_more_than_is_said(tiles, inputs, group, four_bits, shifted):
    rng = np.random.default_rng(0)
    codes, parts = _weight(rng, tiles, inputs, group, four_bits, shifted)
    weights = _numbers(codes, parts, four_bits)
    np.testing.assert_allclose(packed.packed_expand(*parts), weights, rtol=1e-5, atol=1e-5)
    for row in _hostile(rng, inputs):
        x = row.astype(np.float32)
        y = packed.packed_matmul(x[None], *parts)[0]
        assert y.dtype == np.float32
        assert (np.abs(y - x.astype(np.float64) @ weights) <= _bound(x, weights, *parts[1:])).all()


def test_splitting_keeps_all_that_a_float32_holds_near_the_largest():
    x = (np.random.default_rng(0).uniform(0.01, 1, 96)).astype(np.float32)  # within 2^-7: 24 bits fit into the 29
    whole, scale, sums = split_activations(x)
    high, low = whole.reshape(2, -1).astype(np.float64)
    np.testing.assert_array_equal((high + low / 2**15) * np.repeat(scale, BLOCK), x)
    np.testing.assert_allclose(sums, x.reshape(-1, 8).sum(axis=1), rtol=1e-6)
    assert np.abs(high).max() <= 2**14 and np.abs(low).max() <= 2**14


@compiled_only
def test_splitting_is_the_same_bit_for_bit():
    from llm_from_scratch.kernels.compiled import products

    rng = np.random.default_rng(1)
    for inputs in (8, 32, 40, 576):
        rows = [*_hostile(rng, inputs), np.where(np.arange(inputs) == 3, np.nan, 1.0)]
        rows.append(np.where(np.arange(inputs) == inputs - 1, -np.inf, 2.0))
        for x in np.array(rows, np.float32):
            wanted = split_activations(x)
            whole, scale = np.full(2 * inputs, 7, np.int16), np.full(-(-inputs // BLOCK), 7, np.float32)
            sums = np.full(inputs // 8, 7, np.float32)
            products.split_activations(x, whole, scale, sums)
            np.testing.assert_array_equal(whole, wanted[0])
            np.testing.assert_array_equal(scale, wanted[1])
            np.testing.assert_allclose(sums, wanted[2], rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(x[np.isfinite(x)])))


@pytest.mark.parametrize("four_bits, shifted", FORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_in_its_row_only(bad, four_bits, shifted):
    rng = np.random.default_rng(2)
    _, parts = _weight(rng, 2, 64, 32, four_bits, shifted)
    x = rng.normal(size=(3, 64)).astype(np.float32)
    x[1, 40] = bad
    with np.errstate(invalid="ignore"):
        y = packed.packed_matmul(x, *parts)
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("four_bits, shifted", FORMS)
def test_the_largest_codes_and_activations_do_not_overflow(four_bits, shifted):
    inputs = 4096
    codes = np.full((1, inputs, TILE), 15 if four_bits else -128, np.int8)
    one = np.ones((1, 1, TILE), np.float32)
    parts = pack_codes(codes, four_bits), one, 0 * one if shifted else np.zeros((0, 0, 0), np.float32)
    code = 15 if four_bits and shifted else 7 if four_bits else -128
    for x in (2 - 2**-23, 1.0, -1.0, 3e30):
        y = packed.packed_matmul(np.full((1, inputs), x, np.float32), *parts)
        np.testing.assert_allclose(y, np.float64(np.float32(x)) * code * inputs, rtol=2e-5)


def test_rows_do_not_depend_on_one_another():
    rng = np.random.default_rng(3)
    _, parts = _weight(rng, 3, 96, 32, True, True)
    x = rng.normal(size=(7, 96)).astype(np.float32)
    together = packed.packed_matmul(x, *parts)
    for row, wanted in zip(x, together):
        if backend() == "numba":  # the twin's products are BLAS's, whose sums depend on the shape
            np.testing.assert_array_equal(packed.packed_matmul(row[None], *parts)[0], wanted)
        np.testing.assert_allclose(packed.packed_matmul(row[None], *parts)[0], wanted, rtol=1e-5, atol=1e-4)


@compiled_only
@pytest.mark.parametrize("four_bits, shifted", FORMS)
def test_threads_share_the_tiles_of_a_product(four_bits, shifted):
    from llm_from_scratch.kernels.compiled import products

    rng = np.random.default_rng(4)
    _, parts = _weight(rng, 5, 64, 32, four_bits, shifted)
    x = rng.normal(size=64).astype(np.float32)
    split = np.empty(128, np.int16), np.empty(2, np.float32), np.empty(8, np.float32)
    products.split_activations(x, *split)
    flat = parts[0].reshape(-1).view(np.uint8), parts[1].reshape(-1), parts[2].reshape(-1), 32
    y = np.full(5 * TILE, np.nan, np.float32)
    products.multiply(*split, *flat, y, 1, 3)
    wanted = packed.packed_matmul(x[None], *parts)[0]
    np.testing.assert_array_equal(y[TILE : 3 * TILE], wanted[TILE : 3 * TILE])
    assert np.isnan(y[:TILE]).all() and np.isnan(y[3 * TILE :]).all()
    shares = [threading.Thread(target=products.multiply, args=(*split, *flat, y, *s)) for s in ((0, 1), (3, 5))]
    for share in shares:
        share.start()
    for share in shares:
        share.join()
    np.testing.assert_array_equal(y, wanted)


MANY = [(2, 8, 8), (1, 24, 24), (3, 96, 96), (2, 288, 32), (1, 320, 40), (2, 576, 576), (1, 600, 24), (1, 808, 8)]


@pytest.mark.parametrize("four_bits, shifted", FORMS)
@pytest.mark.parametrize("tiles, inputs, group", MANY)
@pytest.mark.parametrize("rows", [1, 3, 4, 12, 13, 23, 37])
def test_many_rows_are_off_by_no_more_than_a_float32_product(rows, tiles, inputs, group, four_bits, shifted):
    """Groups that do and do not end where a panel does, rows that do and do not fill tiles of registers."""
    rng = np.random.default_rng(6)
    codes, parts = _weight(rng, tiles, inputs, group, four_bits, shifted)
    weights, x = _numbers(codes, parts, four_bits), rng.normal(size=(rows, inputs)).astype(np.float32)
    y = packed.packed_product(x, *parts)
    assert y.dtype == np.float32 and y.shape == (rows, tiles * TILE)
    # Each weight is rounded twice, at most, on its way to a number; then each term and each sum once.
    size = np.abs(weights) + 2 * 128 * np.abs(_repeated(parts[1], inputs)) + 2 * np.abs(_repeated(parts[2], inputs))
    bound = np.abs(x.astype(np.float64)) @ size * (inputs + 4) * EPS
    assert (np.abs(y - x.astype(np.float64) @ weights) <= bound).all()


@compiled_only
@pytest.mark.parametrize("four_bits, shifted", FORMS)
def test_many_rows_are_those_of_the_expanded_matrix_bit_for_bit(four_bits, shifted):
    from llm_from_scratch.kernels.row_products import row_product

    rng = np.random.default_rng(7)
    _, parts = _weight(rng, 3, 1600, 40, four_bits, shifted)
    x = rng.normal(size=(29, 1600)).astype(np.float32)
    y = packed.packed_product(x, *parts)
    np.testing.assert_array_equal(y, row_product(x, packed.packed_expand(*parts)))
    np.testing.assert_array_equal(packed.packed_product(x[5:6], *parts)[0], y[5])
    np.testing.assert_array_equal(packed.packed_product(x[3:22], *parts), y[3:22])


def test_a_row_of_many_that_is_not_finite_leaves_the_others_alone():
    rng = np.random.default_rng(8)
    _, parts = _weight(rng, 2, 64, 32, True, True)
    x = rng.normal(size=(30, 64)).astype(np.float32)
    x[17, 40], x[29, 2] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(packed.packed_product(x, *parts))
    assert not finite[[17, 29]].any() and finite.sum() == 28 * 2 * TILE


@pytest.mark.parametrize("four_bits", [True, False])
def test_codes_are_packed_and_come_back(four_bits):
    codes = np.random.default_rng(5).integers(0, 16, (3, 24, TILE)).astype(np.int8)
    np.testing.assert_array_equal(unpack_codes(pack_codes(codes, four_bits)), codes)


def test_parts_that_do_not_fit_are_refused():
    codes, scale, none = np.zeros((1, 4, 64), np.uint8), np.ones((1, 1, 64)), np.zeros((0, 0, 0))
    x = np.ones((1, 8))
    for wrong in (codes[0], codes[..., :32], codes.astype(np.int8), codes.astype(np.int16), codes[:, :3], codes[:, :0]):
        with pytest.raises(ValueError, match="codes must be|does not fit codes"):
            packed.packed_matmul(x, wrong, scale, none)
    for wrong in (scale[0], scale[..., :32], scale[:, :0], np.ones((2, 1, 64)), np.ones((1, 2, 64))):
        with pytest.raises(ValueError, match="does not fit codes"):
            packed.packed_matmul(x, codes, wrong, none)
    with pytest.raises(ValueError, match="minimum"):
        packed.packed_matmul(x, codes, scale, np.ones((1, 1, 32)))
    for wrong in (x[0], x[:, :7], np.ones((1, 16))):
        with pytest.raises(ValueError, match="does not fit 8 inputs"):
            packed.packed_matmul(wrong, codes, scale, none)
        with pytest.raises(ValueError, match="does not fit 8 inputs"):
            packed.packed_product(wrong, codes, scale, none)
    with pytest.raises(ValueError, match="out .* does not hold"):
        packed.packed_expand(codes, scale, none, out=np.ones((8, 63)))
