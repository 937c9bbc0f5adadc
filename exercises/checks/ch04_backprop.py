"""What the grader looks at in chapter 4. Nothing is hidden: read on if a message leaves you wondering.

Expected gradients are written as explicit sums or Jacobians, the long way round. Every gradient that is
handed in is random: a constant one would hide mistakes (softmax sends it to zero).
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_equal,
    check_that,
    inputs_stay_unchanged,
)

# --- unbroadcast ---


def add_up_copies(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Stretch an array of numbered places, then add every gradient to the place that its number names."""
    places = np.broadcast_to(np.arange(np.prod(shape, dtype=int)).reshape(shape), gradient.shape)
    total = np.zeros(np.prod(shape, dtype=int))
    for place, value in zip(places.ravel(), gradient.ravel(), strict=True):
        total[place] += value
    return total.reshape(shape)


def compare_unbroadcast(unbroadcast, rng, stretched, shape):
    gradient = rng.normal(size=stretched) + 0.5
    expected = add_up_copies(gradient, shape)
    copies = gradient.size / expected.size
    check_close(
        f"unbroadcast(gradient {stretched}, {shape})",
        unbroadcast(gradient, shape),
        expected,
        1e-9,
        {"the copies are averaged instead of added": expected / copies} if copies > 1 else {},
    )


@check("unbroadcast")
def sums_over_new_axes(unbroadcast, rng):
    """axes that broadcasting put in front are summed away"""
    compare_unbroadcast(unbroadcast, rng, (4, 3), (3,))
    compare_unbroadcast(unbroadcast, rng, (3, 3), (3,))  # square, so that the wrong axis has the right length
    compare_unbroadcast(unbroadcast, rng, (2, 3), ())


@check("unbroadcast")
def sums_over_stretched_axes(unbroadcast, rng):
    """axes of length 1 that were repeated are summed and stay, with length 1"""
    compare_unbroadcast(unbroadcast, rng, (4, 3), (4, 1))
    compare_unbroadcast(unbroadcast, rng, (4, 3), (1, 3))
    compare_unbroadcast(unbroadcast, rng, (2, 3, 4), (2, 1, 4))


@check("unbroadcast")
def both_at_once(unbroadcast, rng):
    """new axes and stretched ones in the same array"""
    compare_unbroadcast(unbroadcast, rng, (5, 2, 3, 4), (3, 1))
    compare_unbroadcast(unbroadcast, rng, (2, 3, 4), (1, 1))
    compare_unbroadcast(unbroadcast, rng, (3, 2, 2, 1), (1, 2, 1))


@check("unbroadcast")
def nothing_stretched(unbroadcast, rng):
    """a gradient that already has the shape keeps its values"""
    compare_unbroadcast(unbroadcast, rng, (2, 3), (2, 3))
    compare_unbroadcast(unbroadcast, rng, (1, 3), (1, 3))


@check("unbroadcast")
def keeps_float32(unbroadcast, rng):
    """float32 in, float32 out"""
    gradient = (rng.normal(size=(4, 2, 3)) + 0.5).astype(np.float32)
    check_close("the result", unbroadcast(gradient, (2, 1)), add_up_copies(gradient, (2, 1)).astype(np.float32), 1e-4)


# --- matmul_vjp ---


def matmul_gradients(gradient, a, b):
    """Both gradients term by term: y[p, i, j] = sum over k of a[p, i, k] b[p, k, j]."""
    batch = gradient.shape[:-2]
    wide_a = np.broadcast_to(a, batch + a.shape[-2:])
    wide_b = np.broadcast_to(b, batch + b.shape[-2:])
    da, db = np.zeros(wide_a.shape), np.zeros(wide_b.shape)
    for *p, i, j in np.ndindex(gradient.shape):
        p = tuple(p)
        for k in range(a.shape[-1]):
            da[(*p, i, k)] += gradient[(*p, i, j)] * wide_b[(*p, k, j)]
            db[(*p, k, j)] += gradient[(*p, i, j)] * wide_a[(*p, i, k)]
    return add_up_copies(da, a.shape), add_up_copies(db, b.shape)


def compare_matmul(matmul_vjp, rng, a_shape, b_shape, dtype=np.float64, tolerance=1e-9):
    a, b = rng.normal(size=a_shape).astype(dtype), rng.normal(size=b_shape).astype(dtype)
    gradient = rng.normal(size=np.matmul(a, b).shape).astype(dtype)
    da, db = (expected.astype(dtype) for expected in matmul_gradients(gradient, a, b))
    result = matmul_vjp(gradient, a, b)
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(f"the result must be a pair (da, db), got {type(result).__name__}.", "return da, db")
    shapes = f"for a {a_shape} and b {b_shape}"
    check_close(
        f"{shapes}: da",
        result[0],
        da,
        tolerance,
        {"this is db, da belongs first": db} if da.shape == db.shape else {},
    )
    check_close(f"{shapes}: db", result[1], db, tolerance)


@check("matmul_vjp")
def two_matrices(matmul_vjp, rng):
    """y = a @ b for two plain matrices"""
    compare_matmul(matmul_vjp, rng, (2, 3), (3, 4))
    compare_matmul(matmul_vjp, rng, (1, 1), (1, 2))


@check("matmul_vjp")
def square_matrices(matmul_vjp, rng):
    """square matrices, where no shape gives a mistake away"""
    compare_matmul(matmul_vjp, rng, (3, 3), (3, 3))


@check("matmul_vjp")
def batches(matmul_vjp, rng):
    """a batch of products"""
    compare_matmul(matmul_vjp, rng, (5, 2, 3), (5, 3, 4))
    compare_matmul(matmul_vjp, rng, (2, 2, 2, 2), (2, 2, 2, 2))


@check("matmul_vjp")
def broadcast_batches(matmul_vjp, rng):
    """one factor serves a whole batch, as a weight matrix does"""
    compare_matmul(matmul_vjp, rng, (5, 2, 3), (3, 4))
    compare_matmul(matmul_vjp, rng, (2, 3), (5, 3, 4))
    compare_matmul(matmul_vjp, rng, (3, 1, 2, 3), (4, 3, 2))


@check("matmul_vjp")
def keeps_float32_in_matmul(matmul_vjp, rng):
    """float32 in, float32 out"""
    compare_matmul(matmul_vjp, rng, (4, 2, 3), (3, 5), np.float32, 1e-4)


# --- softmax_vjp ---


def some_probabilities(rng, shape):
    weights = np.exp(rng.normal(size=shape))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def softmax_gradient(gradient, probabilities):
    """Row by row with the full Jacobian: dy_i/dx_j = y_i (1 if i == j else 0) - y_i y_j."""
    expected = np.zeros(gradient.shape)
    for row in np.ndindex(gradient.shape[:-1]):
        y = probabilities[row]
        expected[row] = gradient[row] @ (np.diag(y) - np.outer(y, y))
    return expected


@check("softmax_vjp")
def agrees_with_the_jacobian(softmax_vjp, rng):
    """one row: agrees with the full Jacobian"""
    y, gradient = some_probabilities(rng, (6,)), rng.normal(size=6)
    causes = {
        "only the diagonal of the Jacobian is used": y * (1 - y) * gradient,
        "each output is taken to depend on its own input alone": y * gradient,
    }
    check_close("the gradient of the logits", softmax_vjp(gradient, y), softmax_gradient(gradient, y), 1e-10, causes)


@check("softmax_vjp")
def rows_are_independent(softmax_vjp, rng):
    """several rows, square on purpose, and more axes: the sum runs along the last one"""
    for shape in ((4, 4), (2, 3, 5)):
        y, gradient = some_probabilities(rng, shape), rng.normal(size=shape)
        expected = softmax_gradient(gradient, y)
        causes = {
            "the sum runs over the first axis": y * (gradient - (gradient * y).sum(axis=0, keepdims=True)),
            "the sum runs over all axes": y * (gradient - (gradient * y).sum()),
        }
        if shape == (4, 4):
            causes["the sum has lost its axis: keepdims=True"] = y * (gradient - (gradient * y).sum(axis=-1))
        check_close(f"the gradient for shape {shape}", softmax_vjp(gradient, y), expected, 1e-10, causes)


@check("softmax_vjp")
def certain_and_large(softmax_vjp, rng):
    """probabilities of exactly 0 (masked positions), large gradients"""
    y = np.array([[0.5, 0.0, 0.5], [0.25, 0.75, 0.0]])
    gradient = 1e4 * rng.normal(size=(2, 3))
    check_close("the gradient of the logits", softmax_vjp(gradient, y), softmax_gradient(gradient, y), 1e-8)


@check("softmax_vjp")
def keeps_float32_in_softmax(softmax_vjp, rng):
    """float32 in, float32 out"""
    y, gradient = (
        some_probabilities(rng, (3, 4)).astype(np.float32),
        rng.normal(size=(3, 4)).astype(np.float32),
    )
    check_close("the gradient", softmax_vjp(gradient, y), softmax_gradient(gradient, y).astype(np.float32), 1e-5)


# --- topological_order ---


def check_order(order, root, inputs, name="the order"):
    """Any valid order is right, so the properties are checked, not one particular list."""
    if type(order) is not list:
        raise CheckFailed(
            f"{name} must be a list, got {type(order).__name__}.",
            "is there a `return`?" if order is None else "",
        )
    reachable, frontier = {root}, [root]
    while frontier:
        frontier = [p for node in frontier for p in inputs[node] if p not in reachable]
        reachable.update(frontier)
    place = {}
    for position, node in enumerate(order):
        check_that(node in reachable, f"{name} lists {node!r}, which {root!r} does not depend on.")
        check_that(
            node not in place,
            f"{name} lists {node!r} twice.",
            "two nodes share this input: remember what was opened.",
        )
        place[node] = position
    for node in reachable:
        check_that(node in place, f"{name} lacks {node!r}: {str(order)[:80]}")
    for node in order:
        for parent in inputs[node]:
            check_that(
                place[parent] < place[node],
                f"{name} has {node!r} before its input {parent!r}: {str(order)[:80]}",
                "a node may be listed only after all of its inputs.",
            )
    check_that(order[-1] == root, f"{name} must end with the root {root!r}.")


@check("topological_order")
def inputs_come_first(topological_order):
    """a small graph: inputs before what is computed from them, the root last"""
    for inputs in ({"x": (), "w": (), "xw": ("x", "w"), "b": (), "y": ("xw", "b")}, {"y": ()}):
        check_order(topological_order("y", inputs), "y", inputs)


@check("topological_order")
def each_node_once(topological_order):
    """b = a + a; c = b + b; ... : shared inputs are listed once"""
    inputs: dict[int, tuple[int, ...]] = {0: ()} | {i: (i - 1, i - 1) for i in range(1, 13)}
    check_order(topological_order(12, inputs), 12, inputs)


@check("topological_order")
def waits_for_all_inputs(topological_order):
    """a node used early and late: 'a' feeds b, c and d, which build on each other"""
    inputs = {"a": (), "b": ("a",), "c": ("b", "a"), "d": ("a", "c"), "e": ("d", "a", "b")}
    check_order(topological_order("e", inputs), "e", inputs)
    inputs = {name: tuple(reversed(parents)) for name, parents in inputs.items()}
    check_order(topological_order("e", inputs), "e", inputs)


@check("topological_order")
def only_what_the_root_needs(topological_order):
    """nodes that the root does not depend on are left out"""
    inputs = {"unused": (), "a": (), "b": ("a",), "later": ("b", "unused")}
    check_order(topological_order("b", inputs), "b", inputs)


@check("topological_order")
def ten_thousand_deep(topological_order):
    """a chain of 10,000 nodes"""
    inputs: dict[int, tuple[int, ...]] = {0: ()} | {i: (i - 1,) for i in range(1, 10_000)}
    check_equal("the order of a chain", topological_order(9_999, inputs), list(range(10_000)))


class Counted:
    """A node that counts how often nodes are compared; a set or dict finds it without comparing."""

    comparisons = 0

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        Counted.comparisons += 1
        if Counted.comparisons > 50_000:
            raise CheckFailed(
                "1,001 nodes took more than 50,000 comparisons of nodes: a list is searched for each of them.",
                "`node in order` goes through the list. Remember in a set what was opened: that takes one step.",
            )
        return isinstance(other, Counted) and self.number == other.number

    def __repr__(self):
        return f"node {self.number}"


@check("topological_order")
def in_time_proportional_to_edges(topological_order):
    """a root with 500 inputs, each with a leaf of its own: a node is looked up in one step, not in a list"""
    nodes = [Counted(i) for i in range(1001)]
    inputs = {nodes[1000]: tuple(nodes[:500])} | {nodes[i]: (nodes[500 + i],) for i in range(500)}
    inputs |= {node: () for node in nodes[500:1000]}
    numbers = {node.number: tuple(parent.number for parent in parents) for node, parents in inputs.items()}
    Counted.comparisons = 0
    order = topological_order.raw(nodes[1000], inputs)  # copies of nodes would have to be compared
    if type(order) is list and all(type(node) is Counted for node in order):
        order = [node.number for node in order]
    check_order(order, 1000, numbers)


@check("topological_order")
def random_graphs(topological_order, rng):
    """random graphs with many shared inputs"""
    for _ in range(10):
        names = rng.permutation(40).tolist()
        inputs = {
            n: tuple(names[int(j)] for j in rng.integers(0, i, size=rng.integers(0, 4))) if i else ()
            for i, n in enumerate(names)
        }
        check_order(topological_order(names[-1], inputs), names[-1], inputs)


# --- central_difference ---


@check("central_difference")
def known_gradient(central_difference, rng):
    """sum of c x^2, whose gradient is 2 c x"""
    c, x = rng.normal(size=5), rng.normal(size=5) + 3
    expected = 2 * c * x
    check_close(
        "the gradient",
        central_difference(lambda x: float((c * x * x).sum()), x),
        expected,
        1e-6,
        {"the two points are 2 * step apart, not step": 2 * expected},
    )


@check("central_difference")
def any_shape(central_difference, rng):
    """matrices, more axes, a single number"""
    for shape in ((2, 3), (2, 2, 2), (1, 4), ()):
        c, x = rng.normal(size=shape) + 2, rng.normal(size=shape)
        got = central_difference(lambda x, c=c: float(np.sum(c * np.sin(x))), x)
        check_close(f"the gradient for x of shape {shape}", got, np.asarray(c * np.cos(x)), 1e-6)


@check("central_difference")
def any_order_in_memory(central_difference, rng):
    """x transposed, every second number of x, x backwards: what lies where in memory does not matter"""
    x = rng.normal(size=(4, 6))
    for name, view in {
        "x.T": x.T,
        "x[:, ::2]": x[:, ::2],
        "x[::-1]": x[::-1],
        "in columns": np.asfortranarray(x),
    }.items():
        c = rng.normal(size=view.shape) + 2
        got = central_difference(lambda x, c=c: float(np.sum(c * np.sin(x))), view)
        causes = {
            "numbers were written to a copy: ravel and reshape(-1) of a transposed array copy it": np.zeros(view.shape)
        }
        check_close(f"the gradient for {name}", got, c * np.cos(view), 1e-6, causes)


@check("central_difference")
def second_order_accurate(central_difference, rng):
    """for quadratic functions the central difference is exact, however large the step"""
    a, x = rng.normal(size=(4, 4)), rng.normal(size=4)
    a = a @ a.T + np.eye(
        4
    )  # symmetric, so that the gradient of x a x is 2 a x; every coordinate matters to every other
    for step in (0.25, 2.0):
        got = central_difference(lambda x: float(x @ a @ x), x, step)
        one_sided, not_put_back = np.diag(a) * step, 2 * a @ x + 2 * np.tril(a, -1).sum(axis=1) * step
        check_close(
            f"the gradient with step {step}",
            got,
            2 * a @ x,
            1e-8,
            {
                "the difference is taken to one side only": 2 * a @ x + one_sided,
                "the difference is taken to the lower side only": 2 * a @ x - one_sided,
                "each coordinate stays changed while the next one is measured": not_put_back,
            },
        )


@check("central_difference")
def uses_the_step(central_difference):
    """for x^3 the formula gives 3 x^2 + step^2, which shows the step"""
    got = central_difference(lambda x: float((x**3).sum()), np.array([1.0, 2.0]), 0.5)
    check_close(
        "the gradient of x^3 with step 0.5",
        got,
        np.array([3.25, 12.25]),
        1e-9,
        {"the step that was handed in is not used": np.array([3.0, 12.0])},
    )


@check("central_difference")
def integers_and_float32(central_difference):
    """x may be integer or float32: the arithmetic is done in float64 all the same"""
    for dtype in (np.int64, np.float32):
        x = np.array([[1, 2], [3, 4]], dtype=dtype)
        got = central_difference(lambda x: float((x**2).sum()), x)
        check_close(f"the gradient for x of dtype {x.dtype}", got, np.array([[2.0, 4.0], [6.0, 8.0]]), 1e-6)


@check("central_difference")
def f_may_keep_its_array(central_difference):
    """every call of f gets an array of its own, which is not changed afterwards"""
    kept = []

    def f(x):
        kept.append((x, x.copy()))
        return float((x * x).sum())

    central_difference(f, np.array([1.0, 2.0, 3.0]))
    check_that(len(kept) >= 6, f"three coordinates need six evaluations of f, got {len(kept)}.")
    for array, copy in kept:
        check_that(
            np.array_equal(array, copy),
            "an array that was handed to f was changed afterwards.",
            "hand f a new copy each time: f(x_changed.copy()).",
        )


inputs_stay_unchanged("unbroadcast", "matmul_vjp", "softmax_vjp", "topological_order", "central_difference")
