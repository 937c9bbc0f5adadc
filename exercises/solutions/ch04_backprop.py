"""Chapter 4 exercises: what the backward pass of an array program is made of.

`gradient` always means dL/dy: the gradient of some scalar loss L with respect to the output y of the
operation in question, of the same shape as y. A function called `..._vjp` (vector-Jacobian product) turns it
into the gradients of the operation's inputs. float32 goes in, float32 comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "sums_over_new_axes: must have shape (3,), got (4, 3)": (
            "Broadcasting put new axes in front. There are gradient.ndim - len(shape) of them; sum over all "
            "of these first."
        ),
        "sums_over_stretched_axes: must have shape (4, 1), got (4,)": (
            "Summing removes the axis. keepdims=True leaves it there with length 1."
        ),
        "sums_over_stretched_axes: must have shape (4, 1), got (4, 3)": (
            "An axis of length 1 was stretched, too. Sum over every axis where the shape says 1, after the "
            "new axes in front are gone."
        ),
        "sums_over_stretched_axes: the copies are averaged instead of added": (
            "Copies of one number each contribute their gradient: add them, do not average."
        ),
    },
    why="""Broadcasting copies a number to several places of the output. The loss depends on it through all
    the copies, and the chain rule adds up over all paths. So forward copies, backward adds, and likewise the
    other way round: that pairing runs through the whole of backpropagation. A forgotten unbroadcast shows as
    a bias gradient with a batch axis.""",
)
def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo broadcasting: from the gradient of the stretched array to that of the original one.

    gradient (any shape that `shape` broadcasts to) -> (*shape), same dtype

    NumPy stretches an array by putting new axes in front and by repeating axes of length 1. Every original
    number receives the sum of the gradients of its copies. If nothing was stretched the gradient stays as it
    is.

    >>> unbroadcast(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (3,))
    array([11., 22., 33.])
    >>> unbroadcast(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (2, 1))
    array([[ 6.],
           [60.]])
    """
    new_axes = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(new_axes)))
    stretched = tuple(i for i, length in enumerate(shape) if length == 1)
    return gradient.sum(axis=stretched, keepdims=True).reshape(shape)


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    uses=("unbroadcast",),
    hints={
        "two_matrices: ValueError: matmul: Input operand 1 has a mismatch": (
            "Write the shapes down: y (n, m) = a (n, k) @ b (k, m). The only product of gradient (n, m) and "
            "b that has the shape of a is gradient @ b transposed."
        ),
        "batches: ValueError, or da has the wrong shape": (
            "b.T reverses all axes, the batch axes as well. b.swapaxes(-1, -2) exchanges the last two only."
        ),
        "broadcast_batches: db must have shape (3, 4), got (5, 3, 4)": (
            "One b served every matrix of the batch. It was broadcast, so its gradient has to go through unbroadcast."
        ),
    },
    why="""y_ij = sum_k a_ik b_kj, so dL/da_ik = sum_j dL/dy_ij b_kj: the sum over j is a product with b
    transposed. The shapes leave no other choice, which is a good way to remember it. In a transformer b is a
    weight matrix shared by the whole batch, so the broadcast case is not an exotic one: it is how every
    weight gets its gradient.""",
)
def matmul_vjp(gradient: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of both factors of y = a @ b.

    a (..., n, k), b (..., k, m), gradient (..., n, m) -> da, db with the shapes and the dtype of a and b

    The leading axes are batch axes; they broadcast against each other, and may be missing on one side.

    >>> da, db = matmul_vjp(np.array([[1.0, 10.0]]), np.array([[2.0]]), np.array([[3.0, 4.0]]))
    >>> da, db
    (array([[43.]]), array([[ 2., 20.]]))
    """
    da = gradient @ b.swapaxes(-1, -2)
    db = a.swapaxes(-1, -2) @ gradient
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


@task(
    points=2,
    difficulty="medium",
    minutes=25,
    hints={
        "agrees_with_the_jacobian: only the diagonal of the Jacobian is used": (
            "Each output depends on every input of its row, because all are divided by the same sum. "
            "dy_i/dx_j = y_i (1 if i == j else 0) - y_i y_j."
        ),
        "rows_are_independent: could not broadcast, or wrong on square input": (
            "The row sum needs keepdims=True, so that it stands beside its own row."
        ),
        "agrees_with_the_jacobian: wrong, though an average is subtracted": (
            "Is it the sum of the gradient that you subtract, instead of the sum of gradient times "
            "probabilities? Write the Jacobian above into dx_j = sum_i g_i dy_i/dx_j and take out y_j."
        ),
    },
    why="""With the Jacobian diag(y) - y y^T, the product g J is y * g - y (y . g): no T x T matrix is needed,
    only one dot product for each row. The result sums to zero along the row, because adding a constant to all
    logits changes nothing; for the same reason a test with a constant gradient sees only zeros and finds no
    mistake.""",
)
def softmax_vjp(gradient: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The gradient of the logits, for probabilities = softmax(logits) along the last axis.

    gradient (..., n), probabilities (..., n) -> (..., n), same dtype

    >>> softmax_vjp(np.array([1.0, 0.0]), np.array([0.75, 0.25]))
    array([ 0.1875, -0.1875])
    """
    average = (gradient * probabilities).sum(axis=-1, keepdims=True)
    return probabilities * (gradient - average)


@task(
    points=3,
    difficulty="hard",
    minutes=35,
    hints={
        "ten_thousand_deep: RecursionError: maximum recursion depth exceeded": (
            "Keep a list of what is left to do (a stack) and a `while` loop. Raising the recursion limit "
            "only moves the wall."
        ),
        "waits_for_all_inputs: a node stands before one of its inputs": (
            "A node may be listed only when all its inputs have been. Put it on the stack twice: once to be "
            "opened (push its inputs), once more to be listed when everything above it is done."
        ),
        "each_node_once: the order lists a node twice": (
            "Two nodes may share an input. Remember in a set which nodes were opened, and skip those that "
            "come up again."
        ),
        "in_time_proportional_to_edges: a list is searched": (
            "`node in list` compares with one entry after the other; `node in set` finds it in one step."
        ),
        "stopped after 10 seconds": (
            "Without that set, every path is walked: b = a + a; c = b + b; ... has 2^n of them."
        ),
    },
    why="""A node's gradient is complete only when all its uses have added their share. In b = a + a; c = b +
    a, going back from c must visit b before a, or a passes on an unfinished sum. The reversed topological
    order guarantees that. A language model's graph is some thousand nodes deep and a recurrent one ten
    thousand, which is why recursion will not do.""",
)
def topological_order(root: Hashable, inputs: dict[Hashable, tuple[Hashable, ...]]) -> list[Hashable]:
    """All nodes that `root` depends on, each after all of its inputs; `root` comes last.

    inputs: for every node the nodes that it was computed from, () for a leaf; the same input may occur twice
        (a + a)
    returns: each node that can be reached from `root`, once; any order with the property above will do

    Works for chains 10,000 nodes deep, and in time proportional to the number of edges.

    >>> topological_order("c", {"a": (), "b": ("a", "a"), "c": ("b", "a"), "unused": ("c",)})
    ['a', 'b', 'c']
    """
    order: list[Hashable] = []
    opened = set()
    stack = [(root, False)]
    while stack:
        node, inputs_are_listed = stack.pop()
        if inputs_are_listed:
            order.append(node)
        elif node not in opened:
            opened.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in inputs[node])
    return order


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "second_order_accurate: each coordinate stays changed while the next one is measured": (
            "Is x put back after each coordinate? Work on a copy, and change exactly one number of it at a time."
        ),
        "known_gradient: every value is 2 times the right one": "The two points are 2 * step apart.",
        "second_order_accurate: the difference is taken to one side only": (
            "(f(x + h) - f(x)) / h errs by h/2 f''. With one step to each side that term cancels, and the "
            "error falls to h^2/6 f'''."
        ),
        "integers_and_float32: the wrong dtype, or zero everywhere": (
            "Adding 1e-5 to an integer array changes nothing. Convert x to float64 first."
        ),
        "any_order_in_memory: numbers were written to a copy": (
            "x.ravel() of a transposed array is a copy, and so are changes made in it. Index x itself: x[index]."
        ),
        "any_shape: a matrix, or a single number, as input": (
            "np.ndindex(x.shape) yields the index of every number, whatever the number of axes."
        ),
    },
    why="""The rounding error of the difference grows like 1e-16 / h while the error of the formula falls like
    h^2: the sum is smallest near h = 1e-5, at about ten correct digits. In float32 the best that can be had
    is three or four digits, which hides real mistakes; so gradients are checked in float64 even when training
    runs in float32.""",
)
def central_difference(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function: (f(x + step) - f(x - step)) / (2 step) for one coordinate at a time.

    f: takes an array like x and returns a number; it may keep the array it gets, so hand it a new one each
        time
    x: any shape and dtype; it stays as it is
    returns: float64 array of the shape of x; f is called with float64 arrays

    >>> central_difference(lambda x: x[0] ** 2 + 3 * x[1], np.array([2.0, 5.0])).round(6)
    array([4., 3.])
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        higher, lower = x.copy(), x.copy()
        higher[index] += step
        lower[index] -= step
        gradient[index] = (f(higher) - f(lower)) / (2 * step)
    return gradient
