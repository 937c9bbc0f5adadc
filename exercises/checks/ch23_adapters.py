"""What the grader looks at in chapter 23. Nothing is hidden: read on if a message leaves you wondering.

Expected values are sums over single entries, or come from the dense matrix that a branch stands for.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_separate, check_that, inputs_stay_unchanged


def dense(A, B, scale):
    """scale · A B, entry by entry."""
    found = np.zeros((A.shape[0], B.shape[1]))
    for i in range(A.shape[0]):
        for o in range(B.shape[1]):
            found[i, o] = scale * sum(float(A[i, r]) * float(B[r, o]) for r in range(A.shape[1]))
    return found


# --- lora ---


@check("lora")
def by_hand(lora):
    """two inputs, three outputs, rank 2, alpha 6: the scale is 3"""
    x, weight = np.array([[2.0, 1.0]]), np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])
    A, B = np.array([[1.0, 0.0], [0.0, 4.0]]), np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]])
    base, branch = np.array([[2.0, 1.0, 15.0]]), np.array([[2.0, 16.0, 4.0]])
    causes = {
        "the scale is missing": base + branch,
        "the branch is scaled by alpha alone": base + 6 * branch,
        "the scale is alpha / sqrt(r), which only the stabilised form has": base + 6 / math.sqrt(2) * branch,
        "the matrix itself is missing": 3 * branch,
        "the branch is missing": base,
        "the branch is subtracted": base - 3 * branch,
        "the matrix is scaled as well": 3 * (base + branch),
    }
    check_close("the outputs", lora(x, weight, A, B, 6), base + 3 * branch, 1e-9, causes)


@check("lora")
def stabilised(lora, rng):
    """alpha over the root of the rank, rank 4"""
    x, weight, A, B = (rng.normal(size=s) * 5 for s in ((3, 5), (5, 6), (5, 4), (4, 6)))
    expected = x @ weight + x @ dense(A, B, 8 / 2)
    causes = {
        "the scale is alpha / r": x @ weight + x @ dense(A, B, 2),
        "it is alpha / r²": x @ weight + x @ dense(A, B, 0.5),
    }
    check_close("the outputs", lora(x, weight, A, B, 8, True), expected, 1e-8, causes)


@check("lora")
def any_shape_of_x(lora, rng):
    """a single row, and (batch, tokens, inputs); rank 1; more outputs than inputs"""
    weight, A, B = (rng.normal(size=s) * 5 for s in ((4, 7), (4, 1), (1, 7)))
    whole = weight + dense(A, B, 3)
    for shape in ((4,), (1, 4), (2, 3, 4)):
        x = rng.normal(size=shape) * 5
        check_close(f"the outputs for x {shape}", lora(x, weight, A, B, 3), x @ whole, 1e-8)


@check("lora")
def at_the_start(lora, rng):
    """B of zeros: the layer as it is"""
    x, weight, A = (rng.normal(size=s) * 5 for s in ((3, 5), (5, 6), (5, 2)))
    check_close("the outputs", lora(x, weight, A, np.zeros((2, 6)), 16), x @ weight, 1e-12)


@check("lora")
def keeps_float32(lora, rng):
    """float32 in and out, with either scale"""
    x, weight, A, B = ((rng.normal(size=s) * 5).astype(np.float32) for s in ((3, 5), (5, 6), (5, 3), (3, 6)))
    for flag, scale in ((False, 4 / 3), (True, 4 / math.sqrt(3))):
        expected = (x.astype(float) @ (weight + dense(A, B, scale))).astype(np.float32)
        check_close("the outputs", lora(x, weight, A, B, 4, flag), expected, 1e-2)


# --- merge_lora ---


@check("merge_lora")
def by_hand_merged(merge_lora):
    """two inputs, three outputs, rank 2, alpha 6"""
    weight = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])
    A, B = np.array([[1.0, 0.0], [0.0, 4.0]]), np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]])
    product = np.array([[1.0, 2.0, 0.0], [0.0, 12.0, 4.0]])
    causes = {
        "the adapter was taken away": weight - 3 * product,
        "the product is scaled by alpha alone": weight + 6 * product,
        "the scale is missing": weight + product,
        "the scale is alpha / sqrt(r), which only the stabilised form has": weight + 6 / math.sqrt(2) * product,
        "the matrix itself is missing": 3 * product,
        "nothing was merged": weight,
    }
    check_close("the matrix", merge_lora(weight, A, B, 6), weight + 3 * product, 1e-9, causes)


@check("merge_lora")
def same_outputs(merge_lora, rng):
    """what the merged matrix makes of x is what matrix and branch made"""
    for outputs, rank, flag in ((6, 2, False), (5, 4, True), (1, 1, False)):
        weight, A, B, x = (rng.normal(size=s) * 5 for s in ((5, outputs), (5, rank), (rank, outputs), (4, 5)))
        scale = 7 / (math.sqrt(rank) if flag else rank)
        expected = x @ weight + scale * ((x @ A) @ B)
        causes = {}
        if outputs == 5 and rank == 5:
            causes["B A instead of A B"] = x @ (weight + scale * B @ A)
        merged = merge_lora(weight, A, B, 7, flag)
        check_equal("the shape of the matrix", np.shape(merged), weight.shape)
        check_close(f"x @ merged, rank {rank}", x @ merged, expected, 1e-8, causes)


@check("merge_lora")
def square_everything(merge_lora, rng):
    """rank, inputs and outputs all 3: the order of the product shows"""
    weight, A, B = (rng.normal(size=(3, 3)) * 5 for _ in range(3))
    causes = {"B A instead of A B": weight + 2 * (B @ A), "A or B is turned": weight + 2 * (A.T @ B)}
    check_close("the matrix", merge_lora(weight, A, B, 6), weight + dense(A, B, 2), 1e-9, causes)


@check("merge_lora")
def a_new_float32_matrix(merge_lora, rng):
    """float32 stays, and the base is left alone"""
    weight, A, B = ((rng.normal(size=s) * 5).astype(np.float32) for s in ((4, 6), (4, 3), (3, 6)))
    for flag, scale in ((False, 1 / 3), (True, 1 / math.sqrt(3))):
        expected = (weight + dense(A, B, scale)).astype(np.float32)
        check_close("the matrix", merge_lora(weight, A, B, 1, flag), expected, 1e-3)
    result = merge_lora.raw(weight, A, 0 * B, 1)
    check_separate("the matrix", result, weight)


# --- merge_ia3 ---


@check("merge_ia3")
def outputs_by_hand(merge_ia3):
    """factors of outputs: columns, and the bias with them"""
    weight, bias, factors = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]), np.array([2.0, -3.0])
    right, rows = np.array([[2.0, -6.0], [6.0, -12.0]]), np.array([[2.0, 4.0], [-9.0, -12.0]])
    got = merge_ia3(weight, bias, factors, "outputs")
    check_that(isinstance(got, (tuple, list)) and len(got) == 2, "two things are returned: weight and bias")
    check_close("the weight", got[0], right, 1e-9, {"rows instead of columns": rows, "nothing changed": weight})
    causes = {"the bias is not multiplied": bias, "the bias is missing": 0 * bias}
    check_close("the bias", got[1], np.array([20.0, -60.0]), 1e-9, causes)


@check("merge_ia3")
def inputs_by_hand(merge_ia3):
    """factors of inputs: rows, and the bias as it is"""
    weight, bias, factors = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]), np.array([2.0, -3.0])
    right, columns = np.array([[2.0, 4.0], [-9.0, -12.0]]), np.array([[2.0, -6.0], [6.0, -12.0]])
    got = merge_ia3(weight, bias, factors, "inputs")
    check_close("the weight", got[0], right, 1e-9, {"columns instead of rows": columns, "nothing changed": weight})
    check_close(
        "the bias", got[1], bias, 1e-9, {"the bias is multiplied": bias * factors, "the bias is missing": 0 * bias}
    )


@check("merge_ia3")
def same_layer(merge_ia3, rng):
    """inputs and outputs of different number; with and without a bias"""
    weight, bias, x = (rng.normal(size=s) * 5 for s in ((3, 5), (5,), (4, 3)))
    for side, size in (("outputs", 5), ("inputs", 3)):
        factors = rng.normal(size=size) * 3
        expected = (x @ weight + bias) * factors if side == "outputs" else (x * factors) @ weight + bias
        new, shift = merge_ia3(weight, bias, factors, side)
        check_close(f"the layer's outputs, factors of {side}", x @ new + shift, expected, 1e-8)
        new, shift = merge_ia3(weight, None, factors, side)
        check_that(shift is None, f"without a bias there is none afterwards; got {shift!r}")
        check_close(
            f"without a bias, factors of {side}",
            x @ new,
            expected - (bias * factors if side == "outputs" else bias),
            1e-8,
        )


@check("merge_ia3")
def keeps_float32_of_factors(merge_ia3, rng):
    """float32 in and out; new arrays"""
    weight, bias = ((rng.normal(size=s) * 5).astype(np.float32) for s in ((4, 4), (4,)))
    factors = rng.normal(size=4).astype(np.float32)
    for side in ("outputs", "inputs"):
        new, shift = merge_ia3.raw(weight, bias, factors, side)
        turned = factors[:, None] if side == "inputs" else factors
        check_close("the weight", new, weight * turned, 1e-5)
        check_close("the bias", shift, bias * factors if side == "outputs" else bias, 1e-5)
        check_separate("the weight", new, weight)
        check_separate("the bias", shift, bias)


# --- prefix_attention ---


def slowly(q, k, v, pk, pv, offset=0, scale=None):
    """One query after the other, over lists."""
    rows = []
    for t in range(len(q)):
        keys, values = [*pk, *k[: t + 1 + offset]], [*pv, *v[: t + 1 + offset]]
        scores = [float(np.dot(q[t], key)) * (q.shape[1] ** -0.5 if scale is None else scale) for key in keys]
        largest = max(scores)
        e = [math.exp(s - largest) for s in scores]
        rows.append(sum(a / sum(e) * value for a, value in zip(e, values)))
    return np.array(rows)


@check("prefix_attention")
def by_hand_attention(prefix_attention):
    """one token and one prefix key, width 4"""
    q, k, v = np.array([[2.0, 0, 0, 0]]), np.array([[1.0, 0, 0, 0]]), np.array([[8.0, 0, 0, 0]])
    pk, pv = np.array([[2.0, 0, 0, 0]]), np.array([[0, 8.0, 0, 0]])
    none = np.zeros((0, 4))
    e1, e2 = math.exp(1.0), math.exp(2.0)  # scores 2/2 and 4/2
    expected = np.array([[8 * e1 / (e1 + e2), 8 * e2 / (e1 + e2), 0, 0]])
    causes = {
        "the prefix is missing": slowly(q, k, v, none, none),
        "the scores are not divided by the root of the width": slowly(q, k, v, pk, pv, scale=1.0),
        "the scores are divided by the width": slowly(q, k, v, pk, pv, scale=0.25),
        "the values of prefix and text are exchanged": slowly(q, k, pv, pk, v),
        "the prefix's values are used as keys": slowly(q, k, v, pv, pv),
    }
    check_close("the output", prefix_attention(q, k, v, pk, pv), expected, 1e-9, causes)


@check("prefix_attention")
def every_query_sees_the_prefix(prefix_attention, rng):
    """four tokens, three prefix keys"""
    q, k, v = (rng.normal(size=(4, 6)) * 3 for _ in range(3))
    pk, pv = (rng.normal(size=(3, 6)) * 3 for _ in range(2))
    late = np.array([slowly(q[t : t + 1], [], [], np.concatenate([pk, k])[: t + 1], np.concatenate([pv, v])[: t + 1])[0]
                     for t in range(4)])  # fmt: skip
    causes = {"the prefix was masked as if it came later": late}
    check_close("the outputs", prefix_attention(q, k, v, pk, pv), slowly(q, k, v, pk, pv), 1e-8, causes)


@check("prefix_attention")
def no_future(prefix_attention, rng):
    """a later key that scores 1e4 higher changes nothing before it"""
    q, k, v = (np.abs(rng.normal(size=(5, 4))) * 3 + 1 for _ in range(3))
    pk, pv = (rng.normal(size=(2, 4)) for _ in range(2))
    expected = slowly(q, k, v, pk, pv)
    k, v = k.copy(), v.copy()
    k[4] += 5_000.0
    v[4] -= 777.0
    got = prefix_attention(q, k, v, pk, pv)
    check_close(
        "the outputs before it", got[:4], expected[:4], 1e-8, {"a later key is seen": slowly(q, k, v, pk, pv, 4)[:4]}
    )
    check_close("the output at it", got[4:], slowly(q, k, v, pk, pv)[4:], 1e-6)


@check("prefix_attention")
def without_a_prefix(prefix_attention, rng):
    """P = 0 is plain causal attention; one token; P larger than T"""
    for tokens, held in ((4, 0), (1, 0), (1, 5), (2, 6)):
        q, k, v = (rng.normal(size=(tokens, 3)) * 3 for _ in range(3))
        pk, pv = (rng.normal(size=(held, 3)) * 3 for _ in range(2))
        name = f"{tokens} tokens, {held} prefix keys"
        check_close(name, prefix_attention(q, k, v, pk, pv), slowly(q, k, v, pk, pv), 1e-8)


@check("prefix_attention")
def large_scores(prefix_attention):
    """scores near ±28,000 in different rows: one maximum for all would not do, nor a mask of -10,000; float32 stays"""
    q = np.array([[1000.0, 0], [-1000.0, 0], [0, 1.0]], np.float32)
    k = np.array([[40.0, 0], [41.0, 0], [0, 1.0]], np.float32)
    v = np.array([[10.0, 20], [30, 40], [50, 60]], np.float32)
    pk, pv = np.array([[42.0, 0.0]], np.float32), np.array([[-70.0, 80.0]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        got = prefix_attention(q, k, v, pk, pv)
    check_close("the outputs", got, slowly(q, k, v, pk, pv).astype(np.float32), 1e-2)


# --- combine_lora ---


def pairs_of(rng, *ranks, inputs=4, outputs=5):
    return [(rng.normal(size=(inputs, r)) * 3, rng.normal(size=(r, outputs)) * 3, 1.0) for r in ranks]


@check("combine_lora")
def sum_of_two(combine_lora, rng):
    """two pairs of rank 2, weights 0.5 and 2"""
    one, two = pairs_of(rng, 2, 2)
    expected = 0.5 * dense(*one) + 2 * dense(*two)
    A, B = combine_lora([one, two], [0.5, 2.0])
    causes = {
        "A and B are added, not put beside each other": (one[0] + two[0]) @ (one[1] + two[1]),
        "A and B are added, each times the root of its weight": (
            0.5**0.5 * one[0] + 2**0.5 * two[0]
        ) @ (0.5**0.5 * one[1] + 2**0.5 * two[1]),
        "the weights went to the second power": 0.25 * dense(*one) + 4 * dense(*two),
        "the weights are missing": dense(*one) + dense(*two),
        "the weights are exchanged": 2 * dense(*one) + 0.5 * dense(*two),
        "only the first is there": 0.5 * dense(*one),
    }  # fmt: skip
    check_close("A @ B", A @ B, expected, 1e-8, causes)
    check_equal("the shapes of A and B", (A.shape, B.shape), ((4, 4), (4, 5)))


@check("combine_lora")
def different_scales(combine_lora, rng):
    """scales 4 and 0.25, as with other alphas; ranks 1 and 3"""
    (A1, B1, _), (A2, B2, _) = pairs_of(rng, 1, 3)
    A, B = combine_lora([(A1, B1, 4.0), (A2, B2, 0.25)], [1.0, 1.0])
    causes = {
        "the scales are missing": dense(A1, B1, 1) + dense(A2, B2, 1),
        "all have the first one's scale": dense(A1, B1, 4) + dense(A2, B2, 4),
        "divided by the scales": dense(A1, B1, 0.25) + dense(A2, B2, 4),
    }
    check_close("A @ B", A @ B, dense(A1, B1, 4) + dense(A2, B2, 0.25), 1e-8, causes)


@check("combine_lora")
def a_negative_weight(combine_lora, rng):
    """taking one away: 1 and -1; and three at once with a weight of zero"""
    one, two, three = pairs_of(rng, 2, 1, 3)
    with np.errstate(invalid="raise"):
        A, B = combine_lora([one, two], [1.0, -1.0])
    check_close("A @ B", A @ B, dense(*one) - dense(*two), 1e-8, {"the sign is lost": dense(*one) + dense(*two)})
    A, B = combine_lora([one, two, three], [0.3, 0.0, -0.2])
    check_close("A @ B of three", A @ B, 0.3 * dense(*one) - 0.2 * dense(*three), 1e-8)


@check("combine_lora")
def one_alone(combine_lora, rng):
    """a single pair at weight 1 is what it was; float32 stays"""
    A1, B1, _ = (np.float32(x) for x in pairs_of(rng, 3)[0])
    A, B = combine_lora([(A1, B1, 1.5)], [1.0])
    check_close("A @ B", A @ B, dense(A1, B1, 1.5).astype(np.float32), 1e-3)


inputs_stay_unchanged("lora", "merge_lora", "merge_ia3", "prefix_attention", "combine_lora")
