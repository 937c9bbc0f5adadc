"""Mamba's mixer: a short convolution, a selective state-space model, and a gate. No attention, no positions.

Glossary, symbol in the paper -> name here: E·D, the inner channels d -> inner_size; N -> state_size; R, the rank of the
step's projection -> rank; Δ -> delta; s_B, s_C and the low-rank part of s_Δ -> the columns of `selection`.

Source: Gu & Dao 2023, arXiv:2312.00752, sections 3.2 to 3.4, and the authors' code, whose rule Δ B for the input
(Euler's) takes the place of the paper's exact one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels.token_matrices import NormStep, vector
from ..kernels.token_steps import Convolve, Scan
from .basic import Linear
from .context import Context, real_tokens
from .described import Described
from .initialization import ONES, Constant
from .memory import joined
from .module import Initializer, Module, parameter
from .one_token import End, Sketch


@dataclass(frozen=True)
class Uniform:
    """Uniform numbers between -bound and bound; with bound = 1/√fan_in, what torch's layers begin with.

    >>> x = Uniform(0.5)(np.random.default_rng(0), (1000,))
    >>> x.dtype, bool(-0.5 <= x.min() < -0.49), bool(0.49 < x.max() <= 0.5)
    (dtype('float32'), True, True)
    """

    bound: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return ((2 * rng.random(shape, dtype=np.float32) - 1) * np.float32(self.bound)).astype(np.float32)


@dataclass(frozen=True)
class StepBias:
    """Biases from which softplus makes steps that are log-uniform between two values, and at least `floor`.

    >>> steps = F.softplus(StepBias(1e-3, 1e-1)(np.random.default_rng(0), (1000,))).data
    >>> bool(1e-3 <= steps.min() < 1.1e-3), bool(0.09 < steps.max() <= 0.1)
    (True, True)
    """

    least: float = 1e-3
    most: float = 1e-1
    floor: float = 1e-4

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        low, high = math.log(self.least), math.log(self.most)
        step = np.maximum(np.exp(low + (high - low) * rng.random(shape)), self.floor)
        return (step + np.log(-np.expm1(-step))).astype(np.float32)  # the inverse of softplus


def decay_rates(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The logarithms of 1 … N for every channel: A = -exp of it, real numbers of different time scales (S4D-Real)."""
    return np.broadcast_to(np.log(np.arange(1, shape[1] + 1, dtype=np.float32)), shape)


@dataclass(frozen=True)
class MambaSpec(Described):
    """The sizes of a Mamba mixer. bias: on its outer projections; convolution_bias: on the convolution.

    rank: of the projection that makes the step, ⌈hidden/16⌉ in all releases. step: its bias at initialisation;
    step_weight_bound: its matrix is uniform within it (default 1/√rank), constant if step_weight_constant.
    output_scale: on the output projection at initialisation, 1/√layers in the authors' code.
    """

    hidden_size: int
    inner_size: int
    state_size: int = 16
    rank: int = 48
    convolution_width: int = 4
    bias: bool = False
    convolution_bias: bool = True
    step: StepBias = StepBias()
    step_weight_bound: float | None = None
    step_weight_constant: bool = False
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "inner_size", "state_size", "rank", "convolution_width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"mamba: {name} must be a positive integer, not {value!r}")

    def biases(self) -> dict[str, bool]:
        """Of its matrices, of its convolution, and of its step, which always has one."""
        return {"projections": self.bias, "convolution": self.convolution_bias, "step": True}

    def memory_bytes(self, length: int) -> int:
        """The state, and the last inputs of the convolution: as many however long the row is."""
        return 4 * self.inner_size * (self.state_size + self.convolution_width - 1)

    def build(self, rng: np.random.Generator | None) -> Mamba:
        """The layer itself."""
        return Mamba(self, rng)


class ScanMemory:
    """What a Mamba mixer remembers: its state, and the last inputs of its convolution. Its size does not grow.

    Both are None before the first token. All of the past is mixed into the state, which cannot go back: it can only be
    cropped to its whole length, or to nothing. history: the state is all inputs so far, (B, tokens, channels), of a
    filter that has no state.
    """

    def __init__(self, history: bool = False) -> None:
        self.length, self.history = 0, history
        self.state: np.ndarray | None = None  # (B, inner_size, state_size)
        self.tail: np.ndarray | None = None  # (B, convolution_width - 1, inner_size)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(array.nbytes for array in (self.state, self.tail) if array is not None)

    @property
    def shortest(self) -> int:
        """The fewest tokens, besides none, that `crop` can go back to: all of them."""
        return self.length

    def crop(self, length: int) -> None:
        """Forget everything (length 0) or nothing; ValueError for a length in between."""
        if length == 0:
            self.length, self.state, self.tail = 0, None, None
        elif length < self.length:
            raise ValueError(
                f"a recurrent state of {self.length} tokens cannot be cropped to {length}: it can go back to 0 only; "
                f"run the first {length} tokens again instead"
            )

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order."""
        if self.state is not None and self.tail is not None:
            self.state, self.tail = self.state[rows], self.tail[rows]

    def join(self, other: ScanMemory, length: int) -> None:
        """Add the rows of another: states do not ask how long their rows are, but a history does."""
        assert self.state is not None and self.tail is not None and other.state is not None and other.tail is not None
        width = length if self.history else self.state.shape[1]
        self.state, self.tail = joined([self.state, other.state], width, 1), np.concatenate([self.tail, other.tail])
        self.length = length

    def places(self, tail: tuple[int, int], state: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Tail and state of a single row, of these shapes, for one more token that changes both where they lie."""
        if self.tail is None or self.state is None:
            self.tail, self.state = np.zeros((1, *tail), np.float32), np.zeros((1, *state), np.float32)
        if self.tail.shape != (1, *tail) or self.state.shape != (1, *state):
            held = f"{self.tail.shape} and {self.state.shape}"
            raise ValueError(f"the memory holds {held}, this layer's would be {(1, *tail)} and {(1, *state)}")
        self.tail, self.state = (np.require(y, np.float32, ["C", "W"]) for y in (self.tail, self.state))
        self.length += 1
        return self.tail[0], self.state[0]

    def advance(self, inputs: Tensor, state: Tensor, segments: np.ndarray | None, width: int) -> None:
        """Note the convolution's new inputs (B, T, inner_size) and the state after them."""
        batch, length, channels = inputs.shape
        tail = np.zeros((batch, width - 1, channels), inputs.dtype) if self.tail is None else self.tail
        self.tail = np.concatenate([tail, inputs.data], axis=1)[:, length:]
        if segments is not None:  # what comes next continues the last document, and must not see those before it
            numbers = np.concatenate([np.repeat(segments[:, :1], width - 1, axis=1), segments], axis=1)[:, length:]
            other = np.logical_or.accumulate((numbers != segments[:, -1:])[:, ::-1], axis=1)[:, ::-1]
            self.tail[other] = 0
        self.state = state.data
        self.length += length


class Mamba(Module):
    """Applies its `MambaSpec`: x (B, T, hidden) -> (B, T, hidden).

    Rows may be packed (`context.segments`): convolution and state start anew in each document. Padding before the first
    real token (or after the last) has no influence: its inputs are zero, and a step of zero leaves the state as it is.
    """

    no_decay = ("A_log", "D")  # in the authors' code too: decay would pull every time scale towards one step

    def __init__(self, spec: MambaSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        inner, outer_init = spec.inner_size, Uniform(spec.hidden_size**-0.5)
        self.input = Linear(spec.hidden_size, inner, bias=spec.bias, init=outer_init, rng=rng)
        self.gate = Linear(spec.hidden_size, inner, bias=spec.bias, init=outer_init, rng=rng)
        self.convolution = Convolution(inner, spec.convolution_width, spec.convolution_bias, rng)
        columns = spec.rank + 2 * spec.state_size
        self.selection = Linear(inner, columns, bias=False, init=Uniform(inner**-0.5), rng=rng)
        bound = spec.rank**-0.5 if spec.step_weight_bound is None else spec.step_weight_bound
        step_init: Initializer = Constant(bound) if spec.step_weight_constant else Uniform(bound)
        self.step = Linear(spec.rank, inner, bias=True, init=step_init, rng=rng)
        self.step.bias = parameter(rng, (inner,), spec.step)
        self.A_log = parameter(rng, (inner, spec.state_size), decay_rates)
        self.D = parameter(rng, (inner,), ONES)
        output_init = Uniform(spec.output_scale * inner**-0.5)
        self.output = Linear(inner, spec.hidden_size, bias=spec.bias, init=output_init, rng=rng)

    def new_memory(self) -> ScanMemory:
        """An empty memory."""
        return ScanMemory()

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is selected by the input: x (B, T, inner) -> steps (B, T, inner), B and C (B, T, state_size)."""
        rank, width = self.spec.rank, self.spec.state_size
        chosen = self.selection(x)
        delta = F.softplus(self.step(chosen[..., :rank]))
        return delta, chosen[..., rank : rank + width], chosen[..., rank + width :]

    def __call__(self, x: Tensor, memory: ScanMemory | None, context: Context) -> Tensor:
        real = real_tokens(context, x.shape[1])
        h, z = self.input(x), self.gate(x)
        if real is not None:
            real = real.astype(x.dtype)[..., None]
            h = h * real
        begin = ScanMemory() if memory is None else memory
        tail, state = (None if array is None else Tensor(array) for array in (begin.tail, begin.state))
        u = F.silu(self.convolution(h, tail, context.segments))
        if real is not None:
            u = u * real
        delta, B, C = self.coefficients(u)
        if real is not None:
            delta = delta * real
        y, state = F.selective_scan(u, delta, -self.A_log.exp(), B, C, self.D, state, segments=context.segments)
        if memory is not None:
            memory.advance(h, state, context.segments, self.spec.convolution_width)
        return self.output(y * F.silu(z))

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """The same, the convolution and the scan by one step."""
        spec, state = self.spec, self.spec.state_size
        h = sketch.product(x, self.input, norm=norm)
        gate = sketch.product(x, self.gate, norm=norm, activation="silu")
        sketch.add(h, gate)
        weight, bias = sketch.ask(self.convolution, "parameters_of_token")
        convolve = Convolve(h.out, weight, bias, vector(spec.inner_size), "silu")
        sketch.add(convolve)
        sketch.add(selection := sketch.product(convolve.out, self.selection))
        rank = spec.rank
        sketch.add(step := sketch.product(selection.out[:rank], self.step, activation="softplus"))
        B, C = selection.out[rank : rank + state], selection.out[rank + state :]
        arrays = sketch.array(self.A_log), B, C, sketch.array(self.D), gate.out
        scan = Scan(convolve.out, step.out, *arrays, vector(spec.inner_size))
        sketch.add(scan)
        shapes = (spec.convolution_width - 1, spec.inner_size), (spec.inner_size, state)

        def place(parts: tuple[Convolve, Scan], memory: ScanMemory, context: Context) -> None:
            parts[0].memory, parts[1].memory = memory.places(*shapes)

        sketch.remember((convolve, scan), place)
        sketch.add(sketch.product(scan.out, self.output, end.out, residual=end.residual, alpha=end.alpha))


class Convolution(Module):
    """A depthwise causal convolution: (B, T, channels) -> (B, T, channels)."""

    def __init__(self, channels: int, width: int, bias: bool, rng: np.random.Generator | None) -> None:
        init = Uniform(width**-0.5)
        self.weight = parameter(rng, (channels, width), init)
        self.bias = parameter(rng, (channels,), init) if bias else None

    def __call__(self, x: Tensor, tail: Tensor | None, segments: np.ndarray | None) -> Tensor:
        return F.causal_convolution(x, self.weight, self.bias, tail, segments=segments)

    def parameters_of_token(self, sketch: Sketch) -> tuple[np.ndarray, np.ndarray | None]:
        """Weight and bias, for one token."""
        return sketch.array(self.weight), sketch.array(self.bias)
