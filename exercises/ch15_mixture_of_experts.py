"""Chapter 15 exercises: routing tokens to a few of many experts, and keeping the experts evenly busy.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. What an expert
computes does not matter here; it maps the rows it is given. Logits may be of any size, in every row another one.

Symbols: N tokens, D numbers each, E experts, k of them chosen for each token.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch15              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch15 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 4: easy, about 15 minutes, 2 points
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
    raise NotImplementedError("top_k_routing")


# Task 2 of 4: medium, about 15 minutes, 2 points
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
    raise NotImplementedError("dispatch")


# Task 3 of 4: medium, about 25 minutes, 3 points
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
    raise NotImplementedError("combine")


# Task 4 of 4: medium, about 25 minutes, 3 points
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
    raise NotImplementedError("balancing_loss")
