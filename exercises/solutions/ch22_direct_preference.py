"""Chapter 22 exercises: learning from preferences without a reward model.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. Log-probabilities are
those of whole answers, summed over their tokens; numbers may be large (answers of a thousand tokens have them).

Symbols: N pairs of answers, T tokens, V the vocabulary.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "only_targets: the prompt was added, too": (
            "Targets of -100 stand where the prompt and the padding are: leave them out."
        ),
        "only_targets: the mean of the tokens, not their sum": (
            "The probability of an answer is the product of its tokens' probabilities, so logarithms are added."
        ),
        "ignored_targets: an ignored place took the logit of the last token": (
            "logits[..., -100] counts from the end. Replace -100 by 0 before you look up, and drop the place after."
        ),
        "large_logits: nan or RuntimeWarning: overflow encountered in exp": (
            "Subtract each place's largest logit before exp; the softmax does not notice."
        ),
    },
    why="""Everything in this chapter rests on this one number. The sum is not a choice: it is the logarithm of the
    probability that the model writes this answer. A mean over tokens is another quantity, with which a long answer
    and a short one can be compared; a loss that uses it optimises something else, and should say so.""",
)
def sequence_log_probability(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The log-probability of each row's answer.

    logits: (N, T, V), what the model says at each place about the token that comes next
    targets: (N, T) integers, which token did come; -100 where nothing counts (prompt and padding)
    returns: (N,), the sum over the targets that count of log softmax(logits)[target]; 0 for a row without any

    >>> logits = np.log([[[1.0, 3.0], [1.0, 1.0], [1.0, 4.0]]])
    >>> np.exp(sequence_log_probability(logits, np.array([[-100, 0, 1]]))).round(3)         # 1/2 * 4/5
    array([0.4])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    counts = targets != -100
    taken = np.take_along_axis(log_p, np.where(counts, targets, 0)[..., None], axis=-1)[..., 0]
    return np.where(counts, taken, 0).sum(axis=1, dtype=logits.dtype)


@task(
    points=4,
    difficulty="medium",
    minutes=30,
    hints={
        "loss_by_hand: the reference was left out": (
            "What counts is how much more likely each answer has become: subtract the reference's log-probability."
        ),
        "loss_by_hand: the margin has the wrong sign": "The chosen answer's log-ratio minus the rejected one's.",
        "gradient_by_differences: the gradient of the sum, not of the mean": "The loss is a mean over N pairs: divide.",
        "gradient_by_differences: the factor beta is missing": (
            "The margin is beta times the difference: so is its slope."
        ),
        "far_out: RuntimeWarning: overflow encountered in exp": (
            "np.logaddexp(0, -m) is log(1 + exp(-m)) for any m, and exp(-np.logaddexp(0, m)) is sigmoid(-m)."
        ),
    },
    why="""The gradient says what DPO does: push the two log-probabilities apart, with a weight sigmoid(-margin) that is
    one half for a pair not learned yet and goes to zero for one that is well apart. Nothing in it asks the chosen
    answer to become likelier: if both fall, and the rejected one faster, the loss is content. Watch the chosen
    log-ratio when you train.""",
)
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
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    loss = np.logaddexp(0, -margin).mean()
    weight = np.exp(-np.logaddexp(0, margin))
    slope = beta * weight / len(margin)
    return float(loss), -slope, slope


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "loss_by_hand_of_ipo: the target is 1/tau, not 1/(2 tau)": "The paper's margin is one half over tau.",
        "pulls_back: a margin beyond the target was left alone": (
            "It is a square, not a hinge: a margin that is too large is drawn back, and that is the point."
        ),
        "per_token: the margin was divided by the sum of the lengths": (
            "Each log-ratio is divided by its own answer's length, before they are subtracted."
        ),
        "gradient_of_ipo: the factor 2 is missing": "The derivative of a square is twice what is squared.",
    },
    why="""DPO's logistic loss has no least value at a finite margin. Where a pair is always labelled the same way, as
    in most data sets, more margin is always better, and beta only slows the run down. IPO says how far to go. Per
    token or as a sum is a choice that changes what tau means: with sums, a margin of 10 is easily reached by two
    answers of a hundred tokens, with means never.""",
)
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
    one, other = (np.ones_like(chosen),) * 2 if lengths is None else (n.astype(chosen.dtype) for n in lengths)
    off = (chosen - reference_chosen) / one - (rejected - reference_rejected) / other - 1 / (2 * tau)
    slope = 2 * off / len(off)
    return float((off * off).mean()), slope / one, -slope / other


@task(
    points=1,
    difficulty="easy",
    minutes=10,
    hints={
        "ties: a tie counted as wrong": (
            "Before the first step every pair ties, and a coin would be right half the time: a tie counts one half."
        ),
        "by_hand: the reference was left out": (
            "The implicit reward is a log-ratio: subtract the reference's log-probability."
        ),
        "reference_matters: pairs were counted whose chosen answer became likelier": (
            "What counts is which of the two log-ratios is larger; both may be above 0, or below."
        ),
    },
    why="""A strict comparison says 0 % before the first step, where all pairs tie, and a curve that begins at 0 %
    looks as if the model had learned twice as much as it did. Counting a tie as right would begin at 100 %. One half is
    what guessing is worth.""",
)
def reward_accuracy(
    chosen: np.ndarray, rejected: np.ndarray, reference_chosen: np.ndarray, reference_rejected: np.ndarray
) -> float:
    """The share of pairs in which the chosen answer has the higher implicit reward.

    chosen, rejected, reference_chosen, reference_rejected: (N,), as for `dpo`
    returns: a Python float from 0 to 1; a pair whose log-ratios are equal counts one half

    >>> reward_accuracy(*np.array([[-1.0, -2.0], [-4.0, -3.0], [-2.0, -2.0], [-2.0, -3.0]]))
    0.75
    """
    gain, other = chosen - reference_chosen, rejected - reference_rejected
    return float((gain > other).mean() + (gain == other).mean() / 2)
