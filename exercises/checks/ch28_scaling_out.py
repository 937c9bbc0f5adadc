"""What the grader looks at in chapter 28. Nothing is hidden: read on if a message leaves you wondering.

Everything expected is typed in, or found number by number with Python's own sums.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_equal,
    check_raises,
    check_that,
    inputs_stay_unchanged,
)

# --- ring_all_reduce ---


def post():
    """A `send` that carries copies, and its list of (sender, receiver, how many numbers)."""
    sent = []

    def send(rank, to, chunk):
        check_that(isinstance(chunk, np.ndarray), f"send wants an array, got {type(chunk).__name__}.")
        sent.append((int(rank), int(to), chunk.size))
        return chunk.copy()

    return send, sent


def summed(arrays):
    """Whole numbers, so that the order of adding does not matter."""
    return np.array([float(sum(int(v) for v in column)) for column in zip(*arrays)], arrays[0].dtype)


def whole_numbers(rng, ranks, length, dtype=np.float64):
    return [rng.integers(100, 1000, length).astype(dtype) * (r + 1) for r in range(ranks)]


def as_list(result, ranks):
    if type(result) is not list or len(result) != ranks:
        raise CheckFailed(f"a list of {ranks} arrays was expected, got {type(result).__name__}.")
    return result


def what_is_in_it(arrays, got):
    """In words, of what ranks' numbers a wrong sum is made; "" if that cannot be seen."""
    if not isinstance(got, np.ndarray) or got.shape != arrays[0].shape:
        return ""
    ways = list(itertools.product((0, 1), repeat=len(arrays)))  # which ranks are in an entry
    parts = np.array([sum(a * flag for a, flag in zip(arrays, way)) for way in ways], np.float64)
    if (np.abs(parts - got).min(axis=0) < 1e-6).all():
        return "only some chunks are whole: not every rank's numbers are in every sum"
    if (np.abs(parts + summed(arrays) - got).min(axis=0) < 1e-6).all():
        return "added once too often: some ranks' numbers are in it twice"
    return ""


def compare_sums(ring_all_reduce, arrays):
    expected, size = summed(arrays), len(arrays)
    causes = {
        "added once too often": expected + expected,
        "the mean, not the sum": expected / size,
        "the rank's own array": arrays[0],
        "the sum of all ranks but the last": summed(arrays[:-1]) if size > 1 else expected / 2,
    }
    send, sent = post()
    results = as_list(ring_all_reduce(arrays, send), size)
    for rank, got in enumerate(results):
        seen = what_is_in_it(arrays, got)
        check_close(f"the sum on rank {rank} of {size}", got, expected, 1e-6, causes | ({seen: got} if seen else {}))
    if size > 1 and not sent:
        raise CheckFailed(f"the {size} ranks have the sum, and none of them has sent anything", "all arrays were added "
                          "at one place. A rank knows its own, and what `send` brings.")  # fmt: skip
    return results, sent


@check("ring_all_reduce")
def sums(ring_all_reduce, rng):
    """the sum, on every rank, for two to six ranks"""
    for ranks in (2, 3, 4, 5, 6):
        compare_sums(ring_all_reduce, whole_numbers(rng, ranks, 4 * ranks))


@check("ring_all_reduce")
def lengths(ring_all_reduce, rng):
    """lengths that the number of ranks does not divide, also shorter than it"""
    for ranks, length in ((3, 10), (4, 7), (5, 4), (3, 1)):
        compare_sums(ring_all_reduce, whole_numbers(rng, ranks, length))


@check("ring_all_reduce")
def who_sends_what(ring_all_reduce, rng):
    """2 (N - 1) messages a rank, to its right neighbour, of a chunk each; all ranks send in every step"""
    for ranks, length in ((2, 8), (3, 9), (4, 10), (5, 25)):
        _, sent = compare_sums(ring_all_reduce, whole_numbers(rng, ranks, length))
        largest = max(size for _, _, size in sent) if sent else 0
        chunk = math.ceil(length / ranks)
        if largest > chunk:
            cause = "whole arrays were sent" if largest == length else "chunks were put together"
            raise CheckFailed(f"a message of {largest} numbers, where a chunk has {chunk} at most", cause + ".")
        wrong = [(rank, to) for rank, to, _ in sent if to != (rank + 1) % ranks]
        if wrong:
            back = all(to == (rank - 1) % ranks for rank, to in wrong)
            cause = "the messages went the other way." if back else "a rank sends to its right neighbour only."
            raise CheckFailed(f"rank {wrong[0][0]} of {ranks} sent to rank {wrong[0][1]}", cause)
        expected = 2 * (ranks - 1)
        counts = [sum(rank == r for rank, _, _ in sent) for r in range(ranks)]
        check_equal(f"messages sent by each of {ranks} ranks", counts, [expected] * ranks)
        steps = [sorted(rank for rank, _, _ in sent[i : i + ranks]) for i in range(0, len(sent), ranks)]
        check_equal("who sends in each step", steps, [list(range(ranks))] * expected)


@check("ring_all_reduce")
def same_bytes_everywhere(ring_all_reduce, rng):
    """numbers whose sum depends on the order: all ranks still have the same one, and arrays of their own"""
    arrays = [rng.normal(size=11) * 10.0 ** rng.integers(-8, 9, 11) for _ in range(5)]
    results = as_list(ring_all_reduce(arrays, post()[0]), 5)
    expected = np.array([math.fsum(float(v) for v in column) for column in zip(*arrays)])
    scale = np.max(np.abs(arrays), axis=0)
    for rank, got in enumerate(results):
        check_close(
            f"the sum on rank {rank}, divided by its largest summand, plus 1",
            got / scale + 1,
            expected / scale + 1,
            1e-9,
        )
        check_that(np.array_equal(got, results[0]), f"rank {rank} has other last digits than rank 0.")
        check_that(
            not any(np.shares_memory(got, other) for other in results[:rank]),
            f"rank {rank} shares its memory with another: ranks are different machines.",
        )


@check("ring_all_reduce")
def one_rank(ring_all_reduce, rng):
    """a single rank has the sum already, and sends nothing"""
    arrays = whole_numbers(rng, 1, 5)
    send, sent = post()
    (got,) = as_list(ring_all_reduce(arrays, send), 1)
    check_close("the sum of one", got, arrays[0], 1e-9)
    check_that(not sent, "one rank sent to itself.")


@check("ring_all_reduce")
def keeps_float32(ring_all_reduce, rng):
    """float32 stays"""
    compare_sums(ring_all_reduce, whole_numbers(rng, 3, 7, np.float32))


# --- column_row_forward and column_row_backward ---


def others(rest):
    """An all-reduce whose other ranks' sum is known, and its list of what was handed in."""
    given = []

    def all_reduce(array):
        given.append(np.array(array))
        if rest.shape != np.shape(array):  # whatever is exchanged by mistake gets something back, too
            return array + np.ones(np.shape(array), np.asarray(array).dtype)
        return array + rest

    return all_reduce, given


def product(a, b):
    """(n, k) times (k, m), one number at a time."""
    columns = [[float(v) for v in column] for column in b.T]
    return np.array([[math.fsum(float(p) * q for p, q in zip(row, column)) for column in columns] for row in a])


def shared_out(rng, shape=(4,), inputs=3, inner=5, outputs=2):
    x = rng.normal(size=(*shape, inputs))
    up, down = rng.normal(size=(inputs, inner)) * 0.7, rng.normal(size=(inner, outputs))
    return x, up, down, rng.normal(size=outputs) + 2.0


def by_numbers(x, up, down):
    rows = x.reshape(-1, x.shape[-1])
    h = np.array([[math.tanh(v) for v in row] for row in product(rows, up)])
    return h, product(h, down)


def pair_of(result, what=2):
    if type(result) is not tuple or len(result) != what:
        raise CheckFailed(f"{what} arrays were expected, got {type(result).__name__}.")
    return result


@check("column_row_forward")
def alone(column_row_forward, rng):
    """one rank, whose sum is its own"""
    for shape in ((4,), (2, 3), (1,)):
        x, up, down, bias = shared_out(rng, shape)
        h, summand = by_numbers(x, up, down)
        y, got_h = pair_of(column_row_forward(x, up, down, bias, np.copy))
        expected = (summand + bias).reshape(*shape, 2)
        causes = {
            "no bias": expected - bias,
            "no tanh": (product(product(x.reshape(-1, 3), up), down) + bias).reshape(*shape, 2),
            "tanh once more, over y": np.tanh(expected),
        }
        check_close("y", y, expected, 1e-9, causes)
        before = product(x.reshape(-1, 3), up).reshape(*shape, 5)
        check_close("h", got_h, h.reshape(*shape, 5), 1e-9, {"h before the tanh": before})


@check("column_row_forward")
def what_is_exchanged(column_row_forward, rng):
    """one sum, of this rank's summand and nothing else; the others' summands arrive in y"""
    for shape in ((4,), (2, 3)):
        x, up, down, bias = shared_out(rng, shape)
        h, summand = (array.reshape(*shape, -1) for array in by_numbers(x, up, down))
        rest = rng.normal(size=(*shape, 2)) * 3
        all_reduce, handed = others(rest)
        y, _ = pair_of(column_row_forward(x, up, down, bias, all_reduce))
        if len(handed) != 1:
            cause = (
                "the other ranks' summands are missing." if not handed else "more was exchanged than the summand of y."
            )
            if any(a.shape == h.shape for a in handed):
                cause = "the inner activations were exchanged."
            raise CheckFailed(f"all_reduce was called {len(handed)} times, not once.", cause)
        causes = {"the bias went into the sum": summand + bias, "the inner activations were exchanged": h}
        check_close("what was handed to all_reduce", handed[0], summand, 1e-9, causes)
        causes = {"the sum was not used": summand + bias, "no bias": summand + rest}
        check_close("y", y, summand + rest + bias, 1e-9, causes)


@check("column_row_forward")
def stays_float32(column_row_forward, rng):
    """float32 in and out"""
    given = [array.astype(np.float32) for array in shared_out(rng)]
    h, summand = by_numbers(*given[:3])
    rest = np.ones((4, 2), np.float32)
    y, got_h = pair_of(column_row_forward(*given, others(rest)[0]))
    check_close("y", y, (summand + rest + given[3]).astype(np.float32), 1e-4)
    check_close("h", got_h, h.astype(np.float32), 1e-5)


def backward_by_numbers(dy, x, up, down):
    """Each gradient by its sum: dz = dy Dᵀ (1 - h²)."""
    x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    h, _ = by_numbers(x, up, down)
    dh = product(dy, down.T)
    dz = dh * np.array([[1 - v * v for v in row] for row in h.tolist()])
    return (
        h,
        dh,
        dz,
        product(dz, up.T),
        product(x.T, dz),
        product(h.T, dy),
        np.array([math.fsum(c) for c in dy.T.tolist()]),
    )


def backward_case(rng, shape=(4,)):
    x, up, down, _ = shared_out(rng, shape)
    dy = rng.normal(size=(*shape, 2)) + 0.5
    found = backward_by_numbers(dy, x, up, down)
    h = found[0].reshape(*shape, 5)
    rest = rng.normal(size=x.shape) * 2
    return (dy, x, h, up, down), found, rest


@check("column_row_backward")
def input_gradient(column_row_backward, rng):
    """dx is the sum over ranks"""
    for shape in ((4,), (2, 3), (1,)):
        given, (h, dh, dz, dx, *_), rest = backward_case(rng, shape)
        got = pair_of(column_row_backward(*given, others(rest)[0]), 4)[0]
        dx = dx.reshape(rest.shape)
        causes = {
            "the other ranks' share of dx is missing": dx,
            "the derivative of tanh is missing": product(dh, given[3].T).reshape(rest.shape) + rest,
            "the mean over ranks": (dx + rest) / 2,
            "dy was summed over ranks": backward_by_numbers(given[0] + 1, given[1], *given[3:])[3].reshape(rest.shape)
            + rest,
            "dy was summed over ranks, and dx was not": backward_by_numbers(given[0] + 1, given[1], *given[3:])[
                3
            ].reshape(rest.shape),
            "the derivative of tanh: 1 - h², with h and not with z": product(
                dh * (1 - np.tanh(h) ** 2), given[3].T
            ).reshape(rest.shape)
            + rest,
            "the derivative of tanh: 1 - h², not 1 - h": product(dh * (1 - h), given[3].T).reshape(rest.shape) + rest,
        }
        check_close("dx", got, dx + rest, 1e-9, causes)


@check("column_row_backward")
def weight_gradients(column_row_backward, rng):
    """dup, ddown, dbias, with one and with two axes in front"""
    for shape in ((4,), (2, 3)):
        given, (h, dh, dz, _, dup, ddown, dbias), rest = backward_case(rng, shape)
        _, got_up, got_down, got_bias = pair_of(column_row_backward(*given, others(rest)[0]), 4)
        x = given[1].reshape(-1, 3)
        twice = np.ones(given[0].shape) + given[0]
        summed_dy = backward_by_numbers(twice, given[1], *given[3:])
        causes = {
            "the derivative of tanh is missing": product(x.T, dh),
            "the derivative of tanh: 1 - h², with h and not with z": product(x.T, dh * (1 - np.tanh(h) ** 2)),
            "dy was summed over ranks": summed_dy[4],
            "summed over ranks": dup + 1,
        }
        check_close("dup", got_up, dup, 1e-9, causes)
        causes = {"dy was summed over ranks": summed_dy[5], "summed over ranks": ddown + 1}
        check_close("ddown", got_down, ddown, 1e-9, causes)
        causes = {"dy was summed over ranks": summed_dy[6], "summed over ranks": dbias + 1,
                  "the mean, not the sum": dbias / len(x)}  # fmt: skip
        check_close("dbias", got_bias, dbias, 1e-9, causes)


@check("column_row_backward")
def one_exchange(column_row_backward, rng):
    """one sum over ranks, of this rank's dx"""
    given, (_, _, _, dx, *_), rest = backward_case(rng)
    all_reduce, handed = others(rest)
    column_row_backward(*given, all_reduce)
    if len(handed) != 1:
        cause = "more was exchanged than dx." if len(handed) > 1 else "the other ranks' share of dx is missing."
        raise CheckFailed(f"all_reduce was called {len(handed)} times, not once.", cause)
    check_close("what was handed to all_reduce", handed[0], dx, 1e-9)


@check("column_row_backward")
def float32_stays(column_row_backward, rng):
    """float32 in and out"""
    given, (_, _, _, dx, dup, ddown, dbias), rest = backward_case(rng)
    given = [array.astype(np.float32) for array in given]
    got = pair_of(column_row_backward(*given, others(rest.astype(np.float32))[0]), 4)
    for name, mine, wanted in zip(("dx", "dup", "ddown", "dbias"), got, (dx + rest, dup, ddown, dbias)):
        check_close(name, mine, wanted.astype(np.float32), 1e-3)


@check("column_row_backward")
def tiny_in_float64(column_row_backward, rng):
    """float64 to ten digits, not float32 inside"""
    given, (_, _, _, dx, dup, ddown, dbias), rest = backward_case(rng)
    got = pair_of(column_row_backward(*given, others(rest)[0]), 4)
    for name, mine, wanted in zip(("dx", "dup", "ddown", "dbias"), got, (dx + rest, dup, ddown, dbias)):
        check_close(name, mine, wanted, 1e-12)


# --- one_forward_one_backward ---


def words(text):
    return [line.split() for line in text.strip().splitlines()]


THREE = words("""
    f0 f1 f2 b0 f3 b1 f4 b2 b3 b4
    f0 f1 b0 f2 b1 f3 b2 f4 b3 b4
    f0 b0 f1 b1 f2 b2 f3 b3 f4 b4
""")


@check("one_forward_one_backward")
def three_stages(one_forward_one_backward):
    """three stages, five micro-batches, written out"""
    forwards, backwards = [f"f{i}" for i in range(5)], [f"b{i}" for i in range(5)]
    causes = {
        "all forwards first": [forwards + backwards] * 3,
        "all forwards first, then backwards from the last": [forwards + backwards[::-1]] * 3,
        "the stages are in the wrong order": THREE[::-1],
        "too many forwards first": words("""
            f0 f1 f2 f3 b0 f4 b1 b2 b3 b4
            f0 f1 f2 b0 f3 b1 f4 b2 b3 b4
            f0 f1 b0 f2 b1 f3 b2 f4 b3 b4
        """),
        "no forwards ahead: the stages behind would wait for ever": [THREE[2]] * 3,
        "as many forwards first on all stages": [THREE[0]] * 3,
        "the backwards run from the last micro-batch": [
            [f"b{4 - int(action[1])}" if action[0] == "b" else action for action in stage] for stage in THREE
        ],
    }
    check_equal("the schedule", one_forward_one_backward(3, 5), THREE, causes)


@check("one_forward_one_backward")
def few_micro_batches(one_forward_one_backward):
    """fewer micro-batches than stages, one, and as many"""
    check_equal("four stages, two micro-batches", one_forward_one_backward(4, 2), words("""
        f0 f1 b0 b1
        f0 f1 b0 b1
        f0 f1 b0 b1
        f0 b0 f1 b1
    """))  # fmt: skip
    check_equal("three stages, one", one_forward_one_backward(3, 1), [["f0", "b0"]] * 3)
    check_equal("two and two", one_forward_one_backward(2, 2), [["f0", "f1", "b0", "b1"], ["f0", "b0", "f1", "b1"]])


@check("one_forward_one_backward")
def one_stage(one_forward_one_backward):
    """a single stage turns round after each"""
    check_equal("one stage", one_forward_one_backward(1, 3), [["f0", "b0", "f1", "b1", "f2", "b2"]])


@check("one_forward_one_backward")
def many(one_forward_one_backward):
    """numbers of two digits; never more kept than there are stages from here on; everything once"""
    plan = one_forward_one_backward(5, 23)
    check_that(type(plan) is list and len(plan) == 5, "a list of 5 lists was expected.")
    for stage, actions in enumerate(plan):
        expected = sorted([f"f{i}" for i in range(23)] + [f"b{i}" for i in range(23)])
        check_equal(f"what stage {stage} does, sorted", sorted(actions), expected)
        kept = most = 0
        for action in actions:
            kept += 1 if action[0] == "f" else -1
            most = max(most, kept)
        check_equal(f"the most that stage {stage} keeps", most, 5 - stage)
        for kind in "fb":
            order = [action for action in actions if action[0] == kind]
            check_equal(f"the order on stage {stage}", order, [f"{kind}{i}" for i in range(23)])


# --- mean_gradient ---


def by_name(rng, ranks, dtype=np.float64):
    return [
        {"w": rng.normal(size=(2, 3)).astype(dtype) * 3, "b": rng.normal(size=4).astype(dtype) + 2}
        for _ in range(ranks)
    ]


def weighted(gradients, counts):
    total = sum(counts)
    result = {}
    for name, first in gradients[0].items():
        mean = np.zeros(first.shape)
        for index in np.ndindex(first.shape):
            mean[index] = math.fsum(float(g[name][index]) * n / total for g, n in zip(gradients, counts) if n)
        result[name] = mean
    return result


def compare_means(mean_gradient, gradients, counts):
    got, expected = mean_gradient(gradients, counts), weighted(gradients, counts)
    check_that(type(got) is dict, f"a dict was expected, got {type(got).__name__}.")
    check_equal("the names", sorted(got), sorted(expected))
    with np.errstate(all="ignore"):
        for name, mean in expected.items():
            stack = np.array([g[name] for g in gradients], np.float64)
            total = sum(counts)
            causes = {
                "the mean of the ranks' means": stack.mean(axis=0),
                "the sum, not the mean": mean * total,
                "the sum of the means": stack.sum(axis=0),
                "divided by the ranks, not by the targets": mean * total / len(counts),
                "the largest count was taken for the total": mean * total / max(counts),
            }
            dtype = gradients[0][name].dtype
            causes = {words: value.astype(dtype) for words, value in causes.items() if np.isfinite(value).all()}
            tolerance = 1e-9 if dtype == np.float64 else 1e-4
            check_close(f"the gradient of {name}", got[name], mean.astype(dtype), tolerance, causes)


@check("mean_gradient")
def unequal(mean_gradient, rng):
    """ranks with unequal numbers of targets"""
    for counts in ([3, 1], [1, 50, 7], [100, 1, 1, 2]):
        compare_means(mean_gradient, by_name(rng, len(counts)), counts)


@check("mean_gradient")
def a_rank_without_targets(mean_gradient, rng):
    """a rank whose mean is over nothing is left out, wherever it stands, whatever it holds"""
    for place in range(3):
        for junk in (np.nan, np.inf, 7.0):
            gradients, counts = by_name(rng, 3), [5, 2, 9]
            counts[place] = 0
            gradients[place] = {name: np.full_like(array, junk) for name, array in gradients[place].items()}
            compare_means(mean_gradient, gradients, counts)


@check("mean_gradient")
def a_rank_that_broke(mean_gradient, rng):
    """what is no number on a rank with targets is not hidden"""
    for bad in (np.nan, np.inf):
        gradients = by_name(rng, 3)
        gradients[1]["w"][0, 2] = bad
        got = mean_gradient(gradients, [4, 2, 0])
        hidden = "what is no number on a rank with targets was left out: a broken run would look well."
        check_that(not np.isfinite(got["w"][0, 2]), f"with {bad} on rank 1 the mean is {got['w'][0, 2]}", hidden)
        whole = {"b": weighted([{"b": g["b"]} for g in gradients], [4, 2, 0])["b"]}
        check_close("the gradient of b", got["b"], whole["b"], 1e-9)


@check("mean_gradient")
def nothing_at_all(mean_gradient, rng):
    """no target anywhere: an error, not NaN"""
    check_raises("no rank has a target", ValueError, mean_gradient, by_name(rng, 2), [0, 0])


@check("mean_gradient")
def single(mean_gradient, rng):
    """one rank; and equal numbers, where all means agree"""
    compare_means(mean_gradient, by_name(rng, 1), [6])
    compare_means(mean_gradient, by_name(rng, 4), [5, 5, 5, 5])


@check("mean_gradient")
def float32_means(mean_gradient, rng):
    """float32 in and out"""
    compare_means(mean_gradient, by_name(rng, 3, np.float32), [1, 2, 3])


# --- repaired_loss ---


def softmax_by_numbers(shards, targets):
    rows = np.concatenate(shards, axis=1).tolist()
    losses = []
    for row, target in zip(rows, targets.tolist()):
        top = max(row)
        losses.append(math.log(math.fsum(math.exp(v - top) for v in row)) - (row[target] - top))
    return np.array(losses)


def with_the_bug(shards, targets):
    own = [logits - logits.max(axis=1, keepdims=True) for logits in shards]
    total = sum(np.exp(logits).sum(axis=1) for logits in own)
    return np.log(total) - np.concatenate(own, axis=1)[np.arange(len(targets)), targets]


def compare_losses(repaired_loss, shards, targets, tolerance=1e-9):
    expected = softmax_by_numbers(shards, targets).astype(shards[0].dtype)
    rows = np.concatenate(shards, axis=1)
    top = rows.max(axis=1)
    at_target = rows[np.arange(len(rows)), targets] - top
    with np.errstate(all="ignore"):
        causes = {
            "the bug is still there": with_the_bug(shards, targets).astype(expected.dtype),
            "the loss of the first rank's words alone": np.log(np.exp(shards[0]).sum(axis=1)) - shards[0][:, 0],
            "the sign": -expected,
            "the mean over tokens, where each has its own": np.full_like(expected, expected.mean()),
            "the logarithm of the sum is missing": np.exp(expected + at_target) - at_target,
            "the sum of the last rank's words alone": np.log(np.exp(shards[-1] - top[:, None]).sum(axis=1)) - at_target,
        }
    causes = {words: value for words, value in causes.items() if np.isfinite(value).all()}
    with np.errstate(all="raise", under="ignore"):
        check_close("the losses", repaired_loss(shards, targets), expected, tolerance, causes)


@check("repaired_loss")
def by_hand(repaired_loss):
    """two ranks of two words, probabilities 1/10 to 4/10"""
    shards = [np.log([[1.0, 2.0]] * 4), np.log([[3.0, 4.0]] * 4)]
    compare_losses(repaired_loss, shards, np.arange(4))


@check("repaired_loss")
def random_words(repaired_loss, rng):
    """random logits, one to five ranks, targets on any of them"""
    for ranks, size in ((1, 6), (2, 3), (3, 1), (5, 4)):
        shards = [rng.normal(size=(20, size)) * 3 for _ in range(ranks)]
        targets = rng.integers(0, ranks * size, 20)
        targets[:2] = 0, ranks * size - 1
        compare_losses(repaired_loss, shards, targets)


@check("repaired_loss")
def far_apart(repaired_loss):
    """rows near 1,000 and near -1,000; words that lie 2,000 apart, on two ranks and on one: nothing overflows"""
    near = np.array([0.0, 1.0, -1.0, 2.0])
    apart, inside = [-1000.0, -999.0, 1000.0, 1001.0], [-1000.0, 1000.0, -999.0, -1001.0]
    rows = np.array([near + 1e3, near - 1e3, apart, inside, near - 1e6])
    for targets in ([0, 1, 2, 1, 0], [3, 3, 3, 0, 3], [1, 0, 0, 2, 1]):
        compare_losses(repaired_loss, np.split(rows, 2, axis=1), np.array(targets), 1e-7)


@check("repaired_loss")
def a_rank_without_a_chance(repaired_loss):
    """all words of one rank are forbidden in some rows (-inf), of another in others"""
    shards = [np.array([[-np.inf, -np.inf], [0.3, 1.2]]), np.array([[0.5, 2.0], [-np.inf, -np.inf]])]
    for targets in ([2, 0], [3, 1]):
        compare_losses(repaired_loss, shards, np.array(targets))


@check("repaired_loss")
def one_row(repaired_loss, rng):
    """a single token"""
    compare_losses(repaired_loss, list(rng.normal(size=(2, 1, 3)) * 2), np.array([4]))


@check("repaired_loss")
def float32_losses(repaired_loss, rng):
    """float32 in and out"""
    shards = [(rng.normal(size=(9, 4)) * 3).astype(np.float32) for _ in range(2)]
    compare_losses(repaired_loss, shards, rng.integers(0, 8, 9), 1e-4)


inputs_stay_unchanged("ring_all_reduce", "column_row_forward", "column_row_backward", "mean_gradient", "repaired_loss")
