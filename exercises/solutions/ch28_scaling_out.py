"""Chapter 28 exercises: one model on many machines, and the same numbers as on one.

Plain NumPy, pure functions: nothing that was handed in is changed. Ranks are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="hard",
    minutes=40,
    hints={
        "sums: only some chunks are whole": (
            "Two rounds: after N - 1 steps each rank has one finished chunk; N - 1 more steps carry those round."
        ),
        "sums: added once too often": "In the second round what arrives is finished: it replaces, and is not added.",
        "who_sends_what: whole arrays were sent": "A message is one chunk, about 1/N of the array, never all of it.",
        "who_sends_what: the messages went the other way": "Rank r sends to rank (r + 1) % N, and to no other.",
        "lengths: shape mismatch": "np.array_split cuts at the same places on every rank, whatever the length.",
        "one_rank: sent to itself": "With one rank the array is its own sum, and there is nobody to send to.",
    },
    why="""A rank sends 2 (N - 1)/N of the array, less than twice its size whether there are two ranks or two thousand.
    A master that collected everything would have to receive N - 1 arrays over one link. The price is time: 2 (N - 1)
    messages one after the other, which is why many small arrays are put together into large ones first.""",
)
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
    size = len(arrays)
    chunks = [np.array_split(array.copy(), size) for array in arrays]
    for step in range(size - 1):
        arrived = [send(r, (r + 1) % size, chunks[r][(r - step) % size]) for r in range(size)]
        for r in range(size):
            chunks[r][(r - 1 - step) % size] += arrived[r - 1]
    for step in range(size - 1):
        arrived = [send(r, (r + 1) % size, chunks[r][(r + 1 - step) % size]) for r in range(size)]
        for r in range(size):
            chunks[r][(r - step) % size] = arrived[r - 1]
    return [np.concatenate(own) for own in chunks]


@task(
    points=1,
    difficulty="easy",
    minutes=15,
    hints={
        "what_is_exchanged: the bias went into the sum": (
            "Every rank has the whole bias: in the sum it would count once a rank. Add it afterwards."
        ),
        "what_is_exchanged: the inner activations were exchanged": "tanh acts entry by entry: h needs no exchange.",
        "alone: no tanh": "h = tanh(x up), and y = h down + bias.",
    },
    why="""Cut the first matrix by columns, and each rank has whole inner features: what acts on them one by one needs
    no one else. Cut the second by rows, and each has one summand of every output. So two matrices and everything
    between them cost one exchange. The other way round it would be two.""",
)
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
    h = np.tanh(x @ up)
    return all_reduce(h @ down) + bias, h


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "input_gradient: the other ranks' share of dx is missing": (
            "Every rank used x: its gradient is the sum over ranks. This is the one exchange of the backward."
        ),
        "weight_gradients: the derivative of tanh": "With h = tanh(z), dh/dz = 1 - h².",
        "weight_gradients: dy was summed over ranks": (
            "y is the same on all ranks, and so is dy: it is the gradient of each summand as it stands."
        ),
        "one_exchange: more was exchanged": "A rank's matrices are its own: nobody else has a part in their gradient.",
    },
    why="""Forward, x goes in for nothing and y costs a sum; backward, dy goes in for nothing and dx costs a sum. The
    two borders are mirror images, which Megatron's paper calls f and g. Forget the sum at f, and the last layer still
    gets the right gradient while every layer below it learns from a part: the loss falls, only slower.""",
)
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
    dz = (dy @ down.T) * (1 - h * h)
    rows = [array.reshape(-1, array.shape[-1]) for array in (x, h, dy, dz)]
    x_rows, h_rows, dy_rows, dz_rows = rows
    return all_reduce(dz @ up.T), x_rows.T @ dz_rows, h_rows.T @ dy_rows, dy_rows.sum(axis=0)


@task(
    points=2,
    difficulty="medium",
    minutes=25,
    hints={
        "three_stages: too many forwards first": (
            "Stage s waits for nobody behind it longer than stages - 1 - s forwards: the last one turns round at once."
        ),
        "three_stages: all forwards first": "That is GPipe: it keeps the activations of all micro-batches.",
        "three_stages: the backwards run from the last micro-batch": "What went in first comes back first.",
        "few_micro_batches: some are missing": "There may be fewer micro-batches than forwards to begin with.",
    },
    why="""GPipe and this schedule stand idle for equally long, (p - 1)/(m + p - 1) of the time. What differs is how
    many micro-batches wait for their backward at once: all m there, at most p here. So m can be made large, which is
    the only thing that makes the idle share small.""",
)
def one_forward_one_backward(stages: int, micro_batches: int) -> list[list[str]]:
    """What each stage of a pipeline does, one thing after the other.

    returns: for each stage a list of "f0", "f1", … (the forward of a micro-batch) and "b0", "b1", … (its backward)

    Stage s begins with as many forwards as there are stages behind it. Then it runs a forward and a backward in turns,
    until there are no more forwards, and ends with the backwards that are left. Micro-batches are taken in order.

    >>> one_forward_one_backward(2, 3)
    [['f0', 'f1', 'b0', 'f2', 'b1', 'b2'], ['f0', 'b0', 'f1', 'b1', 'f2', 'b2']]
    """
    plan = []
    for stage in range(stages):
        ahead = min(stages - 1 - stage, micro_batches)
        actions = [f"f{i}" for i in range(ahead)]
        for i in range(micro_batches):
            actions += [f"f{i + ahead}"] if i + ahead < micro_batches else []
            actions.append(f"b{i}")
        plan.append(actions)
    return plan


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "unequal: the mean of the ranks' means": "Weigh each rank by its targets: a mean of means is another mean.",
        "a_rank_without_targets: NaN": "A mean over nothing is NaN, and NaN times 0 is NaN: leave that rank out.",
        "a_rank_that_broke": "Ask the counts which ranks to leave out, not the numbers: nan_to_num hides a real NaN.",
        "nothing_at_all: no error": "If no rank has a target there is no gradient: raise ValueError.",
    },
    why="""Padding, packing and loss masks make the numbers of targets unequal, and the mean of means then depends on
    which rank got which rows: the same batch on another number of machines trains another model. The transformers
    library had this fault until 2024, in its gradient accumulation, which is the same sum.""",
)
def mean_gradient(gradients: list[dict[str, np.ndarray]], counts: list[int]) -> dict[str, np.ndarray]:
    """The gradient of the mean loss over the targets of all ranks.

    gradients: for each rank, by name, the gradient of the mean loss over its own targets
    counts: how many targets each rank has; where it is 0, its gradients have no meaning (mostly NaN); what is no number
    where there are targets is a run that broke, and stays one in the result
    returns: by name, arrays of the same shapes and dtype; ValueError if there is no target at all

    >>> mean_gradient([{"w": np.array([1.0])}, {"w": np.array([5.0])}], [3, 1])
    {'w': array([2.])}
    """
    total = sum(counts)
    if total == 0:
        raise ValueError("no rank has a target")
    mean = {name: np.zeros_like(array) for name, array in gradients[0].items()}
    for own, count in zip(gradients, counts):
        if count:
            for name in mean:
                mean[name] += own[name] * (count / total)
    return mean


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


@task(
    points=3,
    difficulty="hard",
    minutes=25,
    hints={
        "by_hand: the bug is still there": "What is subtracted on one rank is not what is subtracted on the other.",
        "far_apart: overflow": "Without any maximum exp overflows: which one do all ranks have to agree on?",
        "far_apart: one maximum for all rows": "Each row has a maximum of its own: a far lower row would become 0.",
        "a_rank_without_a_chance: NaN": "-inf minus -inf is NaN: a rank's own maximum may be -inf, that of all is not.",
    },
    why="""The softmax does not care what is subtracted, as long as it is subtracted from *all* words. Each rank's own
    maximum is finite, harmless, and another number: probabilities that sum to one on no rank. The loss still falls,
    since it is a loss of something. So two small numbers a token have to be exchanged before the exponentials, and two
    after; the logits themselves, thousands of times as many, never are.""",
)
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
    size = shards[0].shape[1]
    top = np.max([logits.max(axis=1) for logits in shards], axis=0)  # an all-reduce that takes the largest
    total, found = np.zeros(len(targets), top.dtype), np.zeros(len(targets), top.dtype)
    for rank, logits in enumerate(shards):
        logits = logits - top[:, None]
        total += np.exp(logits).sum(axis=1)
        place = targets - rank * size
        mine = (place >= 0) & (place < size)
        found[mine] = logits[mine, place[mine]]
    return np.log(total) - found
