"""Direct preference optimisation: the reward model and the reinforcement learning in one logistic regression.

The policy that is best for a reward under a KL penalty is known in closed form, so a reward can be written as beta
times a log-ratio; put into Bradley-Terry's likelihood of the preferences, the reward model is gone. This file also has
cDPO, for preferences that may be wrong.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..autograd import Tensor
from .checking import minority, positive
from .log_ratios import log_ratios


def dpo_loss(
    chosen: Any,
    rejected: Any,
    reference_chosen: Any,
    reference_rejected: Any,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of -log sigmoid(beta (log-ratio of the chosen answer - that of the rejected one)): (N,) each -> ().

    chosen, rejected: log-probabilities of whole answers under the model, summed over their tokens; reference_…: under
    the reference. beta: how dear it is to leave the reference. label_smoothing: the share of preferences believed to be
    the wrong way round; each pair then counts (1 - share) times as it is and share times turned round (cDPO).

    Raises ValueError for beta that is not above 0, label_smoothing outside [0, 0.5), and as `log_ratios`.

    >>> dpo_loss([-1.0], [-4.0], [-2.0], [-2.0], beta=0.5)           # log(1 + exp(-0.5 · 3))
    Tensor(0.2014)
    >>> dpo_loss([-1.0], [-4.0], [-2.0], [-2.0], beta=0.5, label_smoothing=0.1)     # and 0.1 · 1.5 more
    Tensor(0.3514)

    Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; cDPO: Mitchell 2023, "A note on DPO with noisy preferences".
    """
    beta = positive("beta", beta)
    smoothing = minority("label_smoothing", label_smoothing)
    ours, theirs = log_ratios(chosen, rejected, reference_chosen, reference_rejected)
    margin = (ours - theirs) * beta
    # (1 - e) softplus(-m) + e softplus(m), and softplus(m) = softplus(-m) + m: one exponential
    losses = F.softplus(-margin)
    return (losses + margin * smoothing if smoothing else losses).mean()
