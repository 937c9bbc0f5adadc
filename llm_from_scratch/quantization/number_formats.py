"""Number formats from their bits: a sign, an exponent and a mantissa; whole numbers in two's complement; tables of 16.

A format turns numbers into codes (`encode`: to the nearest, halves to the even code) and codes into numbers (`decode`).
`FORMATS` has those that the year's models are stored and computed in, by name. Memory is not saved here, but shown:
a code takes a whole uint8, uint16 or uint32; what packs them is `nf4.py`, `blocks.py`, `int8.py`.

    format          sign exponent mantissa   bias   largest     the codes on top
    float32         1    8        23         127    3.4e38      infinity, NaN
    float16         1    5        10         15     65504       infinity, NaN
    bfloat16        1    8        7          127    3.4e38      infinity, NaN
    float8_e5m2     1    5        2          15     57344       infinity, NaN
    float8_e4m3fn   1    4        3          7      448         numbers, and one NaN of either sign
    float8_e4m3     1    4        3          7      240         infinity, NaN: what e4m3 would be by IEEE's rule
    float4_e2m1fn   1    2        1          1      6           numbers

Source: IEEE 754-2019, 3.4; Micikevicius et al. 2022 (FP8), arXiv:2209.05433.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import fp4, nf4


@dataclass(frozen=True)
class FloatFormat:
    """(-1)^sign · 2^(exponent - bias) · (1 + mantissa / 2^mantissa_bits), and evenly spaced numbers around zero.

    top: what the codes with the largest exponent mean. "ieee": infinity where the mantissa is 0, else NaN. "nan":
    ordinary numbers, only the very last code is NaN and there is no infinity (the "fn" of float8_e4m3fn: finite, and
    NaN). "finite": ordinary numbers all.

    >>> half = FloatFormat(exponent_bits=5, mantissa_bits=10, bias=15)
    >>> half.bits, half.largest, half.smallest_normal, half.smallest, half.epsilon
    (16, 65504.0, 6.103515625e-05, 5.960464477539063e-08, 0.0009765625)
    >>> half.spell(half.encode(-0.1)), float(half.round(-0.1))
    ('1 01011 1001100110', -0.0999755859375)
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int
    top: Literal["ieee", "nan", "finite"] = "ieee"

    def __post_init__(self) -> None:
        if self.top not in ("ieee", "nan", "finite"):
            raise ValueError(f"the top codes are 'ieee', 'nan' or 'finite', not {self.top!r}")
        if not (1 <= self.exponent_bits <= 8 and 0 <= self.mantissa_bits <= 23):
            raise ValueError(
                f"1 to 8 bits of exponent and 0 to 23 of mantissa are possible, not "
                f"{self.exponent_bits} and {self.mantissa_bits}: numbers are handed over as float64"
            )

    @property
    def bits(self) -> int:
        """Bits a number."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def _last_finite(self) -> int:
        """The code of the largest number; the codes of numbers above zero ascend with them."""
        top = (1 << (self.bits - 1)) - 1
        return {"ieee": top - (1 << self.mantissa_bits), "nan": top - 1, "finite": top}[self.top]

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(self.decode(self._last_finite))

    @property
    def smallest_normal(self) -> float:
        """The smallest number whose mantissa begins with 1; below it, the spacing stays the same down to zero."""
        return 2.0 ** (1 - self.bias)

    @property
    def smallest(self) -> float:
        """The smallest number above zero: a subnormal one, if there are bits of mantissa."""
        return float(self.decode(1))

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number: rounding errs by at most half of it, relative to a normal number."""
        return 2.0**-self.mantissa_bits

    def encode(self, values: Any, *, saturate: bool = False) -> np.ndarray:
        """The codes of the nearest numbers, halves to the even code: (...) floats -> (...) uint8, uint16 or uint32.

        What is beyond the largest number, once rounded, becomes infinity; without one, NaN; without either, or with
        saturate=True, the largest. NaN keeps its sign, not its other bits; a format without NaN raises ValueError.

        >>> [hex(code) for code in FORMATS["float8_e4m3fn"].encode([448.0, 464.0, 465.0, 1e-3])]
        ['0x7e', '0x7e', '0x7f', '0x1']
        """
        x = _numbers(values)
        magnitude = np.abs(x)
        lowest = 1 - self.bias  # the exponent of the smallest normal numbers, which the subnormal ones share
        with np.errstate(invalid="ignore", over="ignore"):
            exponent = np.where(magnitude > 0, np.maximum(np.frexp(magnitude)[1] - 1, lowest), lowest)
            # In units of the spacing there, an exact division. A mantissa that is rounded up to 2 carries into the
            # exponent by itself, since the codes of all positive numbers are consecutive.
            steps = np.rint(np.ldexp(magnitude, self.mantissa_bits - exponent))
            steps += np.ldexp((exponent - lowest).astype(float), self.mantissa_bits)
        beyond = steps > self._last_finite
        if saturate or self.top == "finite":
            steps = np.where(beyond, self._last_finite, steps)
        else:  # IEEE's infinity comes right after the largest number, and so does the NaN of "fn"
            steps = np.where(beyond, self._last_finite + 1, steps)
        unknown = np.isnan(x)
        if unknown.any():
            if self.top == "finite":
                raise ValueError(f"NaN at {_first(unknown)} has no code: this format of {self.bits} bits has none")
            quiet = self._last_finite + 1 + (1 << self.mantissa_bits >> 1 if self.top == "ieee" else 0)
            steps = np.where(unknown, quiet, steps)
        codes = steps.astype(np.uint32) | (np.signbit(x).astype(np.uint32) << (self.bits - 1))
        return codes.astype(_unsigned(self.bits))

    def decode(self, codes: Any) -> np.ndarray:
        """The numbers that codes stand for: (...) integers -> (...) float64, exactly.

        >>> FORMATS["float8_e4m3fn"].decode([0x08, 0x38, 0x7E, 0x7F, 0x80]).tolist()
        [0.015625, 1.0, 448.0, nan, -0.0]
        """
        sign, exponent, mantissa = self.fields(codes)
        normal = exponent > 0
        whole = (mantissa + (normal << self.mantissa_bits)).astype(float)
        numbers = np.ldexp(whole, np.maximum(exponent, 1) - (self.bias + self.mantissa_bits))
        magnitude = (exponent << self.mantissa_bits) | mantissa
        beyond = magnitude > self._last_finite
        infinite = beyond & (mantissa == 0) if self.top == "ieee" else np.zeros_like(beyond)
        numbers = np.where(infinite, np.inf, np.where(beyond, np.nan, numbers))
        return np.copysign(numbers, 0.5 - sign)

    def round(self, values: Any, *, saturate: bool = False) -> np.ndarray:
        """The nearest numbers of the format, as float64: `decode(encode(values))`."""
        return self.decode(self.encode(values, saturate=saturate))

    def fields(self, codes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three parts of codes, as whole numbers: sign, exponent (with the bias in it), mantissa.

        >>> [int(part) for part in FORMATS["float32"].fields(FORMATS["float32"].encode(-6.5))]
        [1, 129, 5242880]
        """
        whole = _codes(codes, self.bits)
        exponent = (whole >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1)
        return whole >> (self.bits - 1), exponent, whole & ((1 << self.mantissa_bits) - 1)

    def spell(self, code: int | np.ndarray) -> str:
        """One code in bits: sign, exponent and mantissa, with gaps between.

        >>> FORMATS["bfloat16"].spell(FORMATS["bfloat16"].encode(1.0))
        '0 01111111 0000000'
        """
        sign, exponent, mantissa = (int(part) for part in self.fields(code))
        rest = f" {mantissa:0{self.mantissa_bits}b}" if self.mantissa_bits else ""
        return f"{sign} {exponent:0{self.exponent_bits}b}{rest}"


@dataclass(frozen=True)
class IntegerFormat:
    """Whole numbers from -2^(bits - 1) to 2^(bits - 1) - 1, in two's complement.

    >>> FORMATS["int4"].encode([-8.0, -1.0, 2.5, 3.5, 99.0])          # halves to the even number, the rest saturates
    array([ 8, 15,  2,  4,  7], dtype=uint8)
    """

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise ValueError(f"2 to 32 bits are possible, not {self.bits}")

    @property
    def largest(self) -> float:
        """The largest number; the smallest is one further from zero."""
        return float((1 << (self.bits - 1)) - 1)

    def encode(self, values: Any, *, saturate: bool = True) -> np.ndarray:
        """The codes of the nearest whole numbers: (...) floats -> (...) uint8, uint16 or uint32.

        Raises ValueError for NaN, and with saturate=False for what is out of range.
        """
        x = _numbers(values)
        rounded = np.rint(x)
        wrong = np.isnan(x) if saturate else ~((rounded >= -self.largest - 1) & (rounded <= self.largest))
        if wrong.any():
            place = _first(wrong)
            raise ValueError(f"{x[place]} at {place} is outside {-self.largest - 1:.0f} … {self.largest:.0f}")
        whole = np.clip(rounded, -self.largest - 1, self.largest).astype(np.int64)
        return (whole & ((1 << self.bits) - 1)).astype(_unsigned(self.bits))

    def decode(self, codes: Any) -> np.ndarray:
        """The whole numbers, as float64.

        >>> FORMATS["int8"].decode([0, 127, 128, 255])
        array([   0.,  127., -128.,   -1.])
        """
        whole = _codes(codes, self.bits)
        return (whole - ((whole >> (self.bits - 1)) << self.bits)).astype(float)


@dataclass(frozen=True, eq=False)
class TableFormat:
    """Four bits that stand for sixteen numbers in [-1, 1], as NF4's do: what multiplies them is said elsewhere.

    >>> FORMATS["nf4"].encode([-1.0, 0.0, 0.1]), FORMATS["nf4"].decode([0, 7, 8]).round(4)
    (array([0, 7, 8], dtype=uint8), array([-1.    ,  0.    ,  0.0796]))
    """

    numbers: np.ndarray
    bits: int = 4

    def encode(self, values: Any, *, saturate: bool = True) -> np.ndarray:
        """The codes of the nearest numbers, halves to the lower number: (...) floats -> (...) uint8.

        What is outside becomes the outermost number, or a ValueError with saturate=False; NaN always one.
        """
        x = _numbers(values)
        order = np.argsort(self.numbers, kind="stable").astype(np.uint8)
        ascending = self.numbers[order].astype(float)
        wrong = np.isnan(x) if saturate else ~((x >= ascending[0]) & (x <= ascending[-1]))
        if wrong.any():
            raise ValueError(f"{x[_first(wrong)]} at {_first(wrong)} is outside {ascending[0]} … {ascending[-1]}")
        return order[np.searchsorted((ascending[1:] + ascending[:-1]) / 2, x)]

    def decode(self, codes: Any) -> np.ndarray:
        """The numbers, as float64."""
        return self.numbers[_codes(codes, self.bits)].astype(float)


def _numbers(values: Any) -> np.ndarray:
    """Numbers as float64, which holds those of all formats here exactly."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"numbers were expected, not {array.dtype}")
    return array.astype(np.float64)


def _codes(codes: Any, bits: int) -> np.ndarray:
    """Codes as int64; TypeError unless they are integers, ValueError unless each fits into the bits."""
    array = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise TypeError(f"codes are whole numbers, not {array.dtype}")
    whole = array.astype(np.int64)
    wrong = (whole < 0) | (whole >> bits > 0)
    if wrong.any():
        raise ValueError(f"code {whole[_first(wrong)]} at {_first(wrong)} does not fit into {bits} bits")
    return whole


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _unsigned(bits: int) -> type[np.unsignedinteger]:
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


FORMATS: dict[str, FloatFormat | IntegerFormat | TableFormat] = {
    "float32": FloatFormat(8, 23, 127),
    "float16": FloatFormat(5, 10, 15),
    "bfloat16": FloatFormat(8, 7, 127),
    "float8_e5m2": FloatFormat(5, 2, 15),
    "float8_e4m3fn": FloatFormat(4, 3, 7, "nan"),
    "float8_e4m3": FloatFormat(4, 3, 7),
    "float4_e2m1fn": FloatFormat(2, 1, 1, "finite"),
    "int8": IntegerFormat(8),
    "int4": IntegerFormat(4),
    "nf4": TableFormat(nf4.CODES),
    "fp4": TableFormat(fp4.CODES),
}
"""The formats by the names that NumPy, ml_dtypes and QLoRA give them."""
