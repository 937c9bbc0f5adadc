"""The hinge in place of DPO's logarithm: a pair that is told apart by enough teaches nothing any more.

SLiC's calibration of sequence likelihoods, on log-ratios to a reference as DPO has them.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..autograd import Tensor
from .checking import positive
from .log_ratios import log_ratios


def hinge_loss(
    chosen: Any, rejected: Any, reference_chosen: Any, reference_rejected: Any, *, beta: float = 0.1
) -> Tensor:
    """Mean of max(0, 1 - beta (log-ratio of the chosen answer - that of the rejected one)): (N,) each -> ().

    chosen, rejected, reference_…: summed log-probabilities of whole answers. A pair exactly at the margin counts as
    told apart: it has no gradient.

    Raises ValueError for beta that is not above 0, and as `log_ratios`.

    >>> hinge_loss([-1.0, -1.0], [-4.0, -9.0], [-2.0, -2.0], [-2.0, -2.0], beta=0.25)    # 1 - 0.75, and 0: mean
    Tensor(0.125)

    Source: Zhao et al. 2023, arXiv:2305.10425 (on likelihoods); on log-ratios: Liu et al. 2023, arXiv:2309.06657.
    """
    beta = positive("beta", beta)
    ours, theirs = log_ratios(chosen, rejected, reference_chosen, reference_rejected)
    return F.relu(1 - (ours - theirs) * beta).mean()
