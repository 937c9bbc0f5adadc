"""Advantage-induced policy alignment, as Starling was tuned, and advantage-weighted regression beside it.

The policy that is best under a KL penalty has a known log-ratio to the initial one, advantage / lambda. APA regresses
on it with a square, which knows when it is there; AWR weighs the likelihood by exp(advantage / lambda), and does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from .checking import positive, tokens


def apa_loss(
    log_probabilities: Any, initial_log_probabilities: Any, advantages: Any, mask: Any, *, scale: float
) -> Tensor:
    """Mean over real tokens of (log-ratio to the initial policy - advantage / scale)²: (N, T) each -> ().

    log_probabilities: of the tokens taken, under the policy; initial_…: under the one it began from. advantages: how
    much better each was than expected. scale: the paper's lambda, how dear it is to leave the initial policy.

    Raises ValueError for a scale that is not above 0, shapes that differ, a row without a token, or entries that are
    not finite.

    >>> apa_loss([[-1.0, -3.0, 0.0]], [[-2.0, -2.0, 0.0]], [[0.5, 0.5, 0.0]], [[1, 1, 0]], scale=0.5)   # (0 + 4) / 2
    Tensor(2.)

    Source: Zhu et al. 2023, arXiv:2306.02231, eq. 5.
    """
    scale = positive("scale", scale)
    _, (log_p, initial, advantage) = tokens(
        mask,
        log_probabilities=log_probabilities,
        initial_log_probabilities=initial_log_probabilities,
        advantages=advantages,
    )
    off = log_p - initial - advantage * (1 / scale)
    return (off * off).mean()


def awr_loss(log_probabilities: Any, advantages: Any, mask: Any, *, scale: float) -> Tensor:
    """Mean over real tokens of -exp(advantage / scale) log p: (N, T) each -> ().

    No gradient passes through the advantages. Raises ValueError as `apa_loss`, and where exp(advantage / scale) is
    beyond what the number format holds.

    >>> awr_loss([[-1.0, -2.0]], [[0.0, 0.5]], [[1, 1]], scale=0.5)                  # (1 + e · 2) / 2
    Tensor(3.2183)

    Source: Peng et al. 2019, arXiv:1910.00177, eq. 10; for language models: Zhu et al. 2023, arXiv:2306.02231, eq. 4.
    """
    scale = positive("scale", scale)
    _, (log_p, advantage) = tokens(mask, log_probabilities=log_probabilities, advantages=advantages)
    with np.errstate(over="ignore"):
        weights = np.exp(advantage.data / scale)
    if not np.isfinite(weights).all():
        raise ValueError(
            f"exp(advantage / scale) overflows: the largest advantage is {advantage.data.max():g}, the scale {scale:g}"
            "; whiten the advantages, or take a larger scale"
        )
    return -(log_p * Tensor(weights)).mean()
