"""Identity preference optimisation: the margin is drawn to a fixed size, where DPO's grows for ever.

Where every pair is always preferred the same way, DPO's likelihood is highest at an infinite margin, whatever beta is.
IPO regresses on the margin itself, so that the penalty holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from .checking import positive
from .log_ratios import log_ratios


def ipo_loss(
    chosen: Any,
    rejected: Any,
    reference_chosen: Any,
    reference_rejected: Any,
    *,
    tau: float = 0.1,
    lengths: Any = None,
) -> Tensor:
    """Mean of (log-ratio of the chosen answer - that of the rejected one - 1 / (2 tau))²: (N,) each -> ().

    chosen, rejected, reference_…: summed log-probabilities of whole answers, as in the paper. tau: the strength of the
    penalty, in the place of DPO's beta. lengths: (chosen, rejected), the numbers of tokens, (N,) each: every log-ratio
    is then divided by its answer's, as the trl library does, and the margin is one per token.

    Raises ValueError for tau that is not above 0, a length below 1 or of another shape, and as `log_ratios`.

    >>> ipo_loss([-1.0], [-4.0], [-2.0], [-2.0], tau=0.25)                         # (1 + 2 - 2)²
    Tensor(1.)
    >>> ipo_loss([-1.0], [-4.0], [-2.0], [-2.0], tau=0.25, lengths=([2], [4]))     # (1/2 + 2/4 - 2)²
    Tensor(1.)

    Source: Azar et al. 2023, arXiv:2310.12036, eq. 17.
    """
    tau = positive("tau", tau)
    ours, theirs = log_ratios(chosen, rejected, reference_chosen, reference_rejected)
    if lengths is not None:
        if not isinstance(lengths, (tuple, list)) or len(lengths) != 2:
            raise TypeError(f"lengths are two arrays, (chosen, rejected), got {lengths!r}")
        ours, theirs = (ratio / _lengths(name, n, ratio) for name, n, ratio in
                        (("chosen", lengths[0], ours), ("rejected", lengths[1], theirs)))  # fmt: skip
    off = ours - theirs - 1 / (2 * tau)
    return (off * off).mean()


def _lengths(name: str, lengths: Any, ratio: Tensor) -> Tensor:
    lengths = np.asarray(lengths)
    if lengths.shape != ratio.shape:
        raise ValueError(f"the lengths of the {name} answers have the shape {lengths.shape}, expected {ratio.shape}")
    fine = np.isfinite(lengths) & (lengths >= 1)
    if not fine.all():
        raise ValueError(f"the lengths of the {name} answers must be finite and at least 1, got {lengths[~fine][0]}")
    return Tensor(lengths.astype(ratio.dtype))
