"""Loss as a function of size and data, L(N, D) = E + A/N^α + B/D^β, and what it says about spending FLOPs.

N: parameters. D: tokens. E: what no model of this kind would get below. A, α: how fast the price of being finite falls;
B, β: the same of having read a finite text. One epoch is assumed (see `repeats.py`), and C = 6ND FLOPs.

Source: Hoffmann et al. 2022 (Chinchilla), arXiv:2203.15556, equations 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .checking import finite, positive


@dataclass(frozen=True)
class Law:
    """The five constants. A and B belong to N and D counted in ones, not in millions.

    >>> print(f"{CHINCHILLA.loss(70e9, 1.4e12):.3f}")
    1.937
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        finite("E", self.E)
        for name in ("A", "B", "alpha", "beta"):
            positive(name, getattr(self, name))

    def loss(self, parameters: Any, tokens: Any) -> Any:
        """Of a model of so many parameters after so many tokens; arrays broadcast."""
        n, d = positive("parameters", parameters), positive("tokens", tokens)
        return self.E + self.A / n**self.alpha + self.B / d**self.beta

    @property
    def exponents(self) -> tuple[float, float]:
        """a and b of N* ∝ C^a and D* ∝ C^b; they add up to 1.

        >>> print("{:.4f} {:.4f}".format(*CHINCHILLA.exponents))
        0.4516 0.5484
        """
        together = self.alpha + self.beta
        return self.beta / together, self.alpha / together

    @property
    def balance(self) -> float:
        """G = (αA / βB)^(1/(α + β)): how size and data stand to each other at C = 6 FLOPs."""
        return float((self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta)))


def optimal_allocation(flops: Any, fit: Law) -> tuple[Any, Any]:
    """Parameters and tokens that make the loss smallest for C = 6ND `flops`: N* = G(C/6)^a, D* = (C/6)^b / G.

    Setting the derivative along N·D = C/6 to zero makes αA/N^α equal to βB/D^β: the last FLOP buys as much as size as
    it would buy as data. Numbers, or arrays (n,) of budgets. Raises ValueError for budgets that are not positive and
    finite.

    >>> n, d = optimal_allocation(5.76e23, CHINCHILLA)          # what Gopher had cost
    >>> f"{n / 1e9:.1f}B parameters, {d / 1e12:.2f}T tokens"
    '32.2B parameters, 2.98T tokens'
    >>> n, d = optimal_allocation(5.76e23, REPLICATION)
    >>> f"{n / 1e9:.1f}B parameters, {d / 1e12:.2f}T tokens"
    '72.2B parameters, 1.33T tokens'
    """
    if not all(hasattr(fit, name) for name in ("exponents", "balance")):
        raise TypeError(f"a fit is a Law with E, A, B, alpha, beta, as fit_parametric returns it; got {fit!r}")
    budget = positive("flops", flops) / 6
    a, b = fit.exponents
    return fit.balance * budget**a, budget**b / fit.balance


def optimal_parameters(tokens: Any, fit: Law) -> Any:
    """The size for which so many tokens are the optimal ones.

    >>> n, d = optimal_allocation(1e21, CHINCHILLA)
    >>> print(f"{optimal_parameters(d, CHINCHILLA) / n:.6f}")
    1.000000
    """
    return fit.balance * (positive("tokens", tokens) * fit.balance) ** (fit.beta / fit.alpha)


def optimal_tokens(parameters: Any, fit: Law) -> Any:
    """The tokens for which so many parameters are the optimal ones: the inverse of `optimal_parameters`."""
    return (positive("parameters", parameters) / fit.balance) ** (fit.alpha / fit.beta) / fit.balance


# As printed. With these constants the optimum of Gopher's budget is 32 billion parameters, while approaches 1 and 2 of
# the same paper, and the model they trained, say 67 and 63: the printed law contradicts its own paper. Besiroglu et al.
# read the 240 points off the paper's figure 4, minimised the same objective to its end, and found other constants,
# which agree with the first two approaches.
CHINCHILLA = Law(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
REPLICATION = Law(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024, arXiv:2404.10102
LAWS = {"chinchilla": CHINCHILLA, "replication": REPLICATION}
