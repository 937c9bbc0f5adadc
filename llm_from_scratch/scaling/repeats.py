"""When the text runs out: what tokens are worth that a model reads again.

Each further epoch adds less than the one before: of R repetitions as much as R*(1 - exp(-R/R*)) fresh ones would, at
most R* of them. A model larger than the unique text deserves is worth less in the same way. The constants are fitted on
the authors' 182 runs, with C4 and up to 9 billion parameters.

Source: Muennighoff et al. 2023, arXiv:2305.16264, equations 5 to 11; constants as in the authors' repository.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .checking import number, positive
from .laws import Law, optimal_parameters

TOKEN_REPEATS = 15.387756  # R_D*
EXCESS_REPEATS = 5.309743  # R_N*, of parameters
DATA_CONSTRAINED = Law(
    E=math.exp(0.6254804), A=math.exp(6.255414), B=math.exp(7.3049974), alpha=0.3526596, beta=0.3526596
)


def effective_tokens(tokens: Any, unique: Any, *, repeats: float = TOKEN_REPEATS) -> Any:
    """How many fresh tokens are worth as much as `tokens` that are `unique` ones read over and over.

    Read once they are worth themselves. Fewer tokens than there are unique ones are all fresh.

    >>> [float(np.round(effective_tokens(epochs * 1e9, 1e9) / 1e9, 2)) for epochs in (1, 4, 16, 1000)]
    [1.0, 3.73, 10.58, 16.39]
    """
    tokens, unique = positive("tokens", tokens), positive("unique", unique)
    return _worth(tokens, np.minimum(tokens, unique), number("repeats", repeats))


def effective_parameters(
    parameters: Any, unique: Any, law: Law = DATA_CONSTRAINED, *, repeats: float = EXCESS_REPEATS
) -> Any:
    """How many parameters are at work of a model with more than `unique` tokens are the optimum for.

    >>> base = optimal_parameters(1e9, DATA_CONSTRAINED)
    >>> [float(np.round(effective_parameters(times * base, 1e9) / base, 2)) for times in (0.5, 1, 4, 1000)]
    [0.5, 1.0, 3.29, 6.31]
    """
    parameters = positive("parameters", parameters)
    return _worth(parameters, np.minimum(parameters, optimal_parameters(unique, law)), number("repeats", repeats))


def _worth(total: Any, base: Any, limit: float) -> Any:
    """base + base · R*(1 - exp(-R/R*)), R = total/base - 1: how often it was repeated after the first time."""
    return base - base * limit * np.expm1(-(total / base - 1) / limit)


def repeated_loss(parameters: Any, tokens: Any, unique: Any, law: Law = DATA_CONSTRAINED) -> Any:
    """The loss of a model trained for `tokens`, of which `unique` are different.

    >>> print(f"{repeated_loss(6.34e9, 242e9, 25e9):.5f} {repeated_loss(8.67e9, 178e9, 25e9):.5f}")
    2.22564 2.22696
    """
    fresh = np.minimum(positive("tokens", tokens), positive("unique", unique))
    return law.loss(effective_parameters(parameters, fresh, law), effective_tokens(tokens, unique))
