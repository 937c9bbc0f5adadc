"""Chapter 15 exercises: routing tokens to a few of many experts, and keeping the experts evenly busy.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. What an expert
computes does not matter here; it maps the rows it is given. Logits may be of any size, in every row another one.

Symbols: N tokens, D numbers each, E experts, k of them chosen for each token.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "best_first: the right experts, but not the best one first": (
            "np.argpartition finds the k largest in any order. Sort, largest first."
        ),
        "ties: the higher number was chosen": (
            "Reversing an ascending sort reverses ties, too. Sort -logits instead, with kind='stable'."
        ),
        "ties_among_many: the sort is not stable": (
            "np.argsort keeps equal entries in their order only with kind='stable', and np.argpartition never does."
        ),
        "weights_sum_to_one: the softmax over all experts was not divided by the sum of the chosen": (
            "Each row of weights sums to 1: take the softmax of the k chosen logits alone."
        ),
        "large_logits: nan or RuntimeWarning: overflow encountered in exp": (
            "Subtract the largest of the chosen logits before exp; the softmax does not notice."
        ),
    },
    why="""A softmax over all experts, cut to the chosen ones and divided by their sum, is the softmax over the
    chosen logits: the denominator of the first cancels. A rule for ties costs nothing and makes runs repeat, for at
    the start of training, with tiny weights, near-ties are common.""",
)
def top_k_routing(logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which experts each token goes to, and how much each of them counts.

    logits: (N, E), how much each token wants each expert
    k: how many are chosen, 1 <= k <= E
    returns: experts (N, k) integers, best first, of equal ones the lower number first;
             weights (N, k), the softmax over the chosen logits alone

    >>> experts, weights = top_k_routing(np.log([[1.0, 6.0, 2.0], [4.0, 4.0, 4.0]]), 2)
    >>> experts.tolist(), weights.round(2).tolist()
    ([[1, 2], [0, 1]], [[0.75, 0.25], [0.5, 0.5]])
    """
    experts = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    chosen = np.take_along_axis(logits, experts, axis=1)
    e = np.exp(chosen - chosen.max(axis=1, keepdims=True))
    return experts, e / e.sum(axis=1, keepdims=True)


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "idle: an expert without tokens is missing from the list": (
            "One entry for each expert, also where nobody comes: an array of shape (0, D)."
        ),
        "every_choice: only the first choices were dealt out": (
            "A token goes to all k experts of its row: look for e in the whole row, not in column 0."
        ),
        "in_order: the rows are there, in another order": ("Rows of one expert stand in the order of the tokens."),
    },
    why="""This is where a mixture saves its arithmetic: every expert multiplies a block of its own rows, in one
    product, and no row is multiplied for nothing. The alternative, all rows through all experts and zeros for the
    weights, gives the same numbers for E / k times the work.""",
)
def dispatch(x: np.ndarray, experts: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each expert's rows, and which tokens they are.

    x: (N, D), tokens
    experts: (N, k) integers, different ones in each row: where each token goes
    count: the number of experts E
    returns: a list of E pairs (tokens (n_e,) integers ascending, rows (n_e, D)); n_e may be 0

    >>> parts = dispatch(np.array([[1.0], [2.0], [3.0]]), np.array([[2, 0], [2, 0], [0, 2]]), 3)
    >>> [(tokens.tolist(), rows.ravel().tolist()) for tokens, rows in parts]
    [([0, 1, 2], [1.0, 2.0, 3.0]), ([], []), ([0, 1, 2], [1.0, 2.0, 3.0])]
    """
    parts = []
    for e in range(count):
        tokens = np.flatnonzero((experts == e).any(axis=1))
        parts.append((tokens, x[tokens]))
    return parts


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "matching: the answers were given the wrong token's or the wrong expert's weight": (
            "A token's weight for expert e stands in the column in which its row of `experts` says e: "
            "weights[experts == e], row by row, are the weights of exactly these tokens, in order."
        ),
        "matching: the weights were divided by their sum": "They are used as they come, whatever their sum is.",
        "adds_up: the second answer replaced the first": (
            "y[tokens] = ... overwrites what another expert has said about these tokens. Add."
        ),
        "keeps_float32_in_combine: must have dtype float32, got float64": (
            "np.zeros makes float64 unless told otherwise: give it the dtype of the answers."
        ),
    },
    why="""Within one expert no token occurs twice, so y[tokens] += ... is safe here. Over several experts it is the
    loop that adds. In one stroke, y[all_tokens] += all_rows would lose all but one of a token's answers, because NumPy
    adds buffered: that takes np.add.at, or a lookup for each of the k choices, as in the package.""",
)
def combine(weights: np.ndarray, experts: np.ndarray, answers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Every token's answers, each times its weight, added up.

    weights: (N, k), how much each choice counts
    experts: (N, k) integers, the choices, different ones in each row
    answers: for each expert (tokens (n_e,) ascending, what it says about them (n_e, D)), as `dispatch` dealt them out
    returns: (N, D)

    >>> weights, experts = np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([[1, 0], [0, 1]])
    >>> answers = [(np.array([0, 1]), np.array([[10.0], [20.0]])), (np.array([0, 1]), np.array([[1.0], [2.0]]))]
    >>> combine(weights, experts, answers).tolist()       # 0.75 * 1 + 0.25 * 10, 0.5 * 20 + 0.5 * 2
    [[3.25], [11.0]]
    """
    y = np.zeros((len(weights), answers[0][1].shape[1]), answers[0][1].dtype)
    for e, (tokens, said) in enumerate(answers):
        counted = weights[experts == e]
        y[tokens] += counted[:, None] * said
    return y


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "even: half of what it should be when two experts are chosen": (
            "f counts assignments for each token, so it sums to k, not to 1: divide by the tokens, not by N k."
        ),
        "formula: P was computed from the chosen experts only": (
            "P_e is the mean probability of expert e among all experts, chosen or not."
        ),
        "logits_far_apart: got nan, an overflow": "Subtract each token's own maximum before exp: max(axis=1).",
        "padding: padded tokens were counted": (
            "The mask concerns three places: the assignments, the probabilities, and the number of tokens."
        ),
    },
    why="""f is what happens and has no slope; P has one, but could be even while everything goes to one expert by
    a hair. Their product has the slope of P with f as its weight: probability is taken from experts in proportion to
    the work they do.""",
)
def balancing_loss(logits: np.ndarray, experts: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The load-balancing loss E · Σ_e f_e P_e of one layer.

    logits: (N, E) of the router
    experts: (N, k) integers, those chosen
    mask: (N,) booleans, False for padding, which does not count at all; None: every token counts
    returns: a Python float; f_e is the number of assignments to e divided by the number of tokens, P_e the mean over
             the tokens of the softmax over all experts

    >>> round(balancing_loss(np.log([[3.0, 1.0], [3.0, 1.0]]), np.array([[0], [0]])), 6)       # 2 * (1 * 3/4)
    1.5
    """
    if mask is not None:
        logits, experts = logits[mask], experts[mask]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean = (e / e.sum(axis=1, keepdims=True)).mean(axis=0)
    share = np.bincount(experts.ravel(), minlength=logits.shape[1]) / len(logits)
    return float(logits.shape[1] * (share * mean).sum())
