"""Chapter 14 exercises: what a model costs, and how large it should be.

A multiplication and an addition are two FLOPs. Losses are nats a token; N is a number of parameters, D of tokens, and a
training run costs C = 6ND. No array and no dictionary that was handed in is changed.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_flops: the forward pass alone": "The backward pass costs twice the forward: three times in all.",
        "grouped_keys": "Keys and values are num_key_value_heads · (d / heads) wide; queries and attention are d.",
        "longer_texts: every token was compared with all": "Token t sees t keys: 1 + 2 + … + T pairs, not T².",
        "by_hand_flops: the embedding was counted": "The embedding is looked up; only the head multiplies.",
        "inputs_unchanged": "Read the config, do not write into it.",
    },
    why="""Every entry of a matrix is used once a token: two FLOPs forward, and four backward, since the gradient of the
    input and that of the matrix are products of the same size. That is 6ND. Attention multiplies by nothing that is
    stored, so 6ND misses it; its share grows with the length of the text and falls with the width of the model.""",
)
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
    d, layers = config["hidden_size"], config["num_hidden_layers"]
    pairs = config["num_key_value_heads"] * d // config["num_attention_heads"]
    layer = 2 * d * d + 2 * d * pairs + 3 * d * config["intermediate_size"]
    matrices = layers * layer + d * config["vocab_size"]
    seen = length * (length + 1) // 2
    forward = 2 * length * matrices + 4 * layers * d * seen
    return 3 * forward


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_loaded: the scales are missing": "Each block has one scale of 2 bytes beside its codes.",
        "odd_numbers": "Round up: a block that is partly filled has a scale, too, and half a byte is a byte.",
        "very_many: OverflowError": "Stay with whole numbers: -(-a // b) is a / b rounded up.",
        "very_many": "A float has 53 bits: above 9 · 10¹⁵ whole numbers get lost. Use // instead of /.",
    },
    why="""Four bits a parameter are never four: the scales are half a bit more with blocks of 32 (GGUF's Q4_0 has 18
    bytes for 32 numbers). The smaller the block, the better it fits its numbers, and the more its scales weigh. That
    trade is what quantisation formats are about.""",
)
def load_bytes(parameters: int, bits: int, block: int | None = None) -> int:
    """Bytes of a model whose numbers have `bits` bits each.

    block: so many numbers share a scale of 2 bytes; the last block may be partly filled, and has one as well. None:
    there are no scales. The codes stand one after the other, without gaps; a byte that is
    partly filled counts whole.
    returns: a whole number, exact however large.

    >>> load_bytes(64, 4, 32), load_bytes(7, 4)
    (36, 4)
    """
    codes = -(-parameters * bits // 8)
    scales = 0 if block is None else 2 * -(-parameters // block)
    return codes + scales


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_trained: the gradients are missing": "A gradient is as large as its weight.",
        "by_hand_trained: the master copy is missing": "In mixed precision updates are added up in a float32 copy.",
        "other_optimisers": "kept: how many numbers the optimiser remembers for a parameter, 2 for AdamW, 1 for Lion.",
        "unknown_precision": "Raise ValueError for a precision that is not one of the three.",
    },
    why="""Mixed precision computes faster, but it saves nothing here: 2 + 2 + 4 + 8 bytes are the same 16 as 4 + 4 + 8.
    What it halves are the activations. To save memory one changes the optimiser (Lion keeps one number, not two), or
    keeps everything in two bytes, which needs stochastic rounding, or trains a few parameters only.""",
)
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
    sizes = {"float32": (4, 4, 0, 4), "bfloat16": (2, 2, 0, 2), "mixed": (2, 2, 4, 4)}
    if precision not in sizes:
        raise ValueError(f"precision is one of {', '.join(sizes)}, not {precision!r}")
    weight, gradient, copy, state = sizes[precision]
    return parameters * (weight + gradient + copy + kept * state)


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "no_split_is_better": "Put D = C / 6N into the law, set the derivative by N to zero, and solve for N.",
        "no_split_is_better: the powers were exchanged": "N goes with β / (α + β), D with α / (α + β).",
        "the_budget_is_spent": "6 · N · D is C. Both powers are of C / 6, not of C.",
        "powers_alike": "With α = β, A = B both sides get the same: N = D = √(C / 6).",
    },
    why="""At the optimum the last FLOP buys as much as size as it would as data: αA/N^α = βB/D^β. E plays no part, and
    neither does C itself in the ratio of powers, so "ten times the compute" means the same at every size. With equal
    powers tokens and parameters grow alike, which is the rule of twenty tokens a parameter.""",
)
def optimal_allocation(flops: float, constants: tuple[float, float, float, float, float]) -> tuple[float, float]:
    """Parameters N and tokens D with 6ND = flops that make E + A/N^alpha + B/D^beta smallest.

    constants: (E, A, B, alpha, beta); returns: (N, D), not rounded

    >>> n, d = optimal_allocation(6e20, (1.7, 400.0, 400.0, 0.3, 0.3))
    >>> print(f"{n:.4g} {d:.4g}")
    1e+10 1e+10
    """
    _, A, B, alpha, beta = constants
    balance = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    budget = flops / 6
    return balance * budget ** (beta / (alpha + beta)), budget ** (alpha / (alpha + beta)) / balance


@task(
    points=4,
    difficulty="hard",
    minutes=35,
    hints={
        "one_run: the square went on for ever": "Beyond δ the Huber loss is a line, δ (|r| - δ/2).",
        "many_runs: the mean over runs": "The sum: an optimiser that waits for small gradients stops early on a mean.",
        "slopes": "dr/da is the share of the first term in the sum of exponentials; dr/dα is minus that times log N.",
        "slopes: the residuals were not clipped": "The derivative of the Huber loss is r inside, ±δ outside.",
        "large_terms: RuntimeWarning": "exp(800) overflows. Take the largest term out of all three first.",
    },
    why="""The logarithm makes an error of one percent count the same at a loss of 2 and of 4, the Huber loss lets a run
    that went wrong count once and not by its square, and δ = 10⁻³ is so small that nearly every run stands on the line:
    the fit is close to a median. The log-sum-exp keeps A = e^25, where the published search begins, harmless.""",
)
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
    a, b, e, alpha, beta = theta
    terms = np.stack([a - alpha * log_sizes, b - beta * log_tokens, np.full_like(log_losses, e)])
    top = terms.max(axis=0)
    shares = np.exp(terms - top)
    total = shares.sum(axis=0)
    r = top + np.log(total) - log_losses
    clipped = np.clip(r, -delta, delta)
    value = (clipped * (r - clipped / 2)).sum()
    p = shares / total
    slopes = np.stack([p[0], p[1], p[2], -p[0] * log_sizes, -p[1] * log_tokens])
    return float(value), slopes @ clipped


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "a_run_that_has_ended: the last value was held": "What does np.interp give beyond the last point? Try it.",
        "a_run_that_has_not_begun": "And before the first point?",
        "nobody_is_there: ValueError": "Where no curve reaches the budget the answer is -1.",
        "places_in_the_list": "Return the place in the list as it came, not among those that were left.",
        "both_ends_count": "A curve that ends exactly at the budget has a point there: it counts.",
    },
    why="""np.interp holds the first and the last value beyond its ends, without a word. A small model's short run
    then seems to stand at its final loss for ever, and wins at budgets where it never was: the envelope favours small
    models, and the exponent comes out too low. No shape is wrong, nothing is NaN. The cure for such faults is to ask
    of every function what it does outside of the data.""",
)
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
    losses = [
        np.interp(np.log(budget), np.log(flops), loss) if flops[0] <= budget <= flops[-1] else np.inf
        for flops, loss in curves
    ]
    if not np.isfinite(losses).any():
        return -1
    return int(np.argmin(losses))
