"""Hyena's mixer in the form of StripedHyena: a short convolution, two gates, and between them one as long as the text.

Glossary: x2, x1, v of the paper -> the thirds of the projection, in this order: the gate behind the long convolution,
the gate before it, and the values; h -> the filter; D -> the weight of the present input beside the filter.

    w = x1 ⊙ v,    y = (h * w + D ⊙ w) ⊙ x2        * the causal convolution, ⊙ entry by entry

A filter that is a sum of modes can be run three ways with equal results: through an FFT, as a recurrence, or directly.
Source: Poli et al. 2023, arXiv:2302.10866; modes: Massaroli et al. 2023, arXiv:2310.18780; gates in the order of the
released code of StripedHyena.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels import modal
from ..kernels.row_products import is_batch_invariant
from ..kernels.token_matrices import NormStep, vector
from ..kernels.token_steps import Convolve, Recur
from .basic import Linear
from .context import Context, real_tokens
from .described import Described
from .implicit_filter import ImplicitFilterSpec
from .initialization import ONES, Normal
from .mamba import Convolution, ScanMemory
from .module import Initializer, Module, parameter
from .one_token import End, NotTold, Sketch

MOST_RECURRENT = 32  # modes up to which the recurrence was found faster than filter and FFT (see `bench`)


@dataclass(frozen=True)
class DecayingModes:
    """Poles exp((2πi n - 1) / τ) for modes n = 0, 1, …: mode n turns n times while it fades, in τ steps, to 1/e.

    τ is log-uniform between 2 N (below it, the fastest of N modes would turn by more than half a circle a step) and
    `longest`, so that channels remember for different times. All are stable: |p| < 1. This is S4D-Lin's rule (Gu et al.
    2022, arXiv:2206.11893); what StripedHyena began with is not public.

    >>> z = DecayingModes(100.0)(np.random.default_rng(0), (1000, 2, 2))
    >>> size = np.hypot(z[..., 0], z[..., 1])
    >>> bool(np.exp(-1 / 4) <= size.min() < 0.79), bool(0.985 < size.max() <= np.exp(-1 / 100))
    (True, True)
    """

    longest: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        channels, modes, _ = shape
        shortest = 2.0 * modes
        ratio = max(self.longest, shortest) / shortest
        times = shortest * ratio ** rng.random((channels, 1))
        poles = np.exp((2j * np.pi * np.arange(modes) - 1) / times)
        return np.stack([poles.real, poles.imag], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class ModalFilterSpec:
    """Filters h[t] = Re Σ_n R_n p_n^t with `state_size` modes a channel.

    longest: of the decay times that fresh poles are drawn from.
    """

    state_size: int = 2
    longest: float = 1024.0

    def __post_init__(self) -> None:
        if isinstance(self.state_size, bool) or not isinstance(self.state_size, int) or self.state_size < 1:
            raise ValueError(f"modal filter: state_size must be a positive integer, not {self.state_size!r}")
        if not (self.longest > 0 and math.isfinite(self.longest)):
            raise ValueError(f"modal filter: longest must be a positive number of steps, not {self.longest}")

    def memory_bytes(self, channels: int, length: int) -> int:
        """Those of the state in float32, one complex number a mode, however long the row is."""
        return 8 * channels * self.state_size

    def build(self, channels: int, rng: np.random.Generator | None) -> ModalFilter:
        """The filters of a layer."""
        return ModalFilter(self, channels, rng)


class ModalFilter(Module):
    """The filters of a layer, applied: (B, T, C) -> (B, T, C), from any state.

    method: "fft", "recurrence" or "auto", whichever is faster. From a state that is not empty it is the recurrence.
    poles, residues: complex numbers as pairs (C, N, 2). Training may push a pole out of the circle |p| < 1; nothing
    here stops it, in the released code neither.
    """

    no_decay = ("poles", "residues")  # time scales: see Mamba

    def __init__(self, spec: ModalFilterSpec, channels: int, rng: np.random.Generator | None) -> None:
        self.spec, self.method = spec, "auto"
        shape = (channels, spec.state_size, 2)
        self.poles = parameter(rng, shape, DecayingModes(spec.longest))

        def residues(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            left = 1 - (self.poles.data**2).sum(-1, keepdims=True)  # Σ_t |p|^2t = 1 / left: filters of length about 1
            return rng.standard_normal(shape) * np.sqrt(left / spec.state_size)

        self.residues = parameter(rng, shape, residues)

    def values(self, length: int) -> Tensor:
        """The filters themselves, (length, C)."""
        return F.modal_filter(self.poles, self.residues, length=length)

    def __call__(
        self, x: Tensor, D: Tensor, state: np.ndarray | None, segments: np.ndarray | None, *, continued: bool
    ) -> tuple[Tensor, np.ndarray | None]:
        """The convolved x, and the state after it if it is to be continued."""
        if self.method not in ("auto", "fft", "recurrence"):
            raise ValueError(f"a modal filter's method is 'auto', 'fft' or 'recurrence', not {self.method!r}")
        few = self.spec.state_size <= MOST_RECURRENT or x.shape[1] == 1 or is_batch_invariant()
        if state is not None or self.method == "recurrence" or (self.method == "auto" and few):
            begin = None if state is None else Tensor(state)
            y, last = F.modal_scan(x, self.poles, self.residues, D, begin, segments=segments)
            return y, last.data if continued else None
        y = F.long_convolution(x, self.values(x.shape[1]), D, segments=segments)
        return y, modal.modal_state(x.data, self.poles.data, last_document(segments, x.shape)) if continued else None

    def modes(self, sketch: Sketch) -> tuple[np.ndarray, np.ndarray]:
        """Poles and residues, for one token, which goes as a recurrence whatever the method."""
        if self.method not in ("auto", "fft", "recurrence"):
            raise NotTold("the call says what is wrong")
        return sketch.array(self.poles), sketch.array(self.residues)


@dataclass(frozen=True)
class HyenaSpec(Described):
    """The sizes of a Hyena mixer: width and bias of the short convolution; bias of the two projections; the filter.

    filter: modes, or Hyena's first form, a small network (`layers.implicit_filter`).
    """

    hidden_size: int
    filter: ModalFilterSpec | ImplicitFilterSpec
    convolution_width: int = 3
    convolution_bias: bool = True
    bias: bool = True
    init: Initializer = Normal(0.02)
    output_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("hidden_size", "convolution_width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"hyena: {name} must be a positive integer, not {value!r}")

    def biases(self) -> dict[str, bool]:
        """Of anything in it."""
        return {"hyena": self.bias or self.convolution_bias}

    def memory_bytes(self, length: int) -> int:
        """The filter's state, and the last inputs of the short convolution."""
        tail = 4 * 3 * self.hidden_size * (self.convolution_width - 1)
        return self.filter.memory_bytes(self.hidden_size, length) + tail

    def build(self, rng: np.random.Generator | None) -> Hyena:
        """The layer itself."""
        return Hyena(self, rng)


class Hyena(Module):
    """Applies its `HyenaSpec`: x (B, T, hidden) -> (B, T, hidden).

    Rows may be packed (`context.segments`): both convolutions start anew in each document. Padding before the first
    real token (or after the last) has no influence: what enters the convolutions there is zero.
    """

    no_decay = ("D",)

    def __init__(self, spec: HyenaSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        width = spec.hidden_size
        self.projection = Linear(width, 3 * width, bias=spec.bias, init=spec.init, rng=rng)
        self.convolution = Convolution(3 * width, spec.convolution_width, spec.convolution_bias, rng)
        self.filter: Any = spec.filter.build(width, rng)
        self.D = parameter(rng, (width,), ONES)
        self.output = Linear(width, width, bias=spec.bias, init=spec.output_init, rng=rng)

    def new_memory(self) -> ScanMemory:
        """An empty memory."""
        return ScanMemory(history=isinstance(self.spec.filter, ImplicitFilterSpec))

    def __call__(self, x: Tensor, memory: ScanMemory | None, context: Context) -> Tensor:
        real = real_tokens(context, x.shape[1])
        z = self.projection(x)  # (B, T, 3 hidden)
        if real is not None:
            real = real.astype(x.dtype)[..., None]
            z = z * real
        begin = ScanMemory() if memory is None else memory
        tail = None if begin.tail is None else Tensor(begin.tail)
        u, width = self.convolution(z, tail, context.segments), self.spec.hidden_size
        behind, before, values = u[..., :width], u[..., width : 2 * width], u[..., 2 * width :]
        w = before * values
        if real is not None:
            w = w * real  # the short convolution's bias would enter the long one
        y, state = self.filter(w, self.D, begin.state, context.segments, continued=memory is not None)
        if memory is not None:
            memory.advance(z, Tensor(state), context.segments, self.spec.convolution_width)
        return self.output(y * behind)

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """The same, both convolutions by one step. A filter without modes has no state: it cannot be told."""
        width = self.spec.hidden_size
        sketch.add(z := sketch.product(x, self.projection, norm=norm))
        poles, residues = sketch.ask(self.filter, "modes")
        weight, bias = sketch.ask(self.convolution, "parameters_of_token")
        convolve = Convolve(z.out, weight, bias, vector(3 * width))
        recur = Recur(convolve.out, poles, residues, sketch.array(self.D), vector(width))
        sketch.add(convolve)
        sketch.add(recur)
        shapes = (self.spec.convolution_width - 1, 3 * width), poles.shape

        def place(parts: tuple[Convolve, Recur], memory: ScanMemory, context: Context) -> None:
            parts[0].memory, parts[1].memory = memory.places(*shapes)

        sketch.remember((convolve, recur), place)
        sketch.add(sketch.product(recur.out, self.output, end.out, residual=end.residual, alpha=end.alpha))


def last_document(segments: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Where the last document of each row begins: (B, T) numbers -> (B,).

    >>> last_document(np.array([[5, 5, 7, 7], [7, 5, 5, 7]]), (2, 4))
    array([2, 3])
    """
    if segments is None:
        return np.zeros(shape[0], np.int64)
    changes = segments[:, 1:] != segments[:, :-1]
    return np.where(changes, np.arange(1, shape[1]), 0).max(axis=1, initial=0).astype(np.int64)
