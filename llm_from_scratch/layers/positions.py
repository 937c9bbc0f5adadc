"""How tokens learn where they stand: a learned table, rotary angles and their stretching, ALiBi in Falcon's form.

(ALiBi's plain form, slopes times distances, is a setting of the attention itself.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .described import class_in_words
from .initialization import Normal
from .module import Initializer, Module, parameter


class Stretch(Protocol):
    """A rule that raises the rotary base once a sequence outgrows the trained length ("NTK-aware" scaling)."""

    def __call__(self, lengths: np.ndarray) -> np.ndarray:
        """How far the slowest pair's wavelength is stretched for sequences of these lengths: 1 or more."""


@dataclass(frozen=True)
class DynamicNTK:
    """Stretch by factor · n / trained - (factor - 1) for every token beyond the trained length.

    >>> DynamicNTK(2.0, 100)(np.array([50, 100, 150]))
    array([1., 1., 2.])

    Source: bloc97 and emozilla 2023 (Reddit), in the form of the transformers library (`rope_type` "dynamic").
    """

    factor: float
    trained: int

    def __call__(self, lengths: np.ndarray) -> np.ndarray:
        return self.factor * np.maximum(lengths, self.trained) / self.trained - (self.factor - 1)


@dataclass(frozen=True)
class SteppedNTK:
    """Stretch by 2^⌈log₂(n / trained) + 1⌉ - 1, a new value at each doubling only.

    >>> SteppedNTK(100)(np.array([30, 100, 101, 200, 201]))
    array([1., 1., 3., 3., 7.])

    Source: Qwen's released code; Bai et al. 2023, arXiv:2309.16609.
    """

    trained: int

    def __call__(self, lengths: np.ndarray) -> np.ndarray:
        return 2.0 ** np.ceil(np.log2(np.maximum(lengths, self.trained) / self.trained) + 1) - 1


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding: pairs of coordinates turned by an angle proportional to the position.

    dims: how many coordinates of each head turn (even); base: θ, pair i turns by θ^(-2i/dims) a position.
    interleaved: pairs are (2i, 2i+1), as in Meta's own LLaMA files; else (i, i + dims/2), as in published
    checkpoints in the Hugging Face layout. factor: linear position interpolation, angles divided by it.
    factors: one more divisor for each pair, where pairs are scaled differently (LLaMA 3.1, `rope_freqs` of GGUF files).
    stretch: the base becomes θ · stretch(n)^(dims/(dims-2)) for a sequence of n tokens. All its angles change with n,
    also those of earlier tokens, so what a memory holds is valid for one base only; the model runs the sequence again
    when it changes (`ModelMemory.admit`).

    Source: Su et al. 2021, arXiv:2104.09864; interpolation: Chen et al. 2023, arXiv:2306.15595.
    """

    dims: int
    base: float = 10000.0
    interleaved: bool = False
    factor: float = 1.0
    stretch: Stretch | None = None
    factors: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.dims <= 0 or self.dims % 2:
            raise ValueError(f"rotary turns pairs of coordinates: dims must be even and positive, not {self.dims}")
        if not (self.base > 0 and np.isfinite(self.base)):
            raise ValueError(f"the rotary base must be a positive number, not {self.base}")
        if not (self.factor > 0 and np.isfinite(self.factor)):
            raise ValueError(f"the rotary scaling factor must be a positive number, not {self.factor}")
        if self.factors is not None:
            fine = len(self.factors) == self.dims // 2 and all(0 < factor < np.inf for factor in self.factors)
            if not fine:
                raise ValueError(
                    f"rotary factors are {self.dims // 2} positive numbers, one a pair, not {self.factors}"
                )
        if self.stretch is not None and self.dims == 2:
            raise ValueError("a single rotary pair has no slower one to stretch: a rising base needs dims of 4 or more")

    def words(self, width: int) -> str:
        """What turns of a head of this width, and how fast, where that is not the usual.

        >>> Rotary(16).words(16), Rotary(16, base=5e6, factor=2.0).words(64)
        ('rotary', 'rotary on 25%, base 5,000,000, ÷ 2')
        """
        name = "rotary" if self.dims == width else f"rotary on {self.dims / width:.0%}"
        further = [f"base {self.base:,.0f}"] * (self.base != 10000) + [f"÷ {self.factor:g}"] * (self.factor != 1)
        further += [class_in_words(type(self.stretch))] * (self.stretch is not None)
        return ", ".join([name, *further, *["÷ a number a pair"] * (self.factors is not None)])

    def inverse_frequency(self, length: int | None = None) -> np.ndarray:
        """Radians a position for each pair, (dims/2,), float64; length: of the whole sequence, where the base depends.

        >>> Rotary(4).inverse_frequency()
        array([1.  , 0.01])
        >>> Rotary(4, stretch=DynamicNTK(2.0, 100)).inverse_frequency(length=200)   # 3 times slower
        array([1.        , 0.00333333])
        """
        return self._frequencies(np.array(1 if length is None else length))

    def _frequencies(self, lengths: np.ndarray) -> np.ndarray:
        """(…) lengths -> (…, dims/2)."""
        base = np.asarray(self.base)
        if self.stretch is not None:
            base = self.base * self.stretch(lengths) ** (self.dims / (self.dims - 2))
        divisors = self.factor if self.factors is None else self.factor * np.array(self.factors)
        return base[..., None] ** (-np.arange(0, self.dims, 2) / self.dims) / divisors

    def changes(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether the angles of sequences of lengths `before` are others once they have lengths `after`."""
        return self.stretch is not None and bool(np.any(self.stretch(before) != self.stretch(after)))

    def __call__(self, x: Tensor, positions: np.ndarray, lengths: Any = None) -> Tensor:
        """x (B, H, T, D), positions (B or 1, T) -> the same shape, turned.

        lengths (B or 1, T or 1): how long the sequence of each token is so far; needed where the base depends on it.
        """
        if self.stretch is None:
            frequency = self.inverse_frequency()
        elif lengths is None:
            raise ValueError("this rotary base depends on the length of the sequence: pass lengths")
        else:
            lengths = np.asarray(lengths)
            same = lengths.size == 1 or (lengths == lengths.flat[0]).all()
            frequency = self._frequencies(lengths.flat[0] if same else lengths)
        return F.rotary(x, positions=positions, inverse_frequency=frequency, interleaved=self.interleaved)


def alibi_slopes(heads: int, bias_max: float = 8.0) -> tuple[float, ...]:
    """One slope a head: 2^(-bias_max·a/heads) for a = 1..heads when the number of heads is a power of two.

    Otherwise those of the next smaller power p, then every other slope (the 1st, 3rd, …) of 2p heads.

    >>> alibi_slopes(4)
    (0.25, 0.0625, 0.015625, 0.00390625)
    >>> alibi_slopes(6)[4:]
    (0.5, 0.125)

    Source: Press et al. 2021, arXiv:2108.12409, and the authors' code for other numbers of heads.
    """
    power = 2 ** math.floor(math.log2(heads))

    def slope(a: int, count: int) -> float:
        return 2.0 ** (-bias_max * a / count)

    first = [slope(a, power) for a in range(1, power + 1)]
    return tuple(first + [slope(a, 2 * power) for a in range(1, 2 * (heads - power), 2)])


def bfloat16_alibi(slopes: Sequence[float], key_positions: np.ndarray) -> np.ndarray:
    """slope · position of the key as Falcon computes it, every step rounded to bfloat16: (B or 1, S) -> (B or 1, H, S).

    >>> bfloat16_alibi([0.7071], np.array([[0, 1, 100]]))          # 0.70703125 · 100 = 70.703125
    array([[[ 0.        ,  0.70703125, 70.5       ]]], dtype=float32)

    Source: the released code of Falcon-RW, `build_alibi_tensor`.
    """
    rounded = np.asarray(slopes, np.float32).astype(ml_dtypes.bfloat16)
    return (rounded[:, None] * key_positions[:, None].astype(ml_dtypes.bfloat16)).astype(np.float32)


class LearnedPositions(Module):
    """A table with one row a position: positions (B, T) -> (B, T, dim).

    offset: rows in front of position 0 (OPT has 2).
    """

    def __init__(
        self,
        count: int,
        dim: int,
        *,
        offset: int = 0,
        init: Initializer = Normal(0.02),
        rng: np.random.Generator | None,
    ) -> None:
        self.count, self.offset = count, offset
        self.weight = parameter(rng, (count + offset, dim), init)

    def __call__(self, positions: np.ndarray) -> Tensor:
        return F.embedding(self.weight, positions + self.offset)
