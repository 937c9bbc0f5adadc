"""The plain layers: linear, embedding, learned positions and the two norms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels.token_matrices import Matrix, NormStep
from .initialization import ONES, ZEROS, Normal
from .module import Initializer, Module, parameter
from .one_token import Sketch


class Linear(Module):
    """y = x W + b with W stored (in, out): x (..., in) -> (..., out).

    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer(Tensor(np.ones((4, 3), np.float32))).shape
    (4, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool = True,
        init: Initializer = Normal(0.02),
        rng: np.random.Generator | None,
    ) -> None:
        self.weight = parameter(rng, (inputs, outputs), init)
        self.bias = parameter(rng, (outputs,), ZEROS) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def matrix(self, sketch: Sketch) -> Matrix:
        """As it is, for one token."""
        inputs, outputs = self.weight.shape
        return Matrix(inputs, outputs, sketch.array(self.weight), bias=sketch.array(self.bias))

    def one_token(self, sketch: Sketch, x: np.ndarray) -> np.ndarray:
        """One product."""
        sketch.add(product := sketch.product(x, self))
        return product.out


class Embedding(Module):
    """One row a token: ids (...) -> (..., dim)."""

    def __init__(
        self, rows: int, dim: int, *, init: Initializer = Normal(0.02), rng: np.random.Generator | None
    ) -> None:
        self.weight = parameter(rng, (rows, dim), init)

    def __call__(self, ids: np.ndarray) -> Tensor:
        return F.embedding(self.weight, ids)

    def scores(self, x: Tensor) -> Tensor:
        """Every row's product with x, as a tied head wants them: (..., dim) -> (..., rows)."""
        return F.linear(x, self.weight, transposed=True)

    def score_matrix(self, sketch: Sketch, bias: Tensor | None) -> Matrix:
        """What `scores` multiplies with, for one token."""
        rows, dim = self.weight.shape
        return Matrix(dim, rows, sketch.array(self.weight), transposed=True, bias=sketch.array(bias))


@dataclass(frozen=True)
class NormSpec:
    """A normalisation over the last axis: LayerNorm ("layer") or RMSNorm ("rms").

    weight and bias say whether the learned scale and shift exist (Galactica's paper has neither). plus_one: what is
    learned is the scale's distance from 1, so that it starts at 0 and weight decay pulls the scale to 1 (Gemma).
    eps_outside: RMSNorm divides by rms + eps, as in StripedHyena, where others put eps under the root.
    """

    size: int
    kind: str = "layer"
    eps: float = 1e-5
    weight: bool = True
    bias: bool = True
    eps_outside: bool = False
    plus_one: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("layer", "rms"):
            raise ValueError(f"a norm is 'layer' or 'rms', not {self.kind!r}")
        if self.eps_outside and self.kind != "rms":
            raise ValueError("eps stands outside the root in RMSNorm only: kind='rms'")
        if self.plus_one and not self.weight:
            raise ValueError("plus_one is about the learned scale: it needs weight=True")
        if not self.eps >= 0 or self.eps == np.inf:
            raise ValueError(f"the eps of a norm is a small number >= 0, not {self.eps}")

    def words(self) -> str:
        """Which norm it is, and what it has learned.

        >>> NormSpec(8).words(), NormSpec(8, "layer", bias=False).words()
        ('LayerNorm', 'LayerNorm, no bias')
        """
        name = {"layer": "LayerNorm", "rms": "RMSNorm"}[self.kind]
        name += " with eps outside" * self.eps_outside + " by 1 + w" * self.plus_one
        if not self.weight:
            return f"{name}, nothing learned"
        return f"{name}, no bias" if self.kind == "layer" and not self.bias else name

    def build(self, rng: np.random.Generator | None) -> Norm:
        """The layer itself."""
        return Norm(self, rng)


class Norm(Module):
    """Applies its `NormSpec`: (..., size) -> (..., size)."""

    def __init__(self, spec: NormSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        self.weight = parameter(rng, (spec.size,), ZEROS if spec.plus_one else ONES) if spec.weight else None
        self.bias = parameter(rng, (spec.size,), ZEROS) if spec.bias and spec.kind == "layer" else None

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.weight + 1.0 if self.spec.plus_one and self.weight is not None else self.weight
        if self.spec.kind == "rms":
            return F.rms_norm(x, weight, eps=self.spec.eps, eps_outside=self.spec.eps_outside)
        return F.layer_norm(x, weight, self.bias, eps=self.spec.eps)

    def norm_step(self, sketch: Sketch) -> NormStep:
        """As it is, for one token."""
        spec, arrays = self.spec, (sketch.array(self.weight), sketch.array(self.bias))
        plus_one = spec.plus_one and self.weight is not None
        return NormStep(spec.size, spec.eps, *arrays, spec.kind == "layer", plus_one, spec.eps_outside)

    def one_token(self, sketch: Sketch, x: np.ndarray) -> np.ndarray:
        """One norm."""
        return sketch.normed(x, self)
