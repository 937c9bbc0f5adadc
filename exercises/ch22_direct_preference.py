"""Chapter 22 exercises: learning from preferences without a reward model.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. Log-probabilities are
those of whole answers, summed over their tokens; numbers may be large (answers of a thousand tokens have them).

Symbols: N pairs of answers, T tokens, V the vocabulary.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch22              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch22 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 4: easy, about 15 minutes, 2 points
def sequence_log_probability(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The log-probability of each row's answer.

    logits: (N, T, V), what the model says at each place about the token that comes next
    targets: (N, T) integers, which token did come; -100 where nothing counts (prompt and padding)
    returns: (N,), the sum over the targets that count of log softmax(logits)[target]; 0 for a row without any

    >>> logits = np.log([[[1.0, 3.0], [1.0, 1.0], [1.0, 4.0]]])
    >>> np.exp(sequence_log_probability(logits, np.array([[-100, 0, 1]]))).round(3)         # 1/2 * 4/5
    array([0.4])
    """
    raise NotImplementedError("sequence_log_probability")


# Task 2 of 4: medium, about 30 minutes, 4 points
def dpo(
    chosen: np.ndarray,
    rejected: np.ndarray,
    reference_chosen: np.ndarray,
    reference_rejected: np.ndarray,
    beta: float,
) -> tuple[float, np.ndarray, np.ndarray]:
    """The DPO loss and its gradient by the model's log-probabilities.

    chosen, rejected: (N,), log-probabilities of the two answers of each pair under the model
    reference_chosen, reference_rejected: (N,), the same under the reference, which does not learn
    beta: above 0
    returns: the loss, the mean over pairs of -log sigmoid(margin) as a Python float, where
             margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected));
             and its gradients by chosen and by rejected, (N,) each

    >>> loss, up, down = dpo(*np.array([[-1.0], [-4.0], [-2.0], [-2.0]]), beta=0.5)         # margin 0.5 * (1 + 2)
    >>> round(loss, 4), up.round(4), down.round(4)
    (0.2014, array([-0.0912]), array([0.0912]))
    """
    raise NotImplementedError("dpo")


# Task 3 of 4: medium, about 20 minutes, 3 points
def ipo(
    chosen: np.ndarray,
    rejected: np.ndarray,
    reference_chosen: np.ndarray,
    reference_rejected: np.ndarray,
    tau: float,
    lengths: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """The IPO loss and its gradient by the model's log-probabilities.

    chosen, rejected, reference_chosen, reference_rejected: (N,), as for `dpo`
    tau: above 0
    lengths: None, or the numbers of tokens of the (chosen, rejected) answers, (N,) integers each, at least 1: then each
             log-ratio is divided by its answer's length
    returns: the loss, the mean over pairs of (log-ratio of chosen - log-ratio of rejected - 1 / (2 tau))² as a Python
             float, and its gradients by chosen and by rejected, (N,) each

    >>> loss, up, down = ipo(*np.array([[-1.0], [-4.0], [-2.0], [-2.0]]), tau=0.25)         # (1 + 2 - 2)²
    >>> round(loss, 4), up.round(4), down.round(4)
    (1.0, array([2.]), array([-2.]))
    """
    raise NotImplementedError("ipo")


# Task 4 of 4: easy, about 10 minutes, 1 point
def reward_accuracy(
    chosen: np.ndarray, rejected: np.ndarray, reference_chosen: np.ndarray, reference_rejected: np.ndarray
) -> float:
    """The share of pairs in which the chosen answer has the higher implicit reward.

    chosen, rejected, reference_chosen, reference_rejected: (N,), as for `dpo`
    returns: a Python float from 0 to 1; a pair whose log-ratios are equal counts one half

    >>> reward_accuracy(*np.array([[-1.0, -2.0], [-4.0, -3.0], [-2.0, -2.0], [-2.0, -3.0]]))
    0.75
    """
    raise NotImplementedError("reward_accuracy")
