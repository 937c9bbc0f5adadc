"""A mixture of experts: many feed-forward parts, of which a router chooses a few for each token.

Experts that nobody chose compute nothing. There is no capacity limit and no token is dropped. Source: Jiang et al. 2024
(Mixtral), arXiv:2401.04088, after Shazeer et al. 2017, arXiv:1701.06538.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor, concatenate
from ..functional import routing, softmax
from ..kernels.token_matrices import NormStep, vector
from ..kernels.token_steps import Product, Route
from .basic import Linear
from .context import Context
from .described import Described
from .feed_forward import FeedForward, FeedForwardSpec
from .initialization import Normal
from .module import Initializer, Module
from .one_token import End, Sketch


@dataclass(frozen=True)
class MixtureSpec(Described):
    """`experts` feed-forward parts of the design `expert`, of which `chosen` are at work for each token.

    balance: how much the load-balancing loss counts in training (`Decoder.loss`); 0 leaves the router alone.
    apart: each layer balances its own load, and the layers' losses are added (Switch). Otherwise the tokens of all
    layers are counted together (the transformers library's Mixtral): then expert 3 of one layer, idle, makes up for
    expert 3 of another, which is another expert with too much to do.
    """

    expert: FeedForwardSpec
    experts: int = 8
    chosen: int = 2
    balance: float = 0.0
    apart: bool = False
    router_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("experts", "chosen"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"mixture of experts: {name} must be a positive integer, not {value!r}")
        if self.chosen > self.experts:
            raise ValueError(f"{self.chosen} experts are to be chosen for a token, but there are only {self.experts}")
        if not 0.0 <= self.balance < float("inf"):
            raise ValueError(f"the weight of the load-balancing loss is a number >= 0, not {self.balance}")

    @property
    def hidden_size(self) -> int:
        """The width of what comes in and goes out."""
        return self.expert.hidden_size

    @property
    def intermediate_size(self) -> int:
        """The inner width of one expert."""
        return self.expert.intermediate_size

    def words(self) -> str:
        """What an expert is, and how many there are."""
        return f"{self.expert.words()}, {self.chosen} of {self.experts} experts"

    def sizes(self) -> dict[str, Any]:
        """The inner width of one expert, and how many there are."""
        return self.expert.sizes() | {"experts": f"{self.experts}, {self.chosen} a token"}

    def biases(self) -> dict[str, bool]:
        """Those of an expert."""
        return self.expert.biases()

    def memory_bytes(self, length: int) -> int:
        """None."""
        return 0

    def flops(self, length: int) -> int:
        """The router, and the experts that are chosen for a token."""
        return 2 * length * self.hidden_size * self.experts + self.chosen * self.expert.flops(length)

    def build(self, rng: np.random.Generator | None) -> Mixture:
        """The layer itself."""
        return Mixture(self, rng)


class Routed(NamedTuple):
    """What one layer's router did with N tokens: logits (N, E), the experts chosen (N, k), and how to balance that.

    real (N,): which tokens are no padding; None if all are.
    """

    logits: Tensor
    experts: np.ndarray
    balance: float
    apart: bool = False
    real: np.ndarray | None = None


class Mixture(Module):
    """Applies its `MixtureSpec`: x (B, T, hidden) -> (B, T, hidden). It remembers nothing."""

    def __init__(self, spec: MixtureSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        self.router = Linear(spec.expert.hidden_size, spec.experts, bias=False, init=spec.router_init, rng=rng)
        self.experts: list[FeedForward] = [spec.expert.build(rng) for _ in range(spec.experts)]

    @property
    def idle_parameter_count(self) -> int:
        """How many parameters a token does not use: those of the experts not chosen for it."""
        return (self.spec.experts - self.spec.chosen) * self.experts[0].parameter_count

    def new_memory(self) -> None:
        """Nothing to remember."""

    def __call__(self, x: Tensor, memory: Any, context: Context) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])  # (N, hidden): where a token stands makes no difference here
        logits = self.router(tokens)
        experts = routing.top_k(logits.data, self.spec.chosen)
        self._report(x.shape[:2], logits, experts, context)
        plan = routing.Assignment.of(experts, self.spec.experts)
        answers = []
        for expert, rows in zip(self.experts, routing.dispatch(tokens, plan=plan)):
            # An expert without tokens is not run at all: its parameters get no gradient, and AdamW leaves them alone.
            answers.append(expert(rows, None, context) if len(rows) else rows)
        weights = routing.routing_weights(logits, experts)
        return routing.combine(weights, *answers, plan=plan).reshape(*x.shape)

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """The router, and for each choice the two products of the expert that it fell on."""
        told = [sketch.ask(expert, "matrices") for expert in self.experts]
        ups, downs = [up for _, up, _ in told], [down for _, _, down in told]
        gates = [gate for expert_gates, _, _ in told for gate in expert_gates]
        count = self.spec.chosen
        chosen, weights = np.zeros(count, np.int64), np.zeros(count, np.float32)
        sketch.add(router := sketch.product(x, self.router, norm=norm))
        sketch.add(Route(router.out, chosen, weights))
        choices = [(chosen[k : k + 1], weights[k : k + 1], vector(ups[0].outputs)) for k in range(count)]
        activation = self.spec.expert.activation
        sketch.add(*(Product(x, ups, y, norm, gates, activation, choice=choice) for choice, _, y in choices))
        residual, alpha = end.residual, end.alpha
        for choice, weight, inner in choices:
            sums: dict[str, Any] = {"residual": residual, "alpha": alpha}
            sketch.add(Product(inner, downs, end.out, choice=choice, factor=weight, **sums))
            residual, alpha = end.out, 1.0

    def _report(self, shape: tuple[int, ...], logits: Tensor, experts: np.ndarray, context: Context) -> None:
        if context.auxiliary is not None and self.spec.balance:
            real = None if context.key_bias is None else (context.key_bias[:, -shape[1] :] == 0).reshape(-1)
            context.auxiliary.append(Routed(logits, experts, self.spec.balance, self.spec.apart, real))
        if context.record is not None:
            context.record.note("router", softmax(logits.data).data.reshape(*shape, -1))
            context.record.note("experts", experts.reshape(*shape, -1))


def balancing_loss(routed: Sequence[Routed]) -> Tensor:
    """balance · `load_balancing_loss` over all layers' tokens together, as if they were one long sequence.

    Tokens that are padding do not count. Layers that ask for it (`apart`) and layers of different designs (another
    number of experts, another weight) are balanced apart, and their losses added.
    """
    groups: dict[tuple[float, ...], list[Routed]] = {}
    for i, layer in enumerate(routed):
        design = layer.logits.shape[1], layer.experts.shape[1], layer.balance, i if layer.apart else -1
        groups.setdefault(design, []).append(layer)
    total: Tensor | None = None
    for (_, _, balance, _), group in groups.items():
        real = [layer.real for layer in group if layer.real is not None]  # of all layers of a pass, or of none
        counted = np.concatenate(real) if real else None
        logits = concatenate(*(layer.logits for layer in group), axis=0)
        chosen = np.concatenate([layer.experts for layer in group])
        loss = routing.load_balancing_loss(logits, chosen, counted) * balance
        total = loss if total is None else total + loss
    if total is None:
        raise ValueError("there is nothing to balance: no layer reported what its router did")
    return total
