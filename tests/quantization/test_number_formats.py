"""Number formats against NumPy and ml_dtypes: all bit patterns, all half-way points, and what lies beside them."""

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch.quantization import FORMATS, FloatFormat, IntegerFormat, fp4, nf4

PEERS = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3": ml_dtypes.float8_e4m3,
    "float4_e2m1fn": ml_dtypes.float4_e2m1fn,
}


def codes_of(name):
    bits = FORMATS[name].bits
    return np.arange(2**bits).astype(np.uint8 if bits <= 8 else np.uint16)


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours, theirs)  # NaN where they have NaN
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))  # of zeros and NaN too


@pytest.mark.parametrize("name", PEERS)
def test_all_codes_stand_for_what_they_stand_for_elsewhere(name):
    codes = codes_of(name)
    with np.errstate(invalid="ignore"):
        assert_same(FORMATS[name].decode(codes), codes.view(PEERS[name]).astype(np.float64))


@pytest.mark.parametrize("name", PEERS)
def test_all_codes_come_back(name):
    codes, kind = codes_of(name), FORMATS[name]
    numbers = kind.decode(codes)
    again = kind.encode(numbers)
    assert again.dtype == codes.dtype
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(again[known], codes[known])
    assert_same(kind.decode(again), numbers)


@pytest.mark.parametrize("name", PEERS)
def test_rounding_half_way_and_just_beside(name):
    """Half-way points of neighbours, of the largest number and what would come next, and a step to either side."""
    kind = FORMATS[name]
    numbers = kind.decode(codes_of(name))
    ascending = np.unique(numbers[np.isfinite(numbers)])
    half = (ascending[1:] + ascending[:-1]) / 2
    gap = ascending[-1] - ascending[-2]
    ends = np.array([kind.largest + gap * k / 4 for k in range(9)] + [1e38, 3.4e38, 1e-40, np.inf])
    x = np.concatenate([half, ends, -ends])
    if name == "float16":  # NumPy rounds float64 to it in one step
        steps, wide = (np.nextafter(x, np.inf), np.nextafter(x, -np.inf)), np.float64
    else:  # ml_dtypes takes float32, in which half-way points are exact as well
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        steps, wide = (np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))), np.float32
    x = np.concatenate([x, *steps])
    assert x.dtype == wide
    with np.errstate(over="ignore"):
        theirs = x.astype(PEERS[name]).view(codes_of(name).dtype)
    np.testing.assert_array_equal(kind.encode(x), theirs)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "float4_e2m1fn"])
def test_nan_keeps_its_sign_and_has_the_quiet_code(name):
    x = np.array([np.nan, -np.nan], np.float32)
    np.testing.assert_array_equal(FORMATS[name].encode(x), x.astype(PEERS[name]).view(codes_of(name).dtype))


def test_float32_at_half_a_million_patterns_and_their_half_way_points():
    rng, kind = np.random.default_rng(0), FORMATS["float32"]
    codes = rng.integers(0, 2**32, 500_000, dtype=np.uint32)
    exponents = np.arange(512, dtype=np.uint32)[:, None] << 23  # every sign and exponent, at its borders
    codes = np.concatenate([codes, (exponents | np.array([0, 1, 2, 2**22, 2**23 - 1], np.uint32)).reshape(-1)])
    with np.errstate(invalid="ignore", over="ignore"):
        wide = codes.view(np.float32).astype(np.float64)
        above = np.nextafter(codes.view(np.float32), np.float32(np.inf)).astype(np.float64)
    assert_same(kind.decode(codes), wide)
    known = ~np.isnan(wide)
    np.testing.assert_array_equal(kind.encode(wide[known]), codes[known])
    half = ((wide + above) / 2)[known]
    half = np.concatenate([half[np.isfinite(half)], [2.0**128 - 2.0**103, 1e39, 2.0**-150, 5e-324]])
    for x in (half, np.nextafter(half, np.inf), np.nextafter(half, -np.inf), -half):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(kind.encode(x), x.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("name", [*PEERS, "float32"])
def test_ranges(name):
    kind = FORMATS[name]
    info = np.finfo(np.float32) if name == "float32" else ml_dtypes.finfo(PEERS[name])
    assert kind.bits == info.bits if name != "float4_e2m1fn" else kind.bits == 4
    assert (kind.largest, kind.smallest_normal, kind.smallest, kind.epsilon) == tuple(
        float(part) for part in (info.max, info.smallest_normal, info.smallest_subnormal, info.eps)
    )


def test_a_general_description_fits_other_formats_too():
    for other, exponent, mantissa, bias, top in (
        (ml_dtypes.float6_e2m3fn, 2, 3, 1, "finite"),
        (ml_dtypes.float6_e3m2fn, 3, 2, 3, "finite"),
        (ml_dtypes.float8_e3m4, 3, 4, 3, "ieee"),
    ):
        kind = FloatFormat(exponent, mantissa, bias, top)
        codes = np.arange(2**kind.bits).astype(np.uint8)
        assert_same(kind.decode(codes), codes.view(other).astype(np.float64))
    assert FloatFormat(8, 0, 127, "nan").decode(127).tolist() == 1.0  # powers of two only


def test_what_is_beyond_the_largest_number():
    x = [500.0, -1e9, np.inf]
    assert FORMATS["float8_e4m3"].decode(FORMATS["float8_e4m3"].encode(x)).tolist() == [np.inf, -np.inf, np.inf]
    assert np.isnan(FORMATS["float8_e4m3fn"].round(x)).all()
    for name in ("float8_e4m3fn", "float8_e5m2", "float16"):
        largest = FORMATS[name].largest
        assert FORMATS[name].round([1e9, -1e9, np.inf], saturate=True).tolist() == [largest, -largest, largest]
        assert np.isnan(FORMATS[name].round(np.nan, saturate=True))
    assert FORMATS["float4_e2m1fn"].round([7.0, -np.inf]).tolist() == [6.0, -6.0]


def test_whole_numbers_are_twos_complement():
    codes = np.arange(256).astype(np.uint8)
    np.testing.assert_array_equal(FORMATS["int8"].decode(codes), codes.view(np.int8))
    np.testing.assert_array_equal(FORMATS["int4"].decode(codes[:16]), codes[:16].view(ml_dtypes.int4).astype(float))
    for name in ("int8", "int4"):
        kind = FORMATS[name]
        every = np.arange(2**kind.bits)
        np.testing.assert_array_equal(kind.encode(kind.decode(every)), every)
        half = np.arange(-(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1) + 0.5
        assert (kind.decode(kind.encode(half)) % 2 == 0).all()  # every half goes to the even number
    int8 = FORMATS["int8"]
    assert int8.decode(int8.encode([127.4, 127.5, -128.6, np.inf])).tolist() == [127, 127, -128, 127]
    assert IntegerFormat(16).decode(IntegerFormat(16).encode(-3)) == -3


@pytest.mark.parametrize("name, module", [("nf4", nf4), ("fp4", fp4)])
def test_tables_have_the_codes_of_the_packed_form(name, module):
    x = np.random.default_rng(0).uniform(-1, 1, 64).astype(np.float32)
    x[0] = 1.0  # the largest magnitude: no scale
    packed, _ = module.quantize(x)
    codes = FORMATS[name].encode(x)
    np.testing.assert_array_equal(codes[::2] << 4 | codes[1::2], packed)
    np.testing.assert_array_equal(FORMATS[name].decode(np.arange(16)), module.CODES)
    assert (FORMATS[name].encode([-7.0, 7.0]) == FORMATS[name].encode([-1.0, 1.0])).all()


def test_single_numbers_shapes_and_dtypes():
    for kind in FORMATS.values():
        assert np.shape(kind.encode(1.0)) == () and np.shape(kind.decode(kind.encode(np.ones((2, 0, 3))))) == (2, 0, 3)
        for dtype in (np.float16, np.float32, ml_dtypes.bfloat16, np.int8):
            np.testing.assert_array_equal(kind.encode(np.ones(2, dtype)), kind.encode([1.0, 1.0]))


def test_what_does_not_fit_is_refused():
    e4m3, int4 = FORMATS["float8_e4m3fn"], FORMATS["int4"]
    for call, error, message in (
        (lambda: e4m3.decode([3, 256]), ValueError, r"code 256 at \(1,\) does not fit into 8 bits"),
        (lambda: e4m3.decode([-1]), ValueError, r"code -1 at \(0,\)"),
        (lambda: e4m3.decode([1.0]), TypeError, "codes are whole numbers, not float64"),
        (lambda: e4m3.encode(["a"]), TypeError, "numbers were expected"),
        (lambda: e4m3.encode([True]), TypeError, "numbers were expected, not bool"),
        (lambda: int4.encode([0.0, np.nan]), ValueError, r"nan at \(1,\) is outside -8 … 7"),
        (lambda: int4.encode([7.6], saturate=False), ValueError, r"7.6 at \(0,\) is outside -8 … 7"),
        (lambda: FORMATS["nf4"].encode([1.5], saturate=False), ValueError, r"1.5 at \(0,\) is outside -1.0 … 1.0"),
        (lambda: FORMATS["float4_e2m1fn"].encode([1.0, np.nan]), ValueError, r"NaN at \(1,\) has no code"),
        (lambda: FloatFormat(5, 2, 15, "inf"), ValueError, "'ieee', 'nan' or 'finite', not 'inf'"),
        (lambda: FloatFormat(11, 52, 1023), ValueError, "1 to 8 bits of exponent"),
        (lambda: IntegerFormat(1), ValueError, "2 to 32 bits"),
    ):
        with pytest.raises(error, match=message):
            call()
