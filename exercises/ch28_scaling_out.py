"""Chapter 28 exercises: one model on many machines, and the same numbers as on one.

Plain NumPy, pure functions: nothing that was handed in is changed. Ranks are numbered from 0.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch28              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch28 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


# Task 1 of 6: hard, about 40 minutes, 3 points
def ring_all_reduce(arrays: list[np.ndarray], send: Callable[[int, int, np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """The sum of all ranks' arrays, on every rank, through a ring of messages.

    arrays: one (n,) for each of N ranks; N need not divide n
    send: send(rank, to, chunk) carries a chunk from `rank` to rank `to`, and returns what arrives there
    returns: for each rank an array of its own, (n,), all equal to the last bit

    Each array is cut into N chunks. In every step each rank sends one chunk to rank (r + 1) % N. For N - 1 steps a rank
    adds what arrives to its own chunk of that number, and for N - 1 steps it puts what arrives in its place.

    >>> ring_all_reduce([np.array([1.0, 2.0]), np.array([10.0, 20.0])], lambda rank, to, chunk: chunk.copy())
    [array([11., 22.]), array([11., 22.])]
    """
    raise NotImplementedError("ring_all_reduce")


# Task 2 of 6: easy, about 15 minutes, 1 point
def column_row_forward(
    x: np.ndarray, up: np.ndarray, down: np.ndarray, bias: np.ndarray, all_reduce: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """tanh(x U) D + b on one of N ranks, which holds some columns of U and the same rows of D.

    x: (..., I), the same on all ranks
    up, down, bias: (I, F / N) and (F / N, O), this rank's; (O,), whole on every rank
    all_reduce: gives the sum of what all ranks hand in, to each of them; must be called once
    returns: y (..., O), the same on all ranks, and this rank's h = tanh(x up), (..., F / N)

    >>> y, h = column_row_forward(np.ones((1, 2)), np.zeros((2, 3)), np.ones((3, 1)), np.array([5.0]), np.copy)
    >>> y, h
    (array([[5.]]), array([[0., 0., 0.]]))
    """
    raise NotImplementedError("column_row_forward")


# Task 3 of 6: medium, about 30 minutes, 3 points
def column_row_backward(
    dy: np.ndarray,
    x: np.ndarray,
    h: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    all_reduce: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `column_row_forward` on one rank.

    dy: (..., O), the gradient of y, the same on all ranks; h: (..., F / N), what the forward returned
    returns: dx (..., I), the same on all ranks; dup, ddown, of this rank's parts; dbias (O,), the same on all ranks

    >>> one = np.ones((1, 1))
    >>> column_row_backward(one, one, 0 * one, 2 * one, 3 * one, np.copy)
    (array([[6.]]), array([[3.]]), array([[0.]]), array([1.]))
    """
    raise NotImplementedError("column_row_backward")


# Task 4 of 6: medium, about 25 minutes, 2 points
def one_forward_one_backward(stages: int, micro_batches: int) -> list[list[str]]:
    """What each stage of a pipeline does, one thing after the other.

    returns: for each stage a list of "f0", "f1", … (the forward of a micro-batch) and "b0", "b1", … (its backward)

    Stage s begins with as many forwards as there are stages behind it. Then it runs a forward and a backward in turns,
    until there are no more forwards, and ends with the backwards that are left. Micro-batches are taken in order.

    >>> one_forward_one_backward(2, 3)
    [['f0', 'f1', 'b0', 'f2', 'b1', 'b2'], ['f0', 'b0', 'f1', 'b1', 'f2', 'b2']]
    """
    raise NotImplementedError("one_forward_one_backward")


# Task 5 of 6: medium, about 15 minutes, 2 points
def mean_gradient(gradients: list[dict[str, np.ndarray]], counts: list[int]) -> dict[str, np.ndarray]:
    """The gradient of the mean loss over the targets of all ranks.

    gradients: for each rank, by name, the gradient of the mean loss over its own targets
    counts: how many targets each rank has; where it is 0, its gradients have no meaning (mostly NaN); what is no number
    where there are targets is a run that broke, and stays one in the result
    returns: by name, arrays of the same shapes and dtype; ValueError if there is no target at all

    >>> mean_gradient([{"w": np.array([1.0])}, {"w": np.array([5.0])}], [3, 1])
    {'w': array([2.])}
    """
    raise NotImplementedError("mean_gradient")


def somebodys_loss(shards, targets):
    """A loss whose words are divided among ranks, from a script that was found on the network. It crashes nothing.

    shards: for each rank the logits of its words, (T, V / N); targets: (T,), words of the whole vocabulary.
    """
    size = shards[0].shape[1]
    total, found = np.zeros(len(targets), shards[0].dtype), np.zeros(len(targets), shards[0].dtype)
    for rank, logits in enumerate(shards):
        logits = logits - logits.max(axis=1, keepdims=True)  # so that exp cannot overflow
        total += np.exp(logits).sum(axis=1)  # the all-reduce
        place = targets - rank * size
        mine = (place >= 0) & (place < size)
        found[mine] = logits[mine, place[mine]]
    return np.log(total) - found


# Task 6 of 6: hard, about 25 minutes, 3 points
def repaired_loss(shards: list[np.ndarray], targets: np.ndarray) -> np.ndarray:
    """Find the bug in `somebodys_loss` above, and write the loss as it should be.

    shards: for each rank the logits of its words, (T, V / N), rank 0 the first words; they may be -inf, but not in a
        whole row of all ranks
    targets: (T,) integers, words of the whole vocabulary
    returns: (T,), -log softmax at each target, in the logits' dtype

    >>> shards = [np.log([[1.0, 2.0]]), np.log([[3.0, 4.0]])]
    >>> repaired_loss(shards, np.array([3])).round(4)                    # -log 0.4
    array([0.9163])
    """
    raise NotImplementedError("repaired_loss")
