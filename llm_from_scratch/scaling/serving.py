"""Sizing for inference, LLaMA's aim: of all models with the same loss, the one that is cheapest to train *and* to
serve.

Chinchilla's optimum counts training alone. A token served costs 2N FLOPs for ever after, so a smaller model that was
trained for longer pays its longer training back. How much smaller follows from the law of the loss and from how many
tokens will be served.

Sources: Touvron et al. 2023 (LLaMA), arXiv:2302.13971, section 1; Sardana et al. 2023, arXiv:2401.00448, with formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .checking import number
from .laws import Law, optimal_allocation


@dataclass(frozen=True)
class Serving:
    """A size, its training tokens, and what both cost in FLOPs."""

    parameters: float
    tokens: float
    training_flops: float
    serving_flops: float

    @property
    def flops(self) -> float:
        """Training and serving together."""
        return self.training_flops + self.serving_flops


def tokens_for_loss(loss: float, parameters: float, law: Law) -> float:
    """How long a model of this size has to be trained to reach a loss. ValueError if it never does.

    >>> from llm_from_scratch.scaling import CHINCHILLA
    >>> f"{tokens_for_loss(CHINCHILLA.loss(7e9, 1e12), 7e9, CHINCHILLA):.4g}"
    '1e+12'
    """
    size = number("parameters", parameters)
    left = number("loss", loss) - law.E - law.A / size**law.alpha
    if left <= 0:
        least = law.E + law.A / size**law.alpha
        raise ValueError(f"{size:.3g} parameters never get to a loss of {loss:.4g}: their limit is {least:.4g}")
    return float((law.B / left) ** (1 / law.beta))


def cheapest_to_serve(loss: float, served: float, law: Law) -> Serving:
    """The size N that makes 6·N·D(N) + 2·N·served smallest, where D(N) tokens bring it to `loss`.

    served: tokens, read and written, over the model's life; 0 gives Chinchilla's optimum. The derivative by log N grows
    from minus infinity, at the size that could reach the loss with all the text of the world, and has one zero, which
    is found by halving. Raises ValueError for a loss at or below E.

    >>> from llm_from_scratch.scaling import REPLICATION, optimal_allocation
    >>> loss = REPLICATION.loss(*optimal_allocation(1e23, REPLICATION))
    >>> for served in (0, 1e12, 1e13):
    ...     found = cheapest_to_serve(loss, served, REPLICATION)
    ...     print(f"{found.parameters / 1e9:.1f}B parameters, {found.tokens / 1e12:.2f}T tokens")
    29.4B parameters, 0.57T tokens
    19.7B parameters, 0.91T tokens
    11.4B parameters, 2.43T tokens
    """
    loss, served = number("loss", loss), number("served", served, zero=True)
    if loss <= law.E:
        raise ValueError(f"no model gets to a loss of {loss:.4g}: the law's E is {law.E:.4g}")
    low = math.log(law.A / (loss - law.E)) / law.alpha  # here D would have to be infinite

    def slope(log_size: float) -> float:
        """Of the FLOPs by log N, divided by 2N."""
        size = math.exp(log_size)
        term = law.A / size**law.alpha
        left = loss - law.E - term
        if left <= 0:
            return -math.inf
        tokens = (law.B / left) ** (1 / law.beta)
        return 3 * tokens * (1 - law.alpha * term / (law.beta * left)) + served

    high = low + 1.0
    while slope(high) < 0:
        high += 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    size = math.exp(high)
    tokens = tokens_for_loss(loss, size, law)
    return Serving(size, tokens, 6 * size * tokens, 2 * size * served)


def cheapest_at_budget(flops: float, served: float, law: Law) -> Serving:
    """As `cheapest_to_serve`, for the loss that `flops` of training reach when nothing is served."""
    return cheapest_to_serve(law.loss(*optimal_allocation(number("flops", flops), law)), served, law)
