"""Chapter 14 exercises: what a model costs, and how large it should be.

A multiplication and an addition are two FLOPs. Losses are nats a token; N is a number of parameters, D of tokens, and a
training run costs C = 6ND. No array and no dictionary that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch14              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch14 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 6: medium, about 20 minutes, 3 points
def training_flops(config: dict, length: int) -> int:
    """FLOPs of training a LLaMA on one text of `length` tokens: forward and backward.

    config: "hidden_size" d, "intermediate_size" f, "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "vocab_size". A layer has matrices for queries (d, d), keys and values (d, key-value heads · d / heads), the output
    (d, d), and three of (d, f); the head is (d, vocabulary). Attention is two products for each token with every token
    that it sees, itself and those before it: q · k, and weight · v, in all heads together d wide. Norms, activations
    and the embedding, which is looked up, do not count. The backward pass costs twice the forward.

    >>> small = {"hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "vocab_size": 10}
    >>> training_flops({**small, "num_attention_heads": 2, "num_key_value_heads": 2}, 1)     # 3 · (2 · 176 + 16)
    1104
    """
    raise NotImplementedError("training_flops")


# Task 2 of 6: easy, about 10 minutes, 2 points
def load_bytes(parameters: int, bits: int, block: int | None = None) -> int:
    """Bytes of a model whose numbers have `bits` bits each.

    block: so many numbers share a scale of 2 bytes; the last block may be partly filled, and has one as well. None:
    there are no scales. The codes stand one after the other, without gaps; a byte that is
    partly filled counts whole.
    returns: a whole number, exact however large.

    >>> load_bytes(64, 4, 32), load_bytes(7, 4)
    (36, 4)
    """
    raise NotImplementedError("load_bytes")


# Task 3 of 6: easy, about 10 minutes, 2 points
def training_bytes(parameters: int, precision: str, kept: int) -> int:
    """Bytes of weights, gradients, and what the optimiser remembers, without activations.

    kept: numbers the optimiser remembers for each parameter. precision:

        "float32"   all of it in 4 bytes
        "bfloat16"  all of it in 2 bytes
        "mixed"     weights and gradients in 2; a copy of the weights, and what the optimiser remembers, in 4

    Raises ValueError for another precision.

    >>> training_bytes(10, "mixed", kept=2)
    160
    """
    raise NotImplementedError("training_bytes")


# Task 4 of 6: medium, about 20 minutes, 3 points
def optimal_allocation(flops: float, constants: tuple[float, float, float, float, float]) -> tuple[float, float]:
    """Parameters N and tokens D with 6ND = flops that make E + A/N^alpha + B/D^beta smallest.

    constants: (E, A, B, alpha, beta); returns: (N, D), not rounded

    >>> n, d = optimal_allocation(6e20, (1.7, 400.0, 400.0, 0.3, 0.3))
    >>> print(f"{n:.4g} {d:.4g}")
    1e+10 1e+10
    """
    raise NotImplementedError("optimal_allocation")


# Task 5 of 6: hard, about 35 minutes, 4 points
def huber_objective(
    theta: np.ndarray, log_sizes: np.ndarray, log_tokens: np.ndarray, log_losses: np.ndarray, delta: float
) -> tuple[float, np.ndarray]:
    """What fitting a law makes small: the sum over runs of Huber(r), and its gradient.

    theta (5,): a, b, e, alpha, beta; the others (n,), logarithms of N, D and the measured loss. For each run
    r = log(exp(a - alpha · log N) + exp(b - beta · log D) + exp(e)) - log L, and
    Huber(r) = r² / 2 where |r| <= delta, delta · (|r| - delta / 2) elsewhere.
    returns: the sum, and its derivatives by theta (5,); without overflow for terms such as exp(800)

    >>> value, gradient = huber_objective(np.zeros(5), np.zeros(1), np.zeros(1), np.zeros(1), 0.5)
    >>> print(f"{value:.4f}", gradient.round(4) + 0.0)                  # r = log 3, beyond delta
    0.4243 [0.1667 0.1667 0.1667 0.     0.    ]
    """
    raise NotImplementedError("huber_objective")


# Task 6 of 6: medium, about 20 minutes, 3 points
def lowest_curve(budget: float, curves: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Find the bug: whose training curve is the lowest where `budget` FLOPs have been spent?

    This is how it was written. It crashes on nothing, and it is wrong:

        def lowest_curve(budget, curves):
            losses = [np.interp(np.log(budget), np.log(flops), loss) for flops, loss in curves]
            return int(np.argmin(losses))

    curves: (flops (t,), loss (t,)) of each run, flops growing, t at least 1 and different from run to run. Between two
    points a loss is a line over log(flops); a run has no loss before its first point and after its last. Write it
    right.
    returns: the place in the list, of equally low ones the first; -1 if no run has a loss there

    >>> short, long = (np.array([1.0, 10.0]), np.array([3.0, 2.0])), (np.array([1.0, 99.0]), np.array([4.0, 2.5]))
    >>> lowest_curve(50.0, [short, long])
    1
    """
    raise NotImplementedError("lowest_curve")
