"""The parts that steps of one token consist of, but for attention: products, norms, routing, states that move on.

`formula()` is a part's NumPy twin, `row()` what its compiled twin in `compiled.token_steps` reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from . import activations
from .packed import TILE
from .threads import available_cores
from .token_matrices import Lowering, Matrix, NormStep, address

ACTIVATIONS = (None, "silu", "gelu", "gelu_tanh", "relu", "softplus")
_COLUMNS, _FEWEST, _ROWS, _CHANNELS = 2048, 192, 128, 128  # outputs, or channels, in one share
_SHARE = 60_000  # weights: some microseconds


class Part:
    """A part of a step. `row` gets a `Lowering`, which numbers norms and matrices."""

    code: ClassVar[int]

    @property
    def shares(self) -> int:
        """Into how many shares its work can be divided."""
        return 1

    def formula(self) -> None:
        """Compute it, in NumPy."""
        raise NotImplementedError

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """What the compiled twin reads from column 3 on, and its numbers."""
        raise NotImplementedError


@dataclass(eq=False)
class Product(Part):
    """out = alpha · residual + factor · act(n(x) W + b), or … · act(n(x) G + c) ⊙ (n(x) W + b) where there is a gate G.

    n: a norm or nothing. weights, gates: one matrix, or as many as `choice` (1,) chooses from. factor: (1,) or None.
    """

    x: np.ndarray
    weights: list[Matrix]
    out: np.ndarray
    norm: NormStep | None = None
    gates: list[Matrix] = field(default_factory=list)
    activation: str | None = None
    residual: np.ndarray | None = None
    alpha: float = 1.0
    choice: np.ndarray | None = None
    factor: np.ndarray | None = None

    code = 0

    def __post_init__(self) -> None:
        inputs, outputs = self.x.size, self.out.size
        shapes = {(matrix.inputs, matrix.outputs, matrix.tiled) for matrix in self.weights}
        wrong = any((matrix.inputs, matrix.outputs) != (inputs, outputs) for matrix in (*self.weights, *self.gates))
        if wrong or len(shapes) != 1 or (self.gates and len(self.gates) != len(self.weights)):
            raise ValueError(f"a product of {inputs} inputs and {outputs} outputs does not fit matrices {shapes}")
        if self.norm is not None and self.norm.size != inputs:
            raise ValueError(f"a norm of {self.norm.size} entries does not fit {inputs}")
        if self.residual is not None and self.residual.size != outputs:
            raise ValueError(f"a residual of {self.residual.size} entries does not fit {outputs}")

    @property
    def columns(self) -> int:
        """Outputs in one share."""
        first = self.weights[0]
        if any(matrix.tiled for matrix in (*self.weights, *self.gates)):
            return TILE * max(1, _SHARE // (TILE * first.inputs))
        if first.transposed:
            return _ROWS
        count = max(-(-self.out.size // _COLUMNS), min(available_cores(), self.out.size // _FEWEST))
        return -(-self.out.size // (16 * count)) * 16  # of equal size

    @property
    def shares(self) -> int:
        """One each so many outputs."""
        return -(-self.out.size // self.columns)

    def formula(self) -> None:
        """As the class says."""
        h = self.x if self.norm is None else self.norm.formula(self.x)
        which = 0 if self.choice is None else int(self.choice[0])
        y = self.weights[which].formula(h)
        if self.gates:
            y = _activated(self.activation, self.gates[which].formula(h)) * y
        else:
            y = _activated(self.activation, y)
        if self.factor is not None:
            y = self.factor[0] * y
        self.out[:] = y if self.residual is None else np.float32(self.alpha) * self.residual + y

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.project`."""
        norm, numbers = -1 if self.norm is None else lowering.norm(self.norm), lowering.matrices(self.weights)
        gate = lowering.matrices(self.gates) if self.gates else -1
        ends = address(self.residual), address(self.out), self.out.size, self.columns
        chosen = (address(self.choice), 1) if self.choice is not None else (0, 0)
        kind = ACTIVATIONS.index(self.activation)
        words = [address(self.x), self.x.size, norm, numbers, gate, kind, *ends, *chosen, address(self.factor)]
        return words, [self.alpha]


def _activated(name: str | None, x: np.ndarray) -> np.ndarray:
    if name is None:
        return x
    return np.maximum(x, 0) if name == "relu" else getattr(activations, name).__wrapped__(x)


@dataclass(eq=False)
class AddNorm(Part):
    """out = alpha · residual + norm(x)."""

    x: np.ndarray
    norm: NormStep
    out: np.ndarray
    residual: np.ndarray | None = None
    alpha: float = 1.0

    code = 2

    def formula(self) -> None:
        """As the class says."""
        y = self.norm.formula(self.x)
        self.out[:] = y if self.residual is None else np.float32(self.alpha) * self.residual + y

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.add_norm`."""
        ends = address(self.residual), address(self.out)
        return [address(self.x), self.x.size, lowering.norm(self.norm), 0, 0, 0, *ends], [self.alpha]


@dataclass(eq=False)
class Route(Part):
    """The best of scores (E,), best first -> chosen (k,) whole numbers, and the softmax over them -> weights (k,)."""

    scores: np.ndarray
    chosen: np.ndarray
    weights: np.ndarray

    code = 3

    def formula(self) -> None:
        """As the class says."""
        self.chosen[:] = np.argsort(-self.scores, kind="stable")[: self.chosen.size]
        best = self.scores[self.chosen]
        p = np.exp(best - best.max())
        self.weights[:] = p / p.sum()

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.route`."""
        sizes = self.scores.size, self.chosen.size
        return [address(self.scores), *sizes, 0, 0, 0, address(self.chosen), address(self.weights)], []


class Channels(Part):
    """A part whose work is divided by channels. memory: what it reads and moves on, bound for each token."""

    channels: int
    memory: Any

    @property
    def shares(self) -> int:
        """One each so many channels."""
        return -(-self.channels // _CHANNELS)


@dataclass(eq=False)
class Convolve(Channels):
    """out = act(bias + Σ_k weight[:, W - 1 - k] x[t - k]); memory: the tail (W - 1, C), which moves on by x."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    out: np.ndarray
    activation: str | None = None
    memory: Any = None

    code = 4

    @property
    def channels(self) -> int:  # type: ignore[override]
        """As many as x has entries."""
        return self.x.size

    def formula(self) -> None:
        """As the class says."""
        seen = np.concatenate([self.memory, self.x[None]])
        y = (seen * self.weight.T).sum(0)
        self.memory[:] = seen[1:]
        self.out[:] = _activated(self.activation, y if self.bias is None else y + self.bias)

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.convolve`."""
        weights, kind = (address(self.weight), address(self.bias)), ACTIVATIONS.index(self.activation)
        sizes = self.x.size, self.weight.shape[1]
        return [address(self.x), *sizes, *weights, kind, 0, address(self.out), 0, _CHANNELS], []


@dataclass(eq=False)
class Scan(Channels):
    """h = exp(-Δ exp(logs)) h + Δ B u, out = (C · h + D u) ⊙ gate; memory: the state h (C, N)."""

    u: np.ndarray
    delta: np.ndarray
    logs: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray
    gate: np.ndarray
    out: np.ndarray
    memory: Any = None

    code = 5

    @property
    def channels(self) -> int:  # type: ignore[override]
        """As many as u has entries."""
        return self.u.size

    def formula(self) -> None:
        """As the class says."""
        decay = np.exp(-self.delta[:, None] * np.exp(self.logs))
        self.memory[:] = decay * self.memory + (self.delta * self.u)[:, None] * self.B
        self.out[:] = (self.memory @ self.C + self.D * self.u) * self.gate

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.scan`."""
        sizes, rest = self.logs.shape, (self.B, self.C, self.D, self.gate)
        words = [address(self.u), *sizes, address(self.delta), address(self.logs), 0, 0, address(self.out), 0]
        return [*words, _CHANNELS // 4, 0, *map(address, rest)], []

    @property
    def shares(self) -> int:
        """Fewer channels each: a channel has a whole state."""
        return -(-self.channels // (_CHANNELS // 4))


@dataclass(eq=False)
class Recur(Channels):
    """w = x1 ⊙ v, s = p s + w, out = (Re Σ R s + D w) ⊙ x2 of u = x2, x1, v; memory: the state s (C, N, 2)."""

    u: np.ndarray
    poles: np.ndarray
    residues: np.ndarray
    D: np.ndarray
    out: np.ndarray
    memory: Any = None

    code = 6

    @property
    def channels(self) -> int:  # type: ignore[override]
        """A third of u's entries."""
        return self.u.size // 3

    def formula(self) -> None:
        """As the class says."""
        behind, before, values = self.u.reshape(3, -1)
        p, R, s = (np.ascontiguousarray(y).view(np.complex64)[..., 0] for y in (self.poles, self.residues, self.memory))
        w = before * values
        s = p * s + w[:, None]
        self.memory[:] = np.stack([s.real, s.imag], axis=-1)
        self.out[:] = ((R * s).real.sum(-1) + self.D * w) * behind

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_steps.recur`."""
        sizes, modes = (self.channels, self.poles.shape[1]), (address(self.poles), address(self.residues))
        words = [address(self.u), *sizes, *modes, 0, 0, address(self.out), 0, _CHANNELS, 0, address(self.D)]
        return words, []
