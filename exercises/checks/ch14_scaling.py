"""What the grader looks at in chapter 14. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, or found by brute force: one token, one run, one split of the budget at a time.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_raises, check_that, inputs_stay_unchanged

# --- training_flops ---


def one_by_one(config, length):
    """Token by token, matrix by matrix."""
    d, f = config["hidden_size"], config["intermediate_size"]
    narrow = d // config["num_attention_heads"] * config["num_key_value_heads"]
    total = 0
    for token in range(length):
        for _ in range(config["num_hidden_layers"]):
            for rows, columns in ((d, d), (d, narrow), (d, narrow), (d, d), (d, f), (d, f), (f, d)):
                total += 2 * rows * columns
            for _ in range(token + 1):
                total += 2 * d + 2 * d
        total += 2 * d * config["vocab_size"]
    return 3 * total


def config_of(d, f, layers, heads, narrow, vocabulary):
    return {
        "hidden_size": d, "intermediate_size": f, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": narrow, "vocab_size": vocabulary,
    }  # fmt: skip


@check("training_flops")
def by_hand_flops(training_flops):
    """one layer of width 8, two tokens"""
    config = config_of(8, 20, 1, 2, 2, 50)
    # matrices: 4·64 + 3·160 = 736, head 400; attention: (1 + 2) tokens seen · 32
    forward = 2 * 2 * 1136 + 3 * 32
    causes = {
        "the forward pass alone": float(forward),
        "the backward pass counted once": 2.0 * forward,
        "one FLOP for a multiplication with its addition": 1.5 * forward,
        "the embedding was counted": 3.0 * (forward + 2 * 2 * 400),
        "the head is missing": 3.0 * (forward - 2 * 2 * 400),
        "attention is missing": 3.0 * (forward - 96),
        "two matrices in the feed-forward part, not three": 3.0 * (forward - 2 * 2 * 160),
        "every token was compared with all": 3.0 * (forward + 32),
    }
    check_close("the FLOPs", training_flops(config, 2), 3.0 * forward, 1e-6, causes)


@check("training_flops")
def grouped_keys(training_flops):
    """eight heads share two, or one, pair of keys and values"""
    for narrow in (2, 1):
        config = config_of(64, 96, 3, 8, narrow, 100)
        causes = {"keys and values as wide as queries": float(one_by_one({**config, "num_key_value_heads": 8}, 5))}
        expected = float(one_by_one(config, 5))
        check_close(f"the FLOPs with {narrow} key-value heads", training_flops(config, 5), expected, 1e-6, causes)


@check("training_flops")
def longer_texts(training_flops, rng):
    """random sizes, texts of 1 to 40 tokens"""
    for length in (1, 2, 7, 40):
        heads = int(rng.integers(1, 5))
        config = config_of(16 * heads, int(rng.integers(20, 90)), int(rng.integers(1, 5)), heads, 1, 60)
        expected = one_by_one(config, length)
        extra = 3 * 4 * config["num_hidden_layers"] * config["hidden_size"]
        causes = {}
        if length > 1:
            causes["every token was compared with all"] = float(expected + extra * (length * (length - 1) // 2))
            causes["a token does not see itself"] = float(expected - extra * length)
        check_close(f"the FLOPs of {length} tokens", training_flops(config, length), float(expected), 1e-6, causes)


@check("training_flops")
def a_real_one(training_flops):
    """LLaMA-2 7B at 4,095 tokens"""
    config = config_of(4096, 11008, 32, 32, 32, 32000)
    expected = 3.0 * 4095 * (2 * (32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096) + 32 * 4096 * 2 * 4096)
    check_close("the FLOPs", training_flops(config, 4095), expected, 1e-12 * expected)


# --- load_bytes ---


@check("load_bytes")
def by_hand_loaded(load_bytes):
    """320 numbers of 4 bits in blocks of 32, and 10 numbers of 16 bits"""
    causes = {
        "the scales are missing": 160,
        "the scales have 4 bytes": 200,
        "the scales have 1 byte": 170,
        "bits, not bytes": 1300,
        "one scale for all": 162,
    }
    check_equal("the bytes", load_bytes(320, 4, 32), 180, causes)
    check_equal("the bytes", load_bytes(10, 16), 20, {"bits, not bytes": 160})


@check("load_bytes")
def odd_numbers(load_bytes):
    """a block and a byte that are partly filled"""
    causes = {"rounded down": 16 + 2, "a whole block of codes was stored": 32 + 4}
    check_equal("33 numbers of 4 bits in blocks of 32", load_bytes(33, 4, 32), 17 + 4, causes)
    check_equal("3 numbers of 3 bits", load_bytes(3, 3), 2, {"rounded down": 1, "each number has bytes of its own": 3})
    check_equal("5 numbers of 2 bits in blocks of 2", load_bytes(5, 2, 2), 2 + 6)


@check("load_bytes")
def any_format(load_bytes, rng):
    """bits written one after the other"""
    for _ in range(20):
        n, bits, block = int(rng.integers(1, 500)), int(rng.integers(1, 17)), int(rng.integers(1, 70))
        filled = len(range(0, n * bits, 8)) + 2 * len(range(0, n, block))
        check_equal(f"{n} numbers of {bits} bits in blocks of {block}", load_bytes(n, bits, block), filled)


@check("load_bytes")
def very_many(load_bytes):
    """more than a float can count"""
    check_equal("10¹⁸ + 1 numbers of 8 bits", load_bytes(10**18 + 1, 8), 10**18 + 1)
    check_equal(
        "10¹⁸ + 1 numbers in blocks of 64", load_bytes(10**18 + 1, 4, 64), (10**18 + 2) // 2 + 2 * (10**18 // 64 + 1)
    )


# --- training_bytes ---


@check("training_bytes")
def by_hand_trained(training_bytes):
    """a thousand parameters with AdamW"""
    causes = {
        "the gradients are missing": 14_000,
        "the master copy is missing": 12_000,
        "the optimiser's numbers in 2 bytes": 12_000,
        "the optimiser's numbers are missing": 8_000,
        "the master copy is missing, and the gradients": 10_000,
    }
    check_equal("mixed", training_bytes(1000, "mixed", 2), 16_000, causes)
    causes = {
        "the gradients are missing": 12_000,
        "a second copy of the weights": 20_000,
        "the optimiser's numbers are missing": 8_000,
    }
    check_equal("float32", training_bytes(1000, "float32", 2), 16_000, causes)
    causes = {
        "a second copy of the weights": 12_000,
        "the optimiser's numbers in 4 bytes": 12_000,
        "the gradients are missing": 6_000,
    }
    check_equal("bfloat16", training_bytes(1000, "bfloat16", 2), 8_000, causes)


@check("training_bytes")
def other_optimisers(training_bytes, rng):
    """one number, none, three"""
    for kept in (0, 1, 3):
        n = int(rng.integers(1, 10**6))
        expected = {"float32": 8 * n, "bfloat16": 4 * n, "mixed": 8 * n}
        for precision, least in expected.items():
            each = 2 if precision == "bfloat16" else 4
            causes = {"two numbers whatever was asked": least + 2 * each * n}
            check_equal(
                f"{precision}, kept = {kept}", training_bytes(n, precision, kept), least + kept * each * n, causes
            )


@check("training_bytes")
def unknown_precision(training_bytes):
    """float8 is none of the three"""
    for name in ("float8", "", "Mixed"):
        check_raises(f"precision {name!r}", ValueError, training_bytes, 10, name, 2)


# --- optimal_allocation ---

LAWS = ((1.69, 406.4, 410.7, 0.34, 0.28), (1.8172, 482.01, 2085.43, 0.3478, 0.3658), (0.5, 9.0, 8000.0, 0.2, 0.8))


def by_search(flops, constants):
    """The best of finer and finer splits."""
    E, A, B, alpha, beta = constants
    low, high = 0.0, math.log(flops / 6)
    for _ in range(80):
        thirds = [low + (high - low) * k / 3 for k in (1, 2)]
        losses = [A / math.exp(x) ** alpha + B / (flops / 6 / math.exp(x)) ** beta for x in thirds]
        low, high = (low, thirds[1]) if losses[0] < losses[1] else (thirds[0], high)
    return math.exp(low)


@check("optimal_allocation")
def powers_alike(optimal_allocation):
    """A = B, alpha = beta: the square root"""
    n, d = optimal_allocation(6e20, (1.7, 400.0, 400.0, 0.3, 0.3))
    causes = {"C was not divided by 6": math.sqrt(6e20)}
    check_close("N", n, 1e10, 1.0, causes)
    check_close("D", d, 1e10, 1.0, causes)


@check("optimal_allocation")
def the_budget_is_spent(optimal_allocation):
    """6 · N · D = C"""
    for law in LAWS:
        for flops in (1e15, 5.76e23):
            n, d = optimal_allocation(flops, law)
            causes = {"C was not divided by 6": 6 * flops, "6ND is C² or so": flops**2}
            check_close("6 · N · D", 6 * n * d, flops, 1e-6 * flops, causes)


@check("optimal_allocation")
def no_split_is_better(optimal_allocation):
    """against a search over all splits"""
    for law in LAWS:
        E, A, B, alpha, beta = law
        for flops in (1e15, 5.76e23):
            best = by_search(flops, law)
            balance, share = (alpha * A / (beta * B)) ** (1 / (alpha + beta)), beta / (alpha + beta)
            causes = {
                "the powers were exchanged": balance * (flops / 6) ** (1 - share),
                "G was turned over": (flops / 6) ** share / balance,
                "alpha and beta are missing in G": (A / B) ** (1 / (alpha + beta)) * (flops / 6) ** share,
                "G lacks its power 1 / (alpha + beta)": alpha * A / (beta * B) * (flops / 6) ** share,
                "G is missing": (flops / 6) ** share,
            }
            n, d = optimal_allocation(flops, law)
            check_close(f"N at C = {flops:g}", n, best, 1e-5 * best, causes)
            check_close(f"D at C = {flops:g}", d, flops / 6 / best, 1e-5 * flops / 6 / best)


# --- huber_objective ---


def objective_alone(theta, log_sizes, log_tokens, log_losses, delta):
    """Run by run, with the whole of the standard library's precision."""
    a, b, e, alpha, beta = map(float, theta)
    total = []
    for size, tokens, loss in zip(log_sizes, log_tokens, log_losses):
        terms = [a - alpha * float(size), b - beta * float(tokens), e]
        top = max(terms)
        r = abs(top + math.log(math.fsum(math.exp(t - top) for t in terms)) - float(loss))
        total.append(r * r / 2 if r <= delta else delta * (r - delta / 2))
    return math.fsum(total)


def some_runs(rng, count, noise=0.05):
    sizes, tokens = rng.uniform(17, 24, count), rng.uniform(20, 27, count)
    theta = np.array([6.0, 6.2, 0.5, 0.34, 0.29])
    loss = np.log(1.69 + 406.4 * np.exp(-0.34 * sizes) + 410.7 * np.exp(-0.28 * tokens)) + noise * rng.normal(
        size=count
    )
    return theta, sizes, tokens, loss


@check("huber_objective")
def one_run(huber_objective):
    """a single run, far beyond delta, and one within"""
    theta, zero = np.array([math.log(300.0)] * 3 + [0.0, 0.0]), np.zeros(1)
    r = math.log(900.0)
    value, _ = huber_objective(theta, zero, zero, zero, 2.0)
    causes = {
        "the square went on for ever": r * r / 2,
        "delta · |r|, without the half of delta²": 2 * r,
        "the whole of delta² was taken away": 2 * (r - 2),
        "the residual alone": r,
        "the residual is that of losses, not of logarithms": 2 * (899 - 1.0),
    }
    check_close("the value beyond delta", value, 2 * (r - 1), 1e-9, causes)
    value, _ = huber_objective(theta, zero, zero, zero, 10.0)
    check_close("the value within delta", value, r * r / 2, 1e-9, {"the half is missing": r * r})


@check("huber_objective")
def many_runs(huber_objective, rng):
    """forty runs, the published delta and larger ones"""
    theta, *data = some_runs(rng, 40)
    for delta in (1e-3, 0.03, 5.0):
        value, _ = huber_objective(theta, *data, delta)
        expected = objective_alone(theta, *data, delta)
        causes = {"the mean over runs": 1e5 * expected / 40}
        check_close(f"100,000 · the value at delta = {delta}", 1e5 * value, 1e5 * expected, 1e-5, causes)


@check("huber_objective")
def slopes(huber_objective, rng):
    """the gradient against differences of the value, found another way; residuals of both signs"""
    theta, *data = some_runs(rng, 30)
    for delta in (1e-2, 5.0):
        _, gradient = huber_objective(theta, *data, delta)
        step, numeric = 1e-6, np.zeros(5)
        for k in range(5):
            moved = np.zeros(5)
            moved[k] = step
            up, down = (objective_alone(theta + s * moved, *data, delta) for s in (1, -1))
            numeric[k] = (up - down) / (2 * step)
        scale = 1e3 / np.abs(numeric).max()
        causes = {
            "the mean over runs": scale * numeric / 30,
            "the signs of the powers' slopes": scale * numeric * [1, 1, 1, -1, -1],
            "alpha's and beta's slopes were exchanged": scale * numeric[[0, 1, 2, 4, 3]],
        }
        check_close(
            f"the gradient, scaled, at delta = {delta}", scale * np.asarray(gradient), scale * numeric, 0.02, causes
        )


@check("huber_objective")
def large_terms(huber_objective):
    """terms of exp(800) and exp(-2000): finite, without a warning"""
    theta, zero = np.array([800.0, -2000.0, 1.0, 0.0, 0.0]), np.zeros(2)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, gradient = huber_objective(theta, zero, zero, zero, 1.0)
    check_close("the value", value, 2 * 799.5, 1e-6)
    check_close("100 · the gradient", 100 * np.asarray(gradient), np.array([200.0, 0, 0, 0, 0]), 1e-6)
    theta = np.array([-2000.0, -1500.0, -1200.0, 0.0, 0.0])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, gradient = huber_objective(theta, zero, zero, zero, 1.0)
    check_close("the value of small terms", value, 2 * 1199.5, 1e-6)
    check_close("100 · its gradient", 100 * np.asarray(gradient), np.array([0, 0, -200.0, 0, 0]), 1e-6)


@check("huber_objective")
def runs_far_apart(huber_objective):
    """a term of exp(750) in one run, of exp(-750) in the other: each has its own largest term"""
    theta, sizes = np.array([0.0, -9e3, -9e3, 1.0, 0.0]), np.array([-750.0, 750.0])
    value, _ = huber_objective(theta, sizes, np.zeros(2), np.zeros(2), 1.0)
    causes = {"one largest term for all runs": math.inf}
    check_close("the value", value, 2 * 749.5, 1e-6, causes)


# --- lowest_curve ---


def curve(*points):
    flops, loss = zip(*points)
    return np.array(flops, float), np.array(loss, float)


@check("lowest_curve")
def curves_that_reach(lowest_curve):
    """three runs that all have a loss there"""
    curves = [curve((1, 5.0), (1e4, 3.0)), curve((1, 6.0), (1e4, 1.0)), curve((1, 4.0), (1e4, 3.5))]
    causes = {"the highest, not the lowest": 0}
    check_equal("at 5,000", lowest_curve(5e3, curves), 1, causes)
    check_equal("at 2", lowest_curve(2.0, curves), 2, {"the highest, not the lowest": 1})


@check("lowest_curve")
def a_run_that_has_ended(lowest_curve):
    """a short run with a low end"""
    curves = [curve((1, 5.0), (100, 1.0)), curve((1, 6.0), (1e6, 2.0))]
    check_equal("at 1,000", lowest_curve(1e3, curves), 1, {"the last value was held": 0, "it was taken for none": -1})


@check("lowest_curve")
def a_run_that_has_not_begun(lowest_curve):
    """a run whose first point lies beyond, and is low"""
    curves = [curve((1, 5.0), (1e4, 3.0)), curve((500, 1.0), (1e4, 0.9))]
    check_equal("at 50", lowest_curve(50.0, curves), 0, {"the first value was held": 1, "it was taken for none": -1})


@check("lowest_curve")
def nobody_is_there(lowest_curve):
    """before all, after all, in the gap between two, and no run at all"""
    curves = [curve((10, 5.0), (100, 3.0)), curve((1000, 2.0), (2000, 1.0))]
    for budget in (1.0, 300.0, 1e4):
        check_equal(f"at {budget:g}", lowest_curve(budget, curves), -1)
    check_equal("of no runs", lowest_curve(5.0, []), -1)


@check("lowest_curve")
def both_ends_count(lowest_curve):
    """the first and the last point, and a run of one point"""
    curves = [curve((10, 5.0), (100, 1.0)), curve((10, 6.0), (1000, 4.0)), curve((50, 0.5))]
    check_equal("at 100", lowest_curve(100.0, curves), 0, {"a curve that ends there was left out": 1})
    check_equal("at 10", lowest_curve(10.0, curves), 0, {"a curve that begins there was left out": -1})
    check_equal("at 50", lowest_curve(50.0, curves), 2)


@check("lowest_curve")
def places_in_the_list(lowest_curve):
    """runs that do not reach stand before the one that does; of equal ones the first"""
    short = curve((1, 9.0), (2, 8.0))
    curves = [
        short,
        short,
        curve((1, 6.0), (1e4, 4.0)),
        short,
        curve((1, 6.0), (1e4, 3.0)),
        curve((1, 6.0), (1e4, 3.0)),
    ]
    causes = {"the place among those that were left": 1, "the last of equal ones": 5}
    check_equal("at 5,000", lowest_curve(5e3, curves), 4, causes)


@check("lowest_curve")
def lines_over_the_logarithm(lowest_curve):
    """between points, and not between FLOPs but between their logarithms"""
    curves = [curve((1, 4.0), (1e4, 0.0)), curve((1, 3.0), (1e4, 2.9))]
    check_equal("at 1,000", lowest_curve(1e3, curves), 0, {"the line was drawn over FLOPs, not their logarithm": 1})
    curves = [curve((1, 3.0), (1e4, 2.0)), curve((1, 2.9), (100, 2.8), (200, 0.5), (1e4, 0.4))]
    check_equal("at 90", lowest_curve(90.0, curves), 0, {"the nearest point was taken": 1})
    for got in (lowest_curve(90.0, curves),):
        check_that(type(got) is int, "the place must be a whole number of Python", "int(...)")


inputs_stay_unchanged("training_flops", "huber_objective", "lowest_curve")
