"""Chapter 12 exercises: the loop around the model.

Losses are in nats. A target of -100 is not to be predicted: it counts in no sum and in no mean. No array that was
handed in is changed.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand_loss: places without a target were counted": "Divide by how many targets are not -100.",
        "by_hand_loss: the mean of the rows' means": "One sum over all rows, one division at the end.",
        "far_apart: RuntimeWarning": "Subtract each place's largest logit before np.exp.",
        "far_apart": "A target 2,000 below the largest logit has a loss of 2,000: stay with logarithms, no log(p + ε).",
        "no_target: ZeroDivisionError": "With a normaliser given, a batch without targets has a loss of 0.",
        "by_hand_loss: IndexError": "-100 is no row of the logits: pick by targets only where there are some.",
    },
    why="""The mean has to know what it is a mean of. Prompts, padding and the rest of a short row are there to be read,
    not to be predicted; a loss divided by all places looks better the more of them there are. The normaliser is for the
    next task: of a batch that is a part of a step, the step knows how many targets there are, the part does not.""",
)
def masked_loss(logits: np.ndarray, targets: np.ndarray, normaliser: float | None = None) -> float:
    """Cross-entropy of the targets that are not -100: their sum divided by the normaliser, by default their number.

    logits: (B, T, V); targets: (B, T) integers; returns: a float. Without a target it is 0.0 if a normaliser is given,
    otherwise ValueError.

    >>> logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    >>> round(masked_loss(logits, np.array([[0, -100]])), 4)
    0.6931
    """
    kept = targets != -100
    count = int(kept.sum())
    if count == 0 and normaliser is None:
        raise ValueError("there is no target")
    rows = logits[kept].astype(np.float64)
    rows -= rows.max(axis=-1, keepdims=True, initial=-np.inf)
    losses = np.log(np.exp(rows).sum(axis=-1)) - rows[np.arange(count), targets[kept]]
    return float(losses.sum() / (count if normaliser is None else normaliser))


@task(
    points=3,
    difficulty="medium",
    minutes=15,
    hints={
        "by_hand_step: the mean of the means": "A mean of 2 targets must not weigh as much as one of 6.",
        "by_hand_step: the sums were added and never divided": "The result is a mean again: divide by all targets.",
        "an_empty_part": "0 targets have no mean: what stands there (NaN) must not be touched, not even times 0.",
        "a_part_that_broke": "Ask the counts which parts to leave out, not the numbers: np.nansum hides a real NaN.",
        "keeps_float32_step": "Weights made of integer counts are float64; .astype(gradients.dtype) at the end.",
    },
    why="""A large batch is cut into parts that fit into memory. If every part has as many targets the mean of their
    means is right, which is why the mistake stood in well-known libraries until October 2024; packed rows, masked
    prompts and a short last batch make it wrong. Add sums, or weigh means by their counts.""",
)
def accumulate(losses: np.ndarray, gradients: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and gradient of one large batch, from those of its parts.

    losses: (N,), the mean loss of each part; gradients: (N, D), of these means; counts: (N,) integers, each part's
    targets. A part without targets has count 0, and NaN for its mean: it must not count. At least one has some. What is
    no number in a part *with* targets is a run that broke: it stays one in the result.
    returns: the mean loss over all targets, and its gradient (D,), of the dtype of gradients

    >>> accumulate(np.array([2.0, 6.0]), np.array([[1.0], [5.0]]), np.array([3, 1]))
    (3.0, array([2.]))
    """
    kept = counts > 0
    shares = counts[kept] / counts[kept].sum()
    return float(shares @ losses[kept]), (shares @ gradients[kept]).astype(gradients.dtype)


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "every_row_once: rows of an epoch come twice": "One permutation an epoch; a batch is a slice of it.",
        "another_order: every epoch has the same order": "The epoch's number belongs into the seed: (seed, epoch).",
        "any_step_alone": "Compute epoch and place from the step; do not keep a generator between calls.",
        "a_short_rest: a short batch": "Rows that do not fill a batch are left out of this epoch: divide with //.",
    },
    why="""An order that is *computed* from seed and step needs nothing to be saved but the step. A generator that is
    advanced batch by batch has a state that must be saved with every snapshot, and well-known scripts have forgotten
    it: the resumed run then reads the beginning of the data again.""",
)
def batch_rows(rows: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which rows of the data batch number `step` (0, 1, …) consists of.

    An epoch goes through the rows in the order np.random.default_rng((seed, epoch)).permutation(rows), batch_size at a
    time; rows that do not fill a last batch are left out of that epoch. returns: (batch_size,) integers

    >>> [batch_rows(5, 2, 0, step).tolist() for step in range(4)]
    [[2, 4], [3, 0], [1, 4], [3, 0]]
    """
    per_epoch = rows // batch_size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(rows)
    return order[place * batch_size : (place + 1) * batch_size]


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_deal: the largest weight always won": "Compare weight · (rows so far + 1) with what each has had.",
        "by_hand_deal: drawn at random": "No dice: whose turn it is follows from weights and counts.",
        "equal_weights": "Of equals the first: np.argmax does that, max with <= does not.",
        "shares_hold": "A share that has once been missed has to be made up: count rows from the very first.",
    },
    why="""Drawing sources at random is right on average and off by about √n after n rows. Dealing to the source that is
    furthest behind keeps every count within a row or two of its share, at every moment: in 10,000 rows as in 10.""",
)
def deal(weights: np.ndarray, rows: int) -> np.ndarray:
    """Which source each of so many rows comes from: always the one that is furthest behind its share.

    weights: (S,), summing to 1. Before row k (0, 1, …) source s is behind by weights[s] · (k + 1) less the rows it has
    had; of equals the first is taken (differences below 1e-9 are rounding). returns: (rows,) integers

    >>> deal(np.array([0.5, 0.25, 0.25]), 8)
    array([0, 1, 2, 0, 0, 1, 2, 0])
    """
    had, order = np.zeros(len(weights)), []
    for row in range(rows):
        behind = weights * (row + 1) - had
        turn = int(np.flatnonzero(behind >= behind.max() - 1e-9)[0])
        had[turn] += 1
        order.append(turn)
    return np.array(order, dtype=np.int64)


@task(
    points=3,
    difficulty="medium",
    minutes=15,
    hints={
        "by_hand_stage: the stage before": "A stage of n steps ends before its step n: the next one begins there.",
        "tokens_before: the step itself was counted": "Tokens before a step are those of the steps 0 … step - 1.",
        "the_last_goes_on": "The last stage has no end, whatever its length says.",
        "by_hand_stage: all steps were of the last shape": "Each stage's steps have that stage's rows and context.",
    },
    why="""With rows or batches that grow, steps are no measure of how far a run has come; tokens are. A learning rate
    that falls with the steps has then fallen too far when the large batches begin, or not far enough: half of the steps
    may hold a tenth of the tokens.""",
)
def stage_at(stages: list[tuple[int, int, int]], step: int) -> tuple[int, int]:
    """The stage (0, 1, …) that step number `step` (0, 1, …) belongs to, and how many tokens were read before it.

    stages: (steps, rows a batch, tokens a row), one after the other; the last goes on without end

    >>> [stage_at([(2, 8, 64), (3, 8, 128)], step) for step in (0, 1, 2, 9)]
    [(0, 0), (0, 512), (1, 1024), (1, 8192)]
    """
    tokens = 0
    for number, (length, rows, context) in enumerate(stages):
        inside = step if number == len(stages) - 1 else min(step, length)
        tokens += inside * rows * context
        step -= inside
        if step == 0 and (inside < length or number == len(stages) - 1):
            return number, tokens
    raise ValueError("a run has at least one stage")


def somebodys_step(weights, momentum, gradients, counts, *, lr, beta, clip):
    """A step of a training script that was found on the network. It crashes nothing, and the loss falls.

    gradients: (N, D), of the mean loss of each part; counts: (N,), the parts' targets.
    """
    total = np.zeros_like(weights)
    for gradient, count in zip(gradients, counts):
        norm = np.sqrt((gradient**2).sum())
        if norm > clip:
            gradient = gradient * (clip / norm)
        total = total + gradient * (count / counts.sum())
    momentum = beta * momentum + total
    return weights - lr * momentum, momentum


@task(
    points=3,
    difficulty="hard",
    minutes=20,
    hints={
        "parts_that_cancel: the bug is still there": "Whose length is limited? Look at two parts that point apart.",
        "below_the_limit": "A gradient that is short enough must not be changed at all.",
        "momentum_is_not_clipped: the momentum was clipped": "Clip what comes in, not what has been collected.",
        "no_gradient": "A gradient of 0 has the length 0: divide only where it is longer than clip.",
        "one_part": "With a single part the script was right: compare yours with it.",
    },
    why="""The gradients of parts are long and point apart; their mean is short. Clipped one by one they lose the
    lengths that tell how much each matters, and the direction of the step changes with how the batch was cut: on two
    machines with four parts each it is another step than on one with eight. The same fault, a norm of the local
    gradient instead of the whole, has been reported of distributed training again and again.""",
)
def repaired_step(
    weights: np.ndarray,
    momentum: np.ndarray,
    gradients: np.ndarray,
    counts: np.ndarray,
    *,
    lr: float,
    beta: float,
    clip: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the bug in `somebodys_step` above, and write the step as it should be.

    A step must not depend on how its batch was cut into parts, and clips as `clip_grad_norm` does: the gradient of the
    whole batch, if it is longer than `clip`, is made that long. weights, momentum: (D,); gradients: (N, D); counts:
    (N,) integers above 0; returns: new weights and momentum, (D,)

    >>> one = np.array([[3.0, 4.0]])
    >>> repaired_step(np.zeros(2), np.zeros(2), one, np.array([7]), lr=1.0, beta=0.9, clip=1.0)
    (array([-0.6, -0.8]), array([0.6, 0.8]))
    """
    total = (gradients * (counts / counts.sum()).astype(gradients.dtype)[:, None]).sum(axis=0)
    norm = np.sqrt((total**2).sum())
    if norm > clip:
        total = total * (clip / norm)
    momentum = beta * momentum + total
    return weights - lr * momentum, momentum
