"""What the grader looks at in chapter 12. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, or found one target, one row, one step at a time.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_raises, check_that, inputs_stay_unchanged

# --- masked_loss ---

PROBABILITIES = np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.2, 0.2, 0.6], [0.7, 0.2, 0.1]]])
TARGETS = np.array([[1, -100], [2, 0]])


def one_by_one(logits, targets):
    """Every target by itself: (sum of losses, how many)."""
    total, count = 0.0, 0
    for row, ids in zip(logits, targets):
        for scores, target in zip(row, ids):
            if target != -100:
                scores = [float(score) - float(max(scores)) for score in scores]
                total -= scores[int(target)] - math.log(math.fsum(map(math.exp, scores)))
                count += 1
    return total, count


@check("masked_loss")
def by_hand_loss(masked_loss):
    """two rows of two places, one of them without a target: -(ln 0.25 + ln 0.6 + ln 0.7) / 3"""
    logits = np.log(PROBABILITIES) + 3.0
    parts = [-math.log(0.25), -math.log(0.6), -math.log(0.7)]
    causes = {
        "places without a target were counted": sum(parts) / 4,
        "the mean of the rows' means": (parts[0] + (parts[1] + parts[2]) / 2) / 2,
        "the sum was not divided": sum(parts),
        "-100 was taken for the last token": (sum(parts) - math.log(0.8)) / 4,
        "logits are not probabilities: the softmax is missing": -float(
            logits[0, 0, 1] + logits[1, 0, 2] + logits[1, 1, 0]
        )
        / 3,
        "the sign": -sum(parts) / 3,
        "in bits, not nats": sum(parts) / 3 / math.log(2),
    }
    check_close("the loss", masked_loss(logits, TARGETS), sum(parts) / 3, 1e-9, causes)


@check("masked_loss")
def many_targets(masked_loss, rng):
    """random rows, half of the targets masked, in any pattern; token 0 is a token like any other"""
    for shape in ((3, 7, 5), (1, 1, 2), (6, 2, 11)):
        logits = rng.normal(size=shape) * 3
        targets = rng.integers(0, shape[2], size=shape[:2])
        targets[0, 0] = 0
        hidden = rng.random(shape[:2]) < 0.5
        hidden[0, 0] = False
        targets[hidden] = -100
        total, count = one_by_one(logits, targets)
        check_close(f"the loss of {shape}", masked_loss(logits, targets), total / count, 1e-9)


@check("masked_loss")
def by_a_normaliser(masked_loss):
    """the sum divided by what the step says, not by the batch's own count"""
    logits = np.log(PROBABILITIES)
    total = -math.log(0.25 * 0.6 * 0.7)
    causes = {"the normaliser was ignored": total / 3, "divided by both": total / 30}
    check_close("with a normaliser of 10", masked_loss(logits, TARGETS, 10), total / 10, 1e-9, causes)
    check_close("with a normaliser of 0.5", masked_loss(logits, TARGETS, 0.5), 2 * total, 1e-9)


@check("masked_loss")
def no_target(masked_loss):
    """no target at all: 0.0 with a normaliser, ValueError without"""
    logits, nothing = np.log(PROBABILITIES), np.full((2, 2), -100)
    value = masked_loss(logits, nothing, 4)
    check_that(
        isinstance(value, (float, np.floating)) and value == 0, f"without a target the loss is 0.0, got {value!r}"
    )
    check_raises("masked_loss without a target", ValueError, masked_loss, logits, nothing)


@check("masked_loss")
def far_apart(masked_loss):
    """logits of a thousand, of minus a thousand, and rows far from each other"""
    logits = np.array([[[1000.0, 1001.0, -1000.0], [-2000.0, -2003.0, -2001.0]], [[5.0, -3.0, 0.0], [0.0, 0.0, 9.0]]])
    targets = np.array([[0, 1], [0, -100]])
    total, count = one_by_one(logits, targets)
    check_close("the loss", masked_loss(logits, targets), total / count, 1e-9)
    for target, expected in ((2, 2001 + math.log1p(math.exp(-1))), (0, 1 + math.log1p(math.exp(-1)))):
        got = masked_loss(logits[:1, :1], np.array([[target]]))
        check_close(f"the loss of target {target} of {logits[0, 0].tolist()}", got, expected, 1e-9)


@check("masked_loss")
def computed_in_float64(masked_loss, rng):
    """float32 logits: the sum over many targets is made in float64"""
    logits = (rng.normal(size=(40, 50, 8)) * 4).astype(np.float32)
    targets = rng.integers(0, 8, size=(40, 50))
    total, count = one_by_one(logits.astype(np.float64), targets)
    check_close("the loss", masked_loss(logits, targets), total / count, 1e-9)


# --- accumulate ---


@check("accumulate")
def by_hand_step(accumulate):
    """parts of 6, 2 and 4 targets"""
    losses, counts = np.array([1.0, 4.0, 2.5]), np.array([6, 2, 4])
    gradients = np.array([[3.0, -6.0], [12.0, 6.0], [0.0, 3.0]])
    loss, gradient = accumulate(losses, gradients, counts)
    causes = {"the mean of the means": 2.5, "the sums were added and never divided": 24.0, "the means were added": 7.5}
    check_close("the loss", loss, 2.0, 1e-12, causes)
    causes = {
        "the mean of the means": np.array([5.0, 1.0]),
        "the sums were added and never divided": np.array([42.0, -12.0]),
        "the means were added": np.array([15.0, 3.0]),
        "only the loss was weighted": gradients.mean(axis=0),
    }
    check_close("the gradient", gradient, np.array([3.5, -1.0]), 1e-12, causes)


@check("accumulate")
def as_one_batch(accumulate, rng):
    """parts cut from one batch at random: the same as the whole, target by target"""
    for parts in (1, 2, 5):
        each, count = rng.normal(size=(40, 3)) * 5, rng.multinomial(40 - parts, np.ones(parts) / parts) + 1
        ends = np.cumsum(count)
        pieces = [each[end - n : end] for end, n in zip(ends, count)]
        losses = np.array([float(np.mean([row[0] ** 2 for row in piece])) for piece in pieces])
        gradients = np.array([np.mean(piece, axis=0) for piece in pieces])
        loss, gradient = accumulate(losses, gradients, count)
        check_close("the loss", loss, math.fsum(float(row[0]) ** 2 for row in each) / 40, 1e-9)
        expected = np.array([math.fsum(map(float, column)) / 40 for column in each.T])
        check_close("the gradient", gradient, expected, 1e-9)


@check("accumulate")
def an_empty_part(accumulate):
    """a part without targets, whose mean is NaN"""
    losses, counts = np.array([np.nan, 3.0, 6.0]), np.array([0, 1, 2])
    gradients = np.array([[np.nan, np.nan], [30.0, 0.0], [0.0, 60.0]])
    loss, gradient = accumulate(losses, gradients, counts)
    check_close("the loss", loss, 5.0, 1e-12, {"an empty part counts as one of three": 3.0})
    check_close("the gradient", gradient, np.array([10.0, 40.0]), 1e-12)


@check("accumulate")
def a_part_that_broke(accumulate):
    """a loss or a gradient that is no number, in a part with targets, is not hidden"""
    losses, gradients, counts = np.array([2.0, 4.0]), np.array([[3.0, 6.0], [9.0, 0.0]]), np.array([1, 2])
    hidden = "what is no number in a part with targets was left out: a broken run would look well."
    for bad in (np.nan, np.inf):
        broken = accumulate(np.array([bad, 4.0]), gradients, counts)
        check_that(not np.isfinite(broken[0]), f"with a loss of {bad} the mean is {broken[0]}", hidden)
        check_close("the gradient", broken[1], np.array([7.0, 2.0]), 1e-12)
        broken = accumulate(losses, np.array([[bad, 6.0], [9.0, 0.0]]), counts)
        check_that(not np.isfinite(broken[1][0]), f"with {bad} in a gradient it is {broken[1]}", hidden)
        check_close("the loss", broken[0], 10 / 3, 1e-12)


@check("accumulate")
def keeps_float32_step(accumulate, rng):
    """the gradient in the dtype of the gradients, the loss a number"""
    gradients = (rng.normal(size=(3, 4)) * 9).astype(np.float32)
    losses, counts = np.array([2.0, 3.0, 4.0], np.float32), np.array([1, 3, 4])
    loss, gradient = accumulate(losses, gradients, counts)
    expected = (gradients[0] + 3.0 * gradients[1] + 4.0 * gradients[2]) / 8.0
    check_close("the gradient", gradient, expected.astype(np.float32), 1e-4)
    check_close("the loss", loss, 27 / 8, 1e-5)


# --- batch_rows ---


@check("batch_rows")
def every_row_once(batch_rows, rng):
    """within an epoch no row comes twice, and all that fill batches come"""
    for rows, size in ((12, 3), (20, 5), (9, 9), (30, 1)):
        seed = int(rng.integers(1000))
        found = [np.asarray(batch_rows(rows, size, seed, step)) for step in range(rows // size)]
        for step, batch in enumerate(found):
            check_equal(f"the shape of batch {step}", batch.shape, (size,))
        together = sorted(int(row) for batch in found for row in batch)
        check_that(
            together == list(range(rows)),
            f"an epoch of {rows} rows in batches of {size} had these: {together}",
            "rows of an epoch come twice" if len(set(together)) < len(together) else "",
        )


@check("batch_rows")
def the_order_of_the_generator(batch_rows):
    """the very order that default_rng((seed, epoch)) gives"""
    for seed, epoch, rows, size in ((3, 0, 10, 2), (3, 4, 10, 5), (8, 1, 7, 3)):
        order = list(np.random.default_rng((seed, epoch)).permutation(rows))
        per_epoch = len(order) // size
        for place in range(per_epoch):
            wanted = [int(row) for row in order[place * size : place * size + size]]
            got = batch_rows(rows, size, seed, epoch * per_epoch + place)
            causes = {
                "the epoch is not in the seed": [
                    int(r) for r in np.random.default_rng(seed).permutation(rows)[place * size : place * size + size]
                ],
                "the epoch's order is that of the step's number": [
                    int(r) for r in np.random.default_rng((seed, epoch * per_epoch + place)).permutation(rows)[:size]
                ],
            }
            check_equal(f"batch {place} of epoch {epoch}", [int(row) for row in got], wanted, causes)


@check("batch_rows")
def another_order(batch_rows):
    """the next epoch, and another seed, have another order"""
    first, second, other = ([int(r) for r in batch_rows(40, 40, seed, step)] for seed, step in ((1, 0), (1, 1), (2, 0)))
    check_that(first != second, "the second epoch is in the order of the first", "every epoch has the same order.")
    check_that(first != other, "seed 2 has the order of seed 1", "the seed is not used.")


@check("batch_rows")
def a_short_rest(batch_rows):
    """11 rows in batches of 4: two batches an epoch, three rows are left out"""
    sizes = [len(batch_rows(11, 4, 5, step)) for step in range(6)]
    check_equal("the sizes of six batches", sizes, [4] * 6, {"a short batch": [4, 4, 3, 4, 4, 3]})
    third = [int(row) for row in np.random.default_rng((5, 1)).permutation(11)[:4]]
    check_equal("the first batch of the second epoch", [int(row) for row in batch_rows(11, 4, 5, 2)], third)


@check("batch_rows")
def any_step_alone(batch_rows):
    """step 57 by itself is step 57 after all the others, asked in any order"""
    there = [[int(row) for row in batch_rows(13, 4, 9, step)] for step in range(60)]
    for step in (57, 0, 58, 31, 57):
        check_equal(f"batch {step}, asked again", [int(row) for row in batch_rows(13, 4, 9, step)], there[step])
    late = [int(row) for row in np.random.default_rng((9, 10**9)).permutation(13)[4:8]]
    check_equal("batch 1 of epoch 10⁹", [int(row) for row in batch_rows(13, 4, 9, 3 * 10**9 + 1)], late)


# --- deal ---


def dealt_slowly(weights, rows):
    had, order = [0] * len(weights), []
    for row in range(rows):
        behind = [float(w) * (row + 1) - n for w, n in zip(weights, had)]
        turn = next(s for s, value in enumerate(behind) if value > max(behind) - 1e-9)
        had[turn] += 1
        order.append(turn)
    return order


@check("deal")
def by_hand_deal(deal):
    """five parts, three parts, two parts of ten"""
    weights = np.array([0.5, 0.3, 0.2])
    expected = np.array([0, 1, 2, 0, 0, 1, 0, 2, 1, 0])
    got = np.asarray(deal(weights, 10))
    check_equal("the shape", got.shape, (10,))
    causes = {
        "the largest weight always won": [0] * 10,
        "each source has its rows in one block": [0] * 5 + [1] * 3 + [2] * 2,
        "one after the other, whatever the weights": [0, 1, 2, 0, 1, 2, 0, 1, 2, 0],
    }
    check_equal("the order", [int(s) for s in got], [int(s) for s in expected], causes)


@check("deal")
def equal_weights(deal):
    """of equals the first, although 0.1 + 0.2 is not 0.3"""
    check_equal("of two", [int(s) for s in deal(np.array([0.5, 0.5]), 6)], [0, 1] * 3, {"the last": [1, 0] * 3})
    check_equal("of ten", [int(s) for s in deal(np.full(10, 0.1), 30)], list(range(10)) * 3)
    once = [2, 1, 2, 0, 2, 1, 2, 2, 1, 2]  # in tenths: 6, 3 and 1
    causes = {"rounding decided between equals": once + [2, 1, 2, 2, 0, 1, 2, 2, 1, 2]}
    check_equal("of one, three and six tenths", [int(s) for s in deal(np.array([0.1, 0.3, 0.6]), 20)], once * 2, causes)


@check("deal")
def shares_hold(deal, rng):
    """after 500 rows every source has its share, to within two rows"""
    for count in (2, 4, 7):
        weights = rng.dirichlet(np.ones(count))
        had = np.bincount(np.asarray(deal(weights, 500), dtype=np.int64), minlength=count)
        far = float(np.abs(had - 500 * weights).max())
        check_that(far < 2, f"a source is {far:.1f} rows from its share of 500", "was the share counted from row 0 on?")


@check("deal")
def row_by_row(deal, rng):
    """random weights, one of them 0: the order row by row"""
    for count in (1, 3, 6):
        weights = rng.dirichlet(np.full(count, 2.0))
        if count > 1:
            weights[count // 2] = 0.0
            weights /= weights.sum()
        got, wanted = [int(s) for s in deal(weights, 60)], dealt_slowly(weights, 60)
        check_equal(f"the order of {count} sources", got, wanted)


@check("deal")
def integers(deal):
    """an array of integers, to pick sources with"""
    for rows in (4, 0):
        got = deal(np.array([0.75, 0.25]), rows)
        kind = isinstance(got, np.ndarray) and got.dtype.kind in "iu" and got.shape == (rows,)
        check_that(kind, f"expected an array of {rows} integers, got {got!r}")


# --- stage_at ---

PLAN = [(2, 8, 64), (3, 4, 256), (1, 16, 512)]


@check("stage_at")
def by_hand_stage(stage_at):
    """2 steps of 8 × 64, 3 steps of 4 × 256, then 16 × 512: the stages of steps 0 to 7"""
    got = [int(stage_at(PLAN, step)[0]) for step in range(8)]
    causes = {
        "the stage before: a stage of 2 steps has the steps 0 and 1": [0, 0, 0, 1, 1, 1, 2, 2],
        "one step too early": [0, 1, 1, 1, 2, 2, 2, 2],
    }
    check_equal("the stages", got, [0, 0, 1, 1, 1, 2, 2, 2], causes)


@check("stage_at")
def tokens_before(stage_at):
    """what was read before each of these steps"""
    got = [int(stage_at(PLAN, step)[1]) for step in range(8)]
    expected = [0, 512, 1024, 2048, 3072, 4096, 12288, 20480]
    causes = {
        "the step itself was counted": [512, 1024, 2048, 3072, 4096, 12288, 20480, 28672],
        "all steps were of the last shape": [0, 512, 2048, 3072, 4096, 40960, 49152, 57344],
        "tokens of the stage alone": [0, 512, 0, 1024, 2048, 0, 8192, 16384],
        "rows instead of tokens": [0, 8, 16, 20, 24, 28, 44, 60],
    }
    check_equal("the tokens", got, expected, causes)


@check("stage_at")
def the_last_goes_on(stage_at):
    """far beyond the last stage's length, and a plan of one stage"""
    check_equal("step 1000 of a single stage", tuple(map(int, stage_at([(5, 2, 10)], 1000))), (0, 20_000))
    check_equal("step 1005", tuple(map(int, stage_at(PLAN, 1005))), (2, 4096 + 1000 * 8192))


@check("stage_at")
def step_by_step(stage_at, rng):
    """a random plan, walked step by step"""
    plan = [tuple(int(n) for n in rng.integers(1, 9, size=3)) for _ in range(5)]
    owner = [number for number, (steps, _, _) in enumerate(plan[:-1]) for _ in range(steps)]
    tokens = 0
    for step in range(len(owner) + 6):
        number = owner[step] if step < len(owner) else 4
        check_equal(f"step {step} of {plan}", tuple(map(int, stage_at(plan, step))), (number, tokens))
        tokens += plan[number][1] * plan[number][2]


# --- repaired_step ---


def whole_then_clipped(weights, momentum, gradients, counts, lr, beta, clip):
    """Entry by entry, in Python's numbers."""
    total = [math.fsum(float(g) * int(n) for g, n in zip(column, counts)) / int(sum(counts)) for column in gradients.T]
    norm = math.sqrt(math.fsum(g * g for g in total))
    factor = clip / norm if norm > clip else 1.0
    new = [beta * float(m) + factor * g for m, g in zip(momentum, total)]
    return np.array([float(w) - lr * m for w, m in zip(weights, new)]), np.array(new)


@check("repaired_step")
def parts_that_cancel(repaired_step):
    """two long gradients that nearly cancel: their mean, (3, 0.4), is clipped to 1.5, and nothing before"""
    gradients, counts = np.array([[30.0, 40.0], [-24.0, -39.2]]), np.array([5, 5])
    weights, momentum = np.array([10.0, 20.0]), np.array([1.0, -2.0])
    got = repaired_step(weights, momentum, gradients, counts, lr=0.1, beta=0.5, clip=1.5)
    expected = whole_then_clipped(weights, momentum, gradients, counts, 0.1, 0.5, 1.5)
    bug = 0.5 * momentum + 0.5 * 1.5 * (gradients[0] / 50 + gradients[1] / np.hypot(24, 39.2))
    plain = 0.5 * momentum + gradients.mean(axis=0)
    causes = {"the bug is still there": bug, "nothing was clipped": plain}
    check_close("the momentum", got[1], expected[1], 1e-9, causes)
    causes = {"the bug is still there": weights - 0.1 * bug, "nothing was clipped": weights - 0.1 * plain}
    check_close("the weights", got[0], expected[0], 1e-9, causes)


@check("repaired_step")
def however_it_is_cut(repaired_step, rng):
    """one batch cut into parts of unequal numbers of targets: the step is always the same"""
    each = rng.normal(size=(24, 5)) * 8 + 3
    weights, momentum = rng.normal(size=5) * 5, rng.normal(size=5) * 5
    settings = {"lr": 0.3, "beta": 0.9, "clip": 2.0}
    expected = whole_then_clipped(weights, momentum, each, np.ones(24, np.int64), *settings.values())
    for counts in ([24], [12, 12], [1, 23], [5, 3, 10, 6], [1] * 24):
        pieces = np.split(each, np.cumsum(counts)[:-1])
        means = np.array([piece.mean(axis=0) for piece in pieces])
        got = repaired_step(weights, momentum, means, np.array(counts), **settings)
        causes = {}
        if len(counts) > 1 and len(set(counts)) > 1:
            mean = means.mean(axis=0)
            mean = mean * min(1.0, 2.0 / float(np.linalg.norm(mean)))
            causes = {"the parts were not weighted by their targets": weights - 0.3 * (0.9 * momentum + mean)}
        check_close(f"the weights, cut as {counts}", got[0], expected[0], 1e-9, causes)


@check("repaired_step")
def below_the_limit(repaired_step, rng):
    """0.95 of the limit, and exactly the limit, are left alone, and 1.05 is not"""
    for factor in (0.95, 1.0, 1.05):
        gradient = np.array([[3.0, 0.0, 4.0]])  # of length 5, exactly
        weights, momentum = np.array([5.0, 6.0, 7.0]), np.zeros(3)
        got = repaired_step(weights, momentum, gradient, np.array([3]), lr=1.0, beta=0.5, clip=5.0 / factor)
        expected = gradient[0] if factor <= 1 else gradient[0] / 1.05
        check_close(f"the momentum at {factor} of the limit", got[1], expected, 1e-13)


@check("repaired_step")
def momentum_is_not_clipped(repaired_step):
    """a long momentum from before stays long"""
    weights, momentum = np.array([1.0, 2.0]), np.array([300.0, 400.0])
    gradients, counts = np.array([[30.0, 0.0]]), np.array([2])
    got = repaired_step(weights, momentum, gradients, counts, lr=0.01, beta=0.9, clip=10.0)
    long = np.array([0.9 * 300 + 30, 0.9 * 400])
    causes = {"the momentum was clipped": long * 10 / np.hypot(*long), "nothing was clipped": long}
    check_close("the momentum", got[1], np.array([280.0, 360.0]), 1e-9, causes)
    check_close("the weights", got[0], np.array([1 - 2.8, 2 - 3.6]), 1e-9)


@check("repaired_step")
def no_gradient(repaired_step):
    """a gradient of 0, in one part and in two that cancel: only the momentum moves"""
    weights, momentum = np.array([5.0, 6.0]), np.array([30.0, -40.0])
    for gradients, counts in ((np.zeros((1, 2)), [3]), (np.array([[7.0, 1.0], [-7.0, -1.0]]), [4, 4])):
        with np.errstate(all="raise"):
            got = repaired_step(weights, momentum, gradients, np.array(counts), lr=0.1, beta=0.5, clip=1.0)
        check_close("the momentum", got[1], np.array([15.0, -20.0]), 1e-12)
        check_close("the weights", got[0], np.array([3.5, 8.0]), 1e-12)


@check("repaired_step")
def one_part(repaired_step, rng):
    """of a single part the script was right"""
    weights, momentum = rng.normal(size=4) * 4, rng.normal(size=4) * 4
    gradients = rng.normal(size=(1, 4)) * 10
    got = repaired_step(weights, momentum, gradients, np.array([9]), lr=0.2, beta=0.8, clip=1.0)
    expected = whole_then_clipped(weights, momentum, gradients, [9], 0.2, 0.8, 1.0)
    for name, mine, wanted in zip(("weights", "momentum"), got, expected):
        check_close(f"the {name}", mine, wanted, 1e-9)


@check("repaired_step")
def keeps_float32_repaired(repaired_step, rng):
    """float32 in and out"""
    arrays = [(rng.normal(size=shape) * 6).astype(np.float32) for shape in (3, 3, (2, 3))]
    got = repaired_step(*arrays, np.array([1, 2]), lr=0.5, beta=0.9, clip=1.0)
    expected = whole_then_clipped(*arrays, np.array([1, 2]), 0.5, 0.9, 1.0)
    for name, mine, wanted in zip(("weights", "momentum"), got, expected):
        check_close(f"the {name}", mine, wanted.astype(np.float32), 1e-4)


inputs_stay_unchanged("masked_loss", "accumulate", "deal", "stage_at", "repaired_step")
