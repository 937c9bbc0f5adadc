"""What the grader looks at in chapter 26. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, or found one entry at a time.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_that, inputs_stay_unchanged

# --- trim ---


def kept_one_by_one(tau, count):
    """The entry of the largest magnitude, then the next, the first of equal ones."""
    flat, found = [float(x) for x in tau.reshape(-1)], [0.0] * tau.size
    left = list(range(tau.size))
    for _ in range(count):
        best = max(left, key=lambda k: (abs(flat[k]), -k))
        found[best] = flat[best]
        left.remove(best)
    return np.array(found).reshape(tau.shape)


@check("trim")
def by_hand_trimmed(trim):
    """eight entries, three of them kept"""
    tau = np.array([4.0, -9.0, 1.0, 7.0, -8.0, 0.5, -6.0, 2.0])
    expected = np.array([0, -9.0, 0, 7.0, -8.0, 0, 0, 0])
    causes = {
        "the largest values were kept, not the largest magnitudes": np.array([4.0, 0, 0, 7.0, 0, 0, 0, 2.0]),
        "the smallest entries were kept": np.array([0, 0, 1.0, 0, 0, 0.5, 0, 2.0]),
        "magnitudes came back, without their signs": np.abs(expected),
        "so many were dropped as should have been kept": np.array([4.0, -9.0, 0, 7.0, -8.0, 0, -6.0, 0]),
        "one too many was kept": np.array([0, -9.0, 0, 7.0, -8.0, 0, -6.0, 0]),
        "nothing was trimmed": tau,
    }
    check_close("what is kept", trim(tau, 0.375), expected, 1e-12, causes)


@check("trim")
def equal_entries(trim):
    """of equal magnitudes those that come first"""
    tau = np.array([3.0, -3.0, 3.0, 5.0, -3.0, 3.0])
    causes = {"all that equal the threshold were kept": tau}
    check_close("what is kept", trim(tau, 0.5), np.array([3.0, -3.0, 0, 5.0, 0, 0]), 1e-12, causes)
    check_that(not np.any(trim(np.zeros(4), 0.5)), "of zeros alone nothing but zeros is left")


@check("trim")
def never_nothing(trim):
    """a share of less than one entry keeps one; a density of 1 keeps all"""
    tau = np.array([2.0, -7.0, 3.0])
    check_close("what is kept", trim(tau, 0.1), np.array([0, -7.0, 0]), 1e-12, {"nothing was kept": 0 * tau})
    check_close("what density 1 keeps", trim(tau, 1.0), tau, 1e-12)
    check_close("of a single entry", trim(np.array([-4.0]), 0.2), np.array([-4.0]), 1e-12)


@check("trim")
def any_shape(trim, rng):
    """matrices, and a convolution's (channels, 1, width): one threshold for all of it"""
    for shape, density in (((6, 7), 0.3), ((5, 1, 4), 0.25), ((3, 4, 5), 0.9)):
        tau = rng.normal(size=shape) * 5
        count = int(density * tau.size)
        rows = np.stack([kept_one_by_one(row, max(1, int(density * row.size))) for row in tau])
        causes = {"each row was trimmed by itself": rows}
        check_close(f"what is kept of {shape}", trim(tau, density), kept_one_by_one(tau, count), 1e-12, causes)


@check("trim")
def keeps_float32_trimmed(trim, rng):
    """float32 in and out"""
    tau = (rng.normal(size=40) * 5).astype(np.float32)
    check_close("what is kept", trim(tau, 0.5), kept_one_by_one(tau, 20).astype(np.float32), 1e-6)


# --- elect ---


@check("elect")
def by_hand_elected(elect):
    """three task vectors of four entries: mass, not heads"""
    taus = np.array([[5.0, 1.0, -2.0, -1.0], [-1.0, 1.0, -2.0, -1.0], [-1.0, -9.0, 5.0, -1.0]])
    causes = {
        "the signs were counted, not the mass": np.array([-1.0, 1, -1, -1]),
        "the other side won": np.array([-1.0, 1, -1, 1]),
        "the sums came back, not their signs": taus.sum(0),
    }
    expected = np.array([1.0, -1.0, 1.0, -1.0])
    got = elect(taus)
    check_equal("the shape", np.shape(got), (4,))
    check_close("the signs", got, expected, 1e-12, causes)


@check("elect")
def mass_of_many(elect):
    """one large entry against four that weigh more together"""
    taus = np.array([[-7.0, 3.0], [2.0, -1.0], [2.0, -1.0], [2.0, -1.0], [2.0, 0.5]])
    causes = {"the sign of the largest entry was taken": np.array([-1.0, 1.0])}
    check_close("the signs", elect(taus), np.array([1.0, 1.0]), 1e-12, causes)


@check("elect")
def ties(elect):
    """a sum of exactly 0, with and without entries: +1"""
    taus = np.array([[2.0, 0.0, -3.0, -1.0], [-2.0, 0.0, 3.0, 0.0]])
    causes = {"a tie is elected 0": np.array([0.0, 0, 0, -1]), "a tie is elected -1": np.array([-1.0, -1, -1, -1])}
    check_close("the signs", elect(taus), np.array([1.0, 1, 1, -1]), 1e-12, causes)


@check("elect")
def square_stack(elect, rng):
    """as many vectors as entries, and matrices: the axis shows"""
    for shape in ((4, 4), (3, 5, 2)):
        taus = rng.normal(size=shape) * 5
        expected = np.ones(shape[1:])
        for place in np.ndindex(shape[1:]):
            expected[place] = 1.0 if math.fsum(float(one[place]) for one in taus) >= 0 else -1.0
        causes = {"the wrong axis": np.where(taus.sum(1) >= 0, 1.0, -1.0)} if shape == (4, 4) else {}
        check_close("the signs", elect(taus), expected, 1e-12, causes)


@check("elect")
def keeps_float32_elected(elect, rng):
    """signs in the dtype of the task vectors"""
    taus = (rng.normal(size=(3, 6)) * 5).astype(np.float32)
    expected = np.array([1.0 if sum(map(float, column)) >= 0 else -1.0 for column in taus.T], np.float32)
    check_close("the signs", elect(taus), expected, 1e-6)


# --- merge_agreeing ---


def agreeing_one_by_one(taus, sign):
    found = np.zeros(sign.shape)
    for place in np.ndindex(sign.shape):
        voices = [float(one[place]) for one in taus if float(one[place]) * float(sign[place]) > 0]
        found[place] = math.fsum(voices) / len(voices) if voices else 0.0
    return found


@check("merge_agreeing")
def by_hand_merged(merge_agreeing):
    """three task vectors, none trimmed"""
    taus = np.array([[6.0, 1.0, -2.0], [2.0, -4.0, -8.0], [-1.0, -6.0, 5.0]])
    sign, expected = np.array([1.0, -1.0, -1.0]), np.array([4.0, -5.0, -5.0])
    causes = {
        "divided by all models": np.array([8 / 3, -10 / 3, -10 / 3]),
        "those who disagree were added, too": np.array([3.5, -4.5, -2.5]),
        "it is the plain mean": taus.mean(0),
        "the sum of those that agree, not their mean": np.array([8.0, -10.0, -10.0]),
        "the mean of those that disagree": np.array([-1.0, 1.0, 5.0]),
        "magnitudes came back, without the sign": np.abs(expected),
    }
    check_close("the merged entries", merge_agreeing(taus, sign), expected, 1e-9, causes)


@check("merge_agreeing")
def trimmed_entries(merge_agreeing):
    """zeros agree with nobody"""
    taus = np.array([[6.0, 0.0, -2.0], [0.0, 0.0, -8.0], [0.0, -6.0, 0.0], [2.0, 0.0, 0.0]])
    sign, expected = np.array([1.0, -1.0, -1.0]), np.array([4.0, -6.0, -5.0])
    causes = {
        "zeros were counted among those that agree": np.array([2.0, -1.5, -2.5]),
        "divided by all models": np.array([2.0, -1.5, -2.5]),
    }
    check_close("the merged entries", merge_agreeing(taus, sign), expected, 1e-9, causes)


@check("merge_agreeing")
def nobody_agrees(merge_agreeing):
    """an entry that all trimmed, and a sign that none has: 0, without a warning"""
    taus = np.array([[0.0, -3.0, 400.0], [0.0, -5.0, 200.0]])
    with np.errstate(divide="raise", invalid="raise"):
        got = merge_agreeing(taus, np.array([1.0, 1.0, 1.0]))
    check_close("the merged entries", got, np.array([0, 0, 300.0]), 1e-9)


@check("merge_agreeing")
def any_stack(merge_agreeing, rng):
    """matrices, two to five of them, half of the entries trimmed"""
    for shape in ((2, 3, 4), (5, 6), (4, 4)):
        taus = rng.normal(size=shape) * 5 * (rng.random(shape) < 0.5)
        sign = np.where(rng.random(shape[1:]) < 0.5, 1.0, -1.0)
        check_close(f"the merged entries of {shape}", merge_agreeing(taus, sign), agreeing_one_by_one(taus, sign), 1e-9)


@check("merge_agreeing")
def keeps_float32_merged(merge_agreeing, rng):
    """float32 in and out"""
    taus = (rng.normal(size=(3, 8)) * 5).astype(np.float32)
    sign = np.where(taus.sum(0) >= 0, 1, -1).astype(np.float32)
    expected = agreeing_one_by_one(taus, sign).astype(np.float32)
    check_close("the merged entries", merge_agreeing(taus, sign), expected, 1e-4)


# --- slerp ---


def on_the_arc(a, b, t, cos=None):
    """The formula, entry by entry."""
    x, y = [float(v) for v in a.reshape(-1)], [float(v) for v in b.reshape(-1)]
    dot = math.fsum(u * v for u, v in zip(x, y))
    if cos is None:
        cos = dot / math.sqrt(math.fsum(u * u for u in x)) / math.sqrt(math.fsum(v * v for v in y))
    angle = math.acos(cos)
    p, q = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    return np.array([p * u + q * v for u, v in zip(x, y)]).reshape(a.shape)


@check("slerp")
def by_hand_arc(slerp):
    """a right angle, vectors of length 30 and 40, a third of the way"""
    a, b = np.array([30.0, 0.0]), np.array([0.0, 40.0])
    s, c = math.sin(math.pi / 6), math.cos(math.pi / 6)
    expected = np.array([30 * c, 40 * s])
    causes = {
        "it is the line": np.array([20.0, 40 / 3]),
        "the vectors were made unit vectors": np.array([c, s]),
        "the ends were exchanged": np.array([30 * s, 40 * c]),
        "it is the first model": a,
    }
    check_close("the point", slerp(a, b, 1 / 3), expected, 1e-9, causes)


@check("slerp")
def lengths(slerp, rng):
    """vectors of any length; both ends"""
    for size in (3, 50):
        a, b = rng.normal(size=size) * 3, rng.normal(size=size) * 20
        for t in (0.0, 0.2, 0.7, 1.0):
            expected = on_the_arc(a, b, t)
            capped = max(-1.0, min(1.0, float(a @ b)))
            causes = {}
            if abs(capped) < 1:
                causes["the dot product was taken for the cosine"] = on_the_arc(a, b, t, capped)
            elif abs(capped) == 1 and t in (0.2, 0.7):
                causes["the dot product was taken for the cosine"] = (1 - t) * a + t * b
            check_close(f"the point at t = {t}", slerp(a, b, t), expected, 1e-8, causes)


@check("slerp")
def tensors_of_two_axes(slerp, rng):
    """a matrix has one angle, not one for each row or column"""
    a, b = rng.normal(size=(4, 5)) * 5, rng.normal(size=(4, 5)) * 5
    causes = {
        "each row went along an arc of its own": np.stack([on_the_arc(x, y, 0.4) for x, y in zip(a, b)]),
        "each column went along an arc of its own": np.stack([on_the_arc(x, y, 0.4) for x, y in zip(a.T, b.T)]).T,
    }
    check_close("the point", slerp(a, b, 0.4), on_the_arc(a, b, 0.4), 1e-8, causes)


@check("slerp")
def parallel(slerp):
    """the same and the opposite direction, and |cos| just above and just below 0.9995: the line, and the arc"""
    a = np.array([300.0, 400.0])
    check_close("the same direction", slerp(a, 3 * a, 0.25), 1.5 * a, 1e-9)
    check_close("the opposite direction", slerp(a, -a, 0.25), 0.5 * a, 1e-9)
    for angle, line in ((0.031, True), (0.0325, False), (math.pi - 0.031, True), (math.pi - 0.0325, False)):
        b = 500 * np.array([math.cos(angle + math.atan2(4, 3)), math.sin(angle + math.atan2(4, 3))])
        ways = {True: 0.5 * a + 0.5 * b, False: on_the_arc(a, b, 0.5)}
        causes = {"the arc where the line was asked for, or the other way round": ways[not line]}
        cos = f"cos = {math.cos(angle):.5f}"
        check_close(f"half way, {cos}", slerp(a, b, 0.5), ways[line], 1e-6, causes)


@check("slerp")
def keeps_float32_arc(slerp, rng):
    """float32 in and out, on the arc and on the line"""
    a, b = ((rng.normal(size=(3, 4)) * 5).astype(np.float32) for _ in range(2))
    check_close("the point", slerp(a, b, 0.3), on_the_arc(a, b, 0.3).astype(np.float32), 1e-4)
    check_close("on the line", slerp(a, 2 * a, 0.5), (1.5 * a).astype(np.float32), 1e-4)


# --- fisher_average ---


@check("fisher_average")
def by_hand_fisher(fisher_average):
    """two models of three entries"""
    models, fishers = np.array([[10.0, 20.0, 30.0], [50.0, 60.0, 70.0]]), np.array([[1.0, 3.0, 0.0], [3.0, 1.0, 5.0]])
    expected = np.array([40.0, 30.0, 70.0])
    shares = fishers / fishers.sum()
    causes = {
        "not divided by the sum of the Fisher informations": (fishers * models).sum(0),
        "the weights were normalised over the whole model": (shares * models).sum(0),
        "it is the plain mean": models.mean(0),
        "each model counts by its whole information": (fishers.sum(1)[:, None] * models).sum(0) / fishers.sum(),
        "divided by the number of models": (fishers * models).sum(0) / 2,
    }
    check_close("the mean", fisher_average(models, fishers), expected, 1e-9, causes)


@check("fisher_average")
def nobody_cares(fisher_average):
    """all informations 0: the plain mean, without a warning"""
    models = np.array([[100.0, 1.0], [300.0, 5.0], [800.0, 3.0]])
    fishers = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    causes = {
        "0 where nobody cares": np.array([0.0, 3.0]),
        "the first model where nobody cares": np.array([100.0, 3.0]),
    }
    check_close("the mean", fisher_average(models, fishers), np.array([400.0, 3.0]), 1e-9, causes)


@check("fisher_average")
def tiny_informations(fisher_average):
    """informations near 1e-14, as squared gradients are"""
    models, fishers = np.array([[100.0, 0.0], [0.0, 400.0]]), np.array([[9e-14, 1e-14], [1e-14, 3e-14]])
    causes = {"something was added to the informations that drowns them": models.mean(0)}
    check_close("the mean", fisher_average(models, fishers), np.array([90.0, 300.0]), 1e-6, causes)


@check("fisher_average")
def any_models(fisher_average, rng):
    """two to four models, matrices; entry by entry"""
    for shape in ((3, 5), (2, 3, 4), (4, 4)):
        models, fishers = rng.normal(size=shape) * 5, rng.gamma(1.0, size=shape) * (rng.random(shape) < 0.8)
        expected = np.zeros(shape[1:])
        for place in np.ndindex(shape[1:]):
            pairs = [(float(f[place]), float(m[place])) for f, m in zip(fishers, models)]
            total = math.fsum(f for f, _ in pairs)
            plain = math.fsum(m for _, m in pairs) / len(pairs)
            expected[place] = math.fsum(f * m for f, m in pairs) / total if total else plain
        check_close(f"the mean of {shape}", fisher_average(models, fishers), expected, 1e-9)


@check("fisher_average")
def keeps_float32_fisher(fisher_average, rng):
    """float32 in and out"""
    models, fishers = ((np.abs(rng.normal(size=(3, 7))) * 5).astype(np.float32) for _ in range(2))
    expected = np.array([np.dot(f.astype(float), m) / f.astype(float).sum() for f, m in zip(fishers.T, models.T)])
    check_close("the mean", fisher_average(models, fishers), expected.astype(np.float32), 1e-3)


# --- drop_and_rescale ---


@check("drop_and_rescale")
def by_hand_dropped(drop_and_rescale):
    """four entries, a density of 0.2"""
    tau, uniform = np.array([10.0, -20.0, 30.0, -40.0]), np.array([0.1, 0.9, 0.5, 0.19])
    causes = {
        "what is left was not made larger": np.array([10.0, 0, 0, -40.0]),
        "the other entries were dropped": np.array([0, -100.0, 150.0, 0]),
        "divided by the share that was dropped": np.array([12.5, 0, 0, -50.0]),
        "multiplied by the density": np.array([2.0, 0, 0, -8.0]),
        "it keeps the sum of magnitudes, as mergekit does": np.array([20.0, 0, 0, -80.0]),
        "the sign is gone": np.array([50.0, 0, 0, 200.0]),
    }
    check_close("what is left", drop_and_rescale(tau, 0.2, uniform), np.array([50.0, 0, 0, -200.0]), 1e-9, causes)


@check("drop_and_rescale")
def borders(drop_and_rescale):
    """below the density, not at it; a density of 1 keeps all as it is"""
    tau, uniform = np.array([100.0, 200.0, 300.0]), np.array([0.25, 0.0, 0.2499])
    causes = {"an entry at the density stayed": np.array([400.0, 800.0, 1200.0])}
    check_close("what is left", drop_and_rescale(tau, 0.25, uniform), np.array([0.0, 800.0, 1200.0]), 1e-9, causes)
    check_close("a density of 1", drop_and_rescale(tau, 1.0, np.array([0.0, 0.5, 0.999])), tau, 1e-9)


@check("drop_and_rescale")
def on_average_the_same(drop_and_rescale, rng):
    """the sum over 40,000 entries is, to a few percent, what it was"""
    tau = 100 + 50 * rng.random((200, 200))
    for density in (0.3, 0.6, 0.9):
        found = drop_and_rescale(tau, density, rng.random(tau.shape))
        error = abs(found.sum() / tau.sum() - 1)
        check_that(error < 0.05, f"with density {density} the sum of 40,000 entries is {error:.0%} off")


@check("drop_and_rescale")
def keeps_float32_dropped(drop_and_rescale, rng):
    """float32 in and out, any shape"""
    tau, uniform = (rng.normal(size=(3, 1, 4)) * 50).astype(np.float32), rng.random((3, 1, 4))
    expected = np.array([t / 0.5 if u < 0.5 else 0.0 for t, u in zip(tau.reshape(-1), uniform.reshape(-1))])
    check_close("what is left", drop_and_rescale(tau, 0.5, uniform), expected.reshape(3, 1, 4).astype(np.float32), 1e-4)


inputs_stay_unchanged("trim", "elect", "merge_agreeing", "slerp", "fisher_average", "drop_and_rescale")
