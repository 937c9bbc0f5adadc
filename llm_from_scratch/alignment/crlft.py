"""C-RLFT, conditioned fine-tuning on data of mixed quality: OpenChat's way, without preferences.

Every answer has a class (who wrote it). The class stands in the prompt, so that the model learns to tell them apart,
and weighs the loss; later one asks under the best class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from .checking import tokens


def crlft_loss(log_probabilities: Any, mask: Any, weights: Any, *, per_sequence: bool = False) -> Tensor:
    """Weighted mean of -log p over the tokens of answers: (N, T), mask (N, T), weights (N,) -> ().

    The sum of -w m log p over the sum of w m, so that a long answer counts more. per_sequence: each row is first
    averaged over its tokens, then rows by their weights.

    Raises ValueError for a weight that is negative or not finite, weights that are all 0, shapes that differ, a row
    without a token, or a log-probability that is not finite.

    >>> log_p, mask = [[-1.0, -2.0], [-4.0, 0.0]], [[1, 1], [1, 0]]
    >>> crlft_loss(log_p, mask, [1.0, 0.5])                          # (1 + 2 + 0.5 · 4) / (1 + 1 + 0.5)
    Tensor(2.)
    >>> crlft_loss(log_p, mask, [1.0, 0.5], per_sequence=True)       # (1.5 + 0.5 · 4) / 1.5
    Tensor(2.3333)

    Source: Wang et al. 2023, arXiv:2309.11235, eq. 6, and the authors' code: weights over the sum of weights.
    """
    real, (log_p,) = tokens(mask, log_probabilities=log_probabilities)
    spread = token_weights(real, weights, per_sequence=per_sequence)
    return -(log_p * Tensor((spread / spread.sum()).astype(log_p.dtype))).sum()


def token_weights(real: np.ndarray, weights: Any, *, per_sequence: bool = False, empty: bool = False) -> np.ndarray:
    """What each real token weighs, in float64: its row's weight, per_sequence divided by the row's length.

    real (N, T) of booleans, weights (N,) -> (real tokens,). ValueError as `crlft_loss`; empty: all may weigh 0.
    """
    given = np.asarray(weights.data if isinstance(weights, Tensor) else weights, np.float64)
    if given.shape != real.shape[:1]:
        raise ValueError(f"the weights have the shape {given.shape}, expected one for each of {len(real)} answers")
    fine = np.isfinite(given) & (given >= 0)
    if not fine.all():
        raise ValueError(f"the weight of answer {np.argmin(fine)} is {given[~fine][0]}: weights are finite, at least 0")
    if not (empty or given.any()):
        raise ValueError("all weights are 0: there is nothing to learn from")
    lengths = real.sum(axis=1)
    return np.repeat(given / lengths if per_sequence else given, lengths)
