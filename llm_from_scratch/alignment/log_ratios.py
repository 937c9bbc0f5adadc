"""What the losses over pairs share: how much more likely a model has made an answer than the reference it began from.

Glossary: a log-ratio is log pi(y|x) - log pi_ref(y|x), summed over the tokens of an answer y to a prompt x; times beta
it is the reward that the model implies (Rafailov et al. 2023, arXiv:2305.18290, section 4).
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from .checking import answers


def log_ratios(chosen: Any, rejected: Any, reference_chosen: Any, reference_rejected: Any) -> tuple[Tensor, Tensor]:
    """The log-ratios of the chosen and of the rejected answers: four times (N,) -> (N,), (N,).

    Raises ValueError for another shape, no pair, or a log-probability that is not finite; TypeError for other numbers
    than float32 and float64, or both at once.

    >>> log_ratios([-1.0], [-4.0], [-2.0], [-2.0])
    (Tensor([1.]), Tensor([-2.]))
    """
    chosen, rejected, reference_chosen, reference_rejected = answers(
        chosen=chosen,
        rejected=rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
    )
    return chosen - reference_chosen, rejected - reference_rejected
