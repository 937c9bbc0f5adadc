"""What the grader looks at in chapter 25. Nothing is hidden: read on if a message leaves you wondering.

Expected values come from single weights beside every number of their grid, from solving for the best of the later
weights, and from trying each scale on one output after the other.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_separate, check_that, inputs_stay_unchanged

# --- round_groups ---


def nearest(group, bits, with_zero=True):
    """Each weight of one group beside every number of its grid."""
    low, high = float(min(group)), float(max(group))
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1) or 1.0
    zero = round(-low / scale)
    numbers = [(code - zero) * scale for code in range(2**bits)]
    return [min(numbers, key=lambda number: abs(number - float(w))) for w in group]


def slowly(weight, bits, size, with_zero=True):
    rows = []
    for row in weight:
        rows.append(sum((nearest(row[i : i + size], bits, with_zero) for i in range(0, len(row), size)), []))
    return np.array(rows)


@check("round_groups")
def by_hand(round_groups):
    """two groups of three in 2 bits; the first is -1.5 … 1.5, whose largest would get code 4"""
    weight = np.array([[-1.5, 1.5, 0.4, 30.0, -60.0, 12.0]])
    causes = {
        "the codes are not limited": np.array([[-2.0, 2.0, 0.0, 30.0, -60.0, 0.0]]),
        "one scale for the whole row": np.array([[0.0, 0.0, 0.0, 30.0, -60.0, 0.0]]),
        "nothing was rounded": weight,
    }
    expected = np.array([[-2.0, 1.0, 0.0, 30.0, -60.0, 0.0]])
    check_close("the rounded weights", round_groups(weight, 2, 3), expected, 1e-9, causes)


@check("round_groups")
def random_groups(round_groups, rng):
    """weights of both signs, 2, 3, 4 and 8 bits, groups of a row, of four, and of one"""
    for bits, size in ((2, 12), (3, 4), (4, 6), (8, 12), (4, 1)):
        weight = rng.normal(size=(5, 12)) * 10
        causes = {"one scale for the whole row": slowly(weight, bits, 12)} if size != 12 else {}
        if bits > 2:
            causes["one level too many (2^bits)"] = _levels(weight, bits, size)
        expected = slowly(weight, bits, size)
        check_close(
            f"the weights in {bits} bits, groups of {size}", round_groups(weight, bits, size), expected, 1e-7, causes
        )


def _levels(weight, bits, size):
    groups = weight.reshape(len(weight), -1, size)
    low, high = (np.minimum(groups.min(-1, keepdims=True), 0), np.maximum(groups.max(-1, keepdims=True), 0))
    scale = np.where(high > low, (high - low) / 2**bits, 1)
    zero = np.rint(-low / scale)
    return ((np.clip(np.rint(groups / scale) + zero, 0, 2**bits - 1) - zero) * scale).reshape(weight.shape)


@check("round_groups")
def one_sided_groups(round_groups):
    """a group far above zero, and one far below: zero belongs to the range"""
    weight = np.array([[53.0, 55.0, 60.0, -53.0, -55.0, -60.0]])
    causes = {"zero is not in the range": slowly(weight, 4, 3, with_zero=False)}
    expected = np.array([[52.0, 56.0, 60.0, -52.0, -56.0, -60.0]])
    check_close("the rounded weights", round_groups(weight, 4, 3), expected, 1e-9, causes)


@check("round_groups")
def groups_of_zeros(round_groups):
    """a group of zeros beside an ordinary one: no warning, and zeros stay"""
    weight = np.array([[0.0, 0.0, 30.0, -15.0], [0.0, 0.0, 0.0, 0.0]])
    expected = np.array([[0.0, 0.0, 30.0, -15.0], [0.0, 0.0, 0.0, 0.0]])
    check_close("the rounded weights", round_groups(weight, 2, 2), expected, 1e-9)


@check("round_groups")
def keeps_float32(round_groups, rng):
    """float32 in and out"""
    weight = (rng.normal(size=(4, 8)) * 10).astype(np.float32)
    check_close("the rounded weights", round_groups(weight, 8, 4), slowly(weight, 8, 4).astype(np.float32), 0.02)


# --- hessian ---


def outer_products(rows):
    """One product of two entries after the other."""
    width = rows.shape[1]
    found = np.zeros((width, width))
    for a in range(width):
        for b in range(width):
            found[a, b] = 2 * sum(float(row[a]) * float(row[b]) for row in rows) / len(rows)
    return found


@check("hessian")
def by_hand_hessian(hessian):
    """three rows of two inputs"""
    inputs = np.array([[1.0, 2.0], [3.0, 0.0], [2.0, -4.0]])
    expected = np.array([[28.0, -12.0], [-12.0, 40.0]]) / 3
    causes = {
        "a sum, not a mean": 3 * expected,
        "the 2 is missing": expected / 2,
        "divided by the number of inputs instead of rows": 3 * expected / 2,
        "the mean was taken off, as in a covariance": np.array([[4.0, -4.0], [-4.0, 112 / 3]]) / 3,
        "only the diagonal": np.diag(np.diag(expected)),
    }
    check_close("the Hessian", hessian(inputs), expected, 1e-9, causes)


@check("hessian")
def one_row(hessian):
    """a single row: a matrix of rank one"""
    row = np.array([[1.0, -2.0, 5.0]])
    check_close("the Hessian", hessian(row), 2 * np.outer(row, row), 1e-9)


@check("hessian")
def batches(hessian, rng):
    """(texts, tokens, inputs): every token is a row"""
    inputs = rng.normal(size=(3, 7, 4)) * 5
    expected = outer_products(inputs.reshape(-1, 4))
    causes = {"divided by the number of texts": 7 * expected, "divided by the number of tokens of a text": 3 * expected}
    check_close("the Hessian", hessian(inputs), expected, 1e-8, causes)


@check("hessian")
def keeps_float32_of_inputs(hessian, rng):
    """float32 in and out"""
    inputs = (rng.normal(size=(9, 5)) * 5).astype(np.float32)
    check_close("the Hessian", hessian(inputs), outer_products(inputs).astype(np.float32), 1e-3)


# --- gptq_step ---


def problem(rng, outputs=4, inputs=6, dtype=np.float64):
    """Weights, a Hessian of inputs that move together, and the factor of its inverse."""
    mixed = rng.normal(size=(40, inputs)) @ (rng.normal(size=(inputs, inputs)) + np.eye(inputs))
    curvature = 2 * mixed.T @ mixed / 40 + 0.1 * np.eye(inputs)
    upper = np.linalg.cholesky(np.linalg.inv(curvature)).T
    weight = rng.normal(size=(outputs, inputs)) * 10
    return weight.astype(dtype), curvature, np.ascontiguousarray(upper).astype(dtype)


def settled(weight, curvature, i, scale, zero, bits):
    """The nearest number for column i, and the later columns that make ½ δ H δᵀ smallest with it."""
    new, codes = weight.astype(np.float64).copy(), []
    for row in range(len(weight)):
        numbers = [(code - float(zero[row])) * float(scale[row]) for code in range(2**bits)]
        codes.append(int(np.argmin(np.abs(np.array(numbers) - float(weight[row, i])))))
        new[row, i] = numbers[codes[-1]]
    moved = new[:, i] - weight[:, i]
    later = slice(i + 1, None)
    if i + 1 < weight.shape[1]:
        new[:, later] -= np.outer(moved, np.linalg.solve(curvature[later, later], curvature[later, i]))
    return np.array(codes, np.uint8), new


def grid(weight, bits):
    span = np.maximum(weight.max(axis=1), 0) - np.minimum(weight.min(axis=1), 0)
    scale = span / (2**bits - 1)
    return scale, np.rint(-np.minimum(weight.min(axis=1), 0) / scale)


@check("gptq_step")
def by_hand_step(gptq_step):
    """one row of three, the first rounded: 0.6 becomes 1, so -0.4 was lost"""
    upper = np.array([[2.0, 1.0, -4.0], [0.0, 1.0, 5.0], [0.0, 0.0, 1.0]])
    weight = np.array([[0.6, 2.0, -1.0]])
    codes, new = gptq_step(weight, upper, 0, np.array([1.0]), np.array([1.0]), 2)
    expected = np.array([[1.0, 2.2, -1.8]])
    causes = {
        "the error goes the wrong way": np.array([[1.0, 1.8, -0.2]]),
        "the error is not divided by upper[i, i]": np.array([[1.0, 2.4, -2.6]]),
        "nothing is passed on": np.array([[1.0, 2.0, -1.0]]),
        "column i is not rounded": np.array([[0.6, 2.2, -1.8]]),
        "the error is divided by upper[i, i] twice": np.array([[1.0, 2.1, -1.4]]),
    }
    check_close("the new weight", new, expected, 1e-9, causes)
    check_equal("the codes", codes, np.array([2], np.uint8))


@check("gptq_step")
def the_best_that_later_weights_can_do(gptq_step, rng):
    """every column of a random layer: later weights minimise the layer's error, earlier ones stay"""
    for bits, i in ((2, 0), (3, 2), (4, 4)):
        weight, curvature, upper = problem(rng)
        scale, zero = grid(weight, bits)
        codes, expected = settled(weight, curvature, i, scale, zero, bits)
        got_codes, new = gptq_step(weight, upper, i, scale, zero, bits)
        error = (weight[:, i] - expected[:, i]) / upper[i, i]
        column = expected.copy()
        column[:, i + 1 :] = weight[:, i + 1 :] - np.outer(error, upper[i + 1 :, i])
        causes = {"a column of upper instead of its row": column}
        check_close(f"the weight after column {i}", new, expected, 1e-6, causes)
        check_equal(f"the codes of column {i}", got_codes, codes)


@check("gptq_step")
def the_last_column(gptq_step, rng):
    """nothing comes after it"""
    weight, curvature, upper = problem(rng)
    scale, zero = grid(weight, 3)
    codes, expected = settled(weight, curvature, 5, scale, zero, 3)
    got_codes, new = gptq_step(weight, upper, 5, scale, zero, 3)
    check_close("the new weight", new, expected, 1e-8)
    check_equal("the codes", got_codes, codes)


@check("gptq_step")
def far_out(gptq_step, rng):
    """weights that have been pushed out of their range: the first or the last code, and a large error to pass on"""
    weight, curvature, upper = problem(rng)
    scale, zero = grid(weight, 2)
    weight = weight.copy()
    weight[:, 1] = [40.0, -45.0, 60.0, -80.0]
    codes, expected = settled(weight, curvature, 1, scale, zero, 2)
    got_codes, new = gptq_step(weight, upper, 1, scale, zero, 2)
    cause = {"the codes are not limited": np.rint(weight[:, 1] / scale) + zero}
    check_equal("the codes", got_codes, codes, {k: v.astype(np.uint8) for k, v in cause.items() if (v >= 0).all()})
    check_close("the new weight", new, expected, 1e-6)


@check("gptq_step")
def a_new_float32_weight(gptq_step, rng):
    """float32 in and out, the weight handed in left alone"""
    weight, curvature, upper = problem(rng, dtype=np.float32)
    scale, zero = grid(weight, 3)
    codes, expected = settled(weight, curvature, 2, scale, zero, 3)
    got_codes, new = gptq_step(weight, upper, 2, scale, zero, 3)
    check_close("the new weight", new, expected.astype(np.float32), 2e-3)
    check_equal("the codes", got_codes, codes)
    check_separate("the new weight", gptq_step.raw(weight, upper, 2, scale, zero, 3)[1], weight)


# --- awq_scale ---


def rounding(bits, size):
    return lambda weight: slowly(weight, bits, size).astype(weight.dtype)


def tried(weight, inputs, rounded, steps, mean=True, normal=True, floor=1e-4):
    """(alpha, scale, error) of every alpha, outputs one by one."""
    found = []
    size = [float(np.abs(column).mean() if mean else np.abs(column).max()) for column in inputs.T]
    for step in range(steps):
        scale = np.array([max(m ** (step / steps), floor) for m in size])
        scale = scale / math.sqrt(scale.max() * scale.min()) if normal else scale
        matrix = np.asarray(rounded((weight * scale).astype(weight.dtype)), np.float64) / scale
        lost = [float(x @ (new - old)) ** 2 for x in inputs for new, old in zip(matrix, weight)]
        found.append((step / steps, scale, sum(lost) / len(lost)))
    return found


def best(table):
    return min(table, key=lambda row: row[2])


def layer(rng, dtype=np.float64):
    """Inputs of very different size, so that the best alpha is neither the first nor the last."""
    while True:
        inputs = rng.normal(size=(30, 8)) * np.exp(1.5 * rng.normal(size=8))
        weight = rng.normal(size=(6, 8)) * 5
        table = tried(weight, inputs, rounding(3, 4), 10)
        errors = sorted(row[2] for row in table)
        if 0.1 < best(table)[0] < 0.8 and errors[1] > 1.02 * errors[0]:
            return weight.astype(dtype), inputs.astype(dtype), table


@check("awq_scale")
def by_hand_search(awq_scale):
    """one row, two inputs of 0.1 and 6.4, two values of alpha, weights rounded to whole numbers"""
    weight, inputs = np.array([[1.0, 0.3]]), np.array([[0.1, 6.4], [0.1, -6.4]])
    alpha, scale = awq_scale(weight, inputs, np.rint, 2)
    expected = np.array([8**-0.5, 8**0.5])
    causes = {
        "the scale is not normalised": np.array([0.1**0.5, 6.4**0.5]),
        "it is upside down: the weights of large inputs must grow": 1 / expected,
        "alpha 0 looked better: are the weights scaled back after rounding?": np.ones(2),
    }
    check_close("the scale", scale, expected, 1e-9, causes)
    check_close("alpha", alpha, 0.5, 1e-9)


@check("awq_scale")
def a_random_layer(awq_scale, rng):
    """a layer in 3 bits, groups of four, ten values of alpha"""
    weight, inputs, table = layer(rng)
    alpha, scale = awq_scale(weight, inputs, rounding(3, 4), 10)
    right = best(table)
    causes = {f"that is the scale of alpha {row[0]}, with an error of {row[2]:.3g}": row[1] for row in table}
    causes.pop(f"that is the scale of alpha {right[0]}, with an error of {right[2]:.3g}", None)
    causes["the largest error was looked for"] = max(table, key=lambda row: row[2])[1]
    check_close("the scale", scale, right[1], 1e-6, causes)
    check_close("alpha", alpha, right[0], 1e-9)


@check("awq_scale")
def the_mean_counts(awq_scale):
    """an input with one spike, of mean 0.5 and largest value 50; rounded to multiples of the root of 1/2"""
    inputs = np.full((100, 2), 2.0)
    inputs[:, 0] = 0.0
    inputs[0, 0] = 50.0
    weight, root = np.array([[1.0, 1.0]]), 0.5**0.5

    def rounded(matrix):
        return np.rint(matrix / root) * root

    table = tried(weight, inputs, rounded, 4)  # alpha 1/2 makes the weights root and 2 · root
    alpha, scale = awq_scale(weight, inputs, rounded, 4)
    causes = {"the largest instead of the mean": best(tried(weight, inputs, rounded, 4, mean=False))[1]}
    check_close("the scale", scale, best(table)[1], 1e-9, causes)
    check_close("alpha", alpha, 0.5, 1e-9)


@check("awq_scale")
def nothing_to_gain(awq_scale, rng):
    """inputs of 1 and -1: every alpha gives the same scale, and the first is 0"""
    inputs = rng.choice([-1.0, 1.0], size=(20, 4))
    alpha, scale = awq_scale(rng.normal(size=(3, 4)) * 5, inputs, np.rint, 5)
    check_close("the scale", scale, np.ones(4), 1e-9)
    check_that(alpha == 0, f"alpha must be 0, got {alpha}", "where two alpha are equally good the smaller one stays.")


@check("awq_scale")
def dead_inputs(awq_scale, rng):
    """an input that is always zero: its scale is small, and neither zero nor infinite"""
    weight, inputs, _ = layer(rng)
    inputs = inputs.copy()
    inputs[:, 3] = 0
    table = tried(weight, inputs, rounding(3, 4), 10)
    alpha, scale = awq_scale(weight, inputs, rounding(3, 4), 10)
    check_that(bool(np.isfinite(scale).all()), "the scale holds numbers that are not finite", "at least 1e-4 first.")
    chosen = [row for row in table if row[0] == alpha]
    check_that(len(chosen) == 1, f"alpha must be one of 0, 0.1 … 0.9, got {alpha}")
    check_close("the scale", scale, best(table)[1], 1e-6)


@check("awq_scale")
def keeps_float32_of_scale(awq_scale, rng):
    """float32 in and out"""
    weight, inputs, table = layer(rng, np.float32)
    alpha, scale = awq_scale(weight, inputs, rounding(3, 4), 10)
    check_close("alpha", alpha, best(table)[0], 1e-6)
    check_close("the scale", scale, best(table)[1].astype(np.float32), 1e-4)


# --- fold_scale ---


@check("fold_scale")
def by_hand_fold(fold_scale):
    """a norm with a bias, a matrix of two outputs"""
    weight, bias, matrix = np.array([1.0, 6.0]), np.array([4.0, -3.0]), np.array([[1.0, 2.0], [3.0, 5.0]])
    scale = np.array([2.0, 0.5])
    new, shift, [turned] = fold_scale(weight, bias, [matrix], scale)
    causes = {"the norm is multiplied and the matrices divided": weight * scale}
    check_close("the norm's weight", new, np.array([0.5, 12.0]), 1e-9, causes)
    check_close("the norm's bias", shift, np.array([2.0, -6.0]), 1e-9, {"the bias is left as it is": bias})
    causes = {"rows are scaled instead of columns": matrix * scale[:, None], "the matrix is as it was": matrix}
    check_close("the matrix", turned, np.array([[2.0, 1.0], [6.0, 2.5]]), 1e-9, causes)


@check("fold_scale")
def same_function(fold_scale, rng):
    """norm and three matrices of different size give what they gave, with and without a bias"""
    for with_bias in (True, False):
        normed = rng.normal(size=(7, 5))
        weight, scale = rng.normal(size=5) * 5, np.exp(rng.normal(size=5))
        bias = rng.normal(size=5) * 5 if with_bias else None
        matrices = [rng.normal(size=(n, 5)) * 5 for n in (5, 3, 1)]
        new, shift, turned = fold_scale(weight, bias, matrices, scale)
        check_that((shift is None) == (bias is None), "a bias out of nothing, or one that is lost")
        check_close("the norm's weight", new, weight / scale, 1e-9)
        check_equal("the number of matrices", len(turned), 3)
        for old, matrix in zip(matrices, turned):
            expected = (normed * weight + (0 if bias is None else bias)) @ old.T
            check_close(
                "what a matrix gives", (normed * new + (0 if shift is None else shift)) @ matrix.T, expected, 1e-8
            )


@check("fold_scale")
def keeps_float32_of_fold(fold_scale, rng):
    """float32 in and out, all arrays new"""
    weight, bias, matrix = ((rng.normal(size=s) * 5).astype(np.float32) for s in (4, 4, (3, 4)))
    scale = np.exp(rng.normal(size=4)).astype(np.float32)
    for given in (scale, np.ones(4, np.float32)):
        new, shift, [turned] = fold_scale.raw(weight, bias, [matrix], given)
        check_close("the norm's weight", new, weight / given, 1e-4)
        check_close("the norm's bias", shift, bias / given, 1e-4)
        check_close("the matrix", turned, matrix * given, 1e-4)
        for name, made, old in (("weight", new, weight), ("bias", shift, bias), ("matrix", turned, matrix)):
            check_separate(f"the {name}", made, old)


inputs_stay_unchanged("round_groups", "hessian", "gptq_step", "awq_scale", "fold_scale")
