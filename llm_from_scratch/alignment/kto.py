"""Kahneman-Tversky optimisation: answers that are good or bad by themselves, without a partner.

An answer is worth what its implied reward is above a point of reference, the model's mean KL from its reference; worth
saturates on both sides, and losses may weigh more than gains. It was published in the first days of 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .checking import answers, not_negative, positive


def kto_loss(
    log_probabilities: Any,
    reference_log_probabilities: Any,
    desirable: Any,
    kl: Any,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Mean of weight (1 - sigmoid(±(beta log-ratio - beta kl))), + for desirable answers: (N,) each -> ().

    log_probabilities, reference_log_probabilities (N,): of whole answers, summed. desirable (N,): which are good.
    kl: log-ratios of answers that do not belong to their prompts, (M,), whose mean estimates the KL from the reference;
    or that mean. At least 0 is taken, and no gradient passes: the point of reference is not to be moved.

    Raises ValueError for beta that is not above 0, negative weights, both 0, or a kl that is not finite, and as
    `log_ratios`.

    >>> kto_loss([-1.0, -4.0], [-2.0, -2.0], [True, False], 0.5, beta=1.0)   # sigmoid(-0.5), and sigmoid(-2.5): mean
    Tensor(0.2267)

    Source: Ethayarajh et al. 2024, arXiv:2402.01306, eq. 8.
    """
    beta = positive("beta", beta)
    weights = not_negative("desirable_weight", desirable_weight), not_negative("undesirable_weight", undesirable_weight)
    if not any(weights):
        raise ValueError("both weights are 0: there is nothing to learn from")
    ours, theirs = answers(log_probabilities=log_probabilities, reference_log_probabilities=reference_log_probabilities)
    good = np.asarray(desirable)
    if good.shape != ours.shape or good.dtype != bool:
        raise ValueError(f"desirable must be {ours.shape} booleans, got {good.dtype} of the shape {good.shape}")
    estimate = np.asarray(kl.data if isinstance(kl, Tensor) else kl, np.float64)
    if not estimate.size or not np.isfinite(estimate).all():
        raise ValueError(f"kl must be finite log-ratios, or their mean; got {kl!r}")
    reference = max(0.0, float(estimate.mean()))
    signs = Tensor(np.where(good, 1.0, -1.0).astype(ours.dtype))
    weight = Tensor(np.where(good, *weights).astype(ours.dtype))
    return (F.sigmoid(signs * (reference - (ours - theirs)) * beta) * weight).mean()
