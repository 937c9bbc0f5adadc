"""The feed-forward part: two matrices around an activation, or three with a gate (SwiGLU, GeGLU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels.token_matrices import Matrix, NormStep, vector
from ..kernels.token_steps import Product
from .basic import Linear
from .context import Context
from .described import Described
from .initialization import Normal
from .module import Initializer, Module
from .one_token import End, Sketch

ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": F.gelu_tanh, "silu": F.silu, "relu": F.relu}
GATED = {"silu": F.swiglu, "gelu": F.geglu}  # activation(gate) ⊙ up in one pass
# What papers call them, alone and with a gate.
WORDS = {
    "gelu": ("GELU", "GeGLU"),
    "gelu_tanh": ("GELU (tanh)", "GeGLU (tanh)"),
    "silu": ("SiLU", "SwiGLU"),
    "relu": ("ReLU", "ReGLU"),
}


@dataclass(frozen=True)
class FeedForwardSpec(Described):
    """down(activation(up(x))), or down(activation(gate(x)) ⊙ up(x)) when gated.

    activation: "gelu" (exact), "gelu_tanh", "silu" or "relu".
    """

    hidden_size: int
    intermediate_size: int
    activation: str = "gelu_tanh"
    gated: bool = False
    bias: bool = True
    init: Initializer = Normal(0.02)
    output_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("hidden_size", "intermediate_size"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"feed-forward: {name} must be a positive integer, not {getattr(self, name)!r}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}: one of {', '.join(ACTIVATIONS)}")

    def words(self) -> str:
        """The activation, by its gated name where there is a gate.

        >>> FeedForwardSpec(8, 32).words(), FeedForwardSpec(8, 24, "silu", gated=True).words()
        ('GELU (tanh)', 'SwiGLU')
        """
        return WORDS[self.activation][self.gated]

    def sizes(self) -> dict[str, Any]:
        """The inner width."""
        return {"feed-forward width": self.intermediate_size}

    def biases(self) -> dict[str, bool]:
        """Of all its matrices."""
        return {"feed-forward": self.bias}

    def memory_bytes(self, length: int) -> int:
        """None."""
        return 0

    def build(self, rng: np.random.Generator | None) -> FeedForward:
        """The layer itself."""
        return FeedForward(self, rng)


class FeedForward(Module):
    """Applies its `FeedForwardSpec`: x (B, T, hidden) -> (B, T, hidden). It remembers nothing."""

    def __init__(self, spec: FeedForwardSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        inner, outer = spec.intermediate_size, spec.hidden_size
        if spec.gated:
            self.gate = Linear(outer, inner, bias=spec.bias, init=spec.init, rng=rng)
        self.up = Linear(outer, inner, bias=spec.bias, init=spec.init, rng=rng)
        self.down = Linear(inner, outer, bias=spec.bias, init=spec.output_init, rng=rng)

    def new_memory(self) -> None:
        """Nothing to remember."""

    def __call__(self, x: Tensor, memory: Any, context: Context) -> Tensor:
        activation = self.spec.activation
        if self._is_one_step():
            matrices = [self.up, self.down] if not self.spec.gated else [self.gate, self.up, self.down]
            whole = F.gated_feed_forward if self.spec.gated else F.feed_forward
            return whole(x, *(m.weight for m in matrices), *(m.bias for m in matrices), activation=activation)
        if not self.spec.gated:
            return self.down(ACTIVATIONS[activation](self.up(x)))
        gate, up = self.gate(x), self.up(x)
        if activation in GATED:
            return self.down(GATED[activation](gate, up))
        return self.down(ACTIVATIONS[activation](gate) * up)

    def _is_one_step(self) -> bool:
        """Whether the whole is one step of the graph. Not where an adapter, packed weights or a patch compute."""
        gated = self.spec.gated
        if type(self.up) is not Linear or type(self.down) is not Linear or (gated and type(self.gate) is not Linear):
            return False
        return not gated or self.spec.activation in GATED

    def matrices(self, sketch: Sketch) -> tuple[list[Matrix], Matrix, Matrix]:
        """The gate if there is one, up and down, for one token."""
        gates = [sketch.ask(self.gate, "matrix")] if self.spec.gated else []
        return gates, sketch.ask(self.up, "matrix"), sketch.ask(self.down, "matrix")

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """Two products."""
        gates, up, down = self.matrices(sketch)
        inner = vector(up.outputs)
        sketch.add(Product(x, [up], inner, norm, gates, self.spec.activation))
        sketch.add(Product(inner, [down], end.out, residual=end.residual, alpha=end.alpha))
