"""What the grader looks at in chapter 9. Nothing is hidden: read on if a message leaves you wondering.

Expected rotations are products of complex numbers, one pair at a time; expected scores, slopes and shifts are written
as loops from the definitions.
"""

from __future__ import annotations

import cmath
import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_that, inputs_stay_unchanged


def turned(x, positions, base, interleaved, exponent=2, sign=1):
    """Each pair as one complex number, multiplied by exp(i angle)."""
    width = x.shape[-1]
    y = np.zeros(x.shape)
    for t, m in enumerate(positions):
        for i in range(width // 2):
            a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + width // 2)
            angle = sign * int(m) * base ** (-exponent * i / width)
            for lead in np.ndindex(x.shape[:-2]):
                z = complex(x[(*lead, t, a)], x[(*lead, t, b)]) * cmath.exp(1j * angle)
                y[(*lead, t, a)], y[(*lead, t, b)] = z.real, z.imag
    return y


# --- rotate ---


@check("rotate")
def one_radian(rotate):
    """a single pair at position 1 turns by one radian, anticlockwise"""
    got = rotate(np.array([[2.0, 0.0]]), np.array([1]))
    causes = {
        "the pair turned the other way": np.array([[2 * math.cos(1), -2 * math.sin(1)]]),
        "nothing turned": np.array([[2.0, 0.0]]),
        "the positions were not looked at (counted from 0)": np.array([[2.0, 0.0]]),
    }
    check_close("the pair", got, np.array([[2 * math.cos(1), 2 * math.sin(1)]]), 1e-9, causes)


@check("rotate")
def halves(rotate, rng):
    """pairs (i, i + D/2), several heads, positions that do not start at 0"""
    x, positions = rng.normal(size=(2, 3, 4, 8)), np.array([5, 6, 9, 40])
    causes = {
        "pairs are neighbours": turned(x, positions, 10000.0, True),
        "positions counted from 0 instead of those given": turned(x, range(4), 10000.0, False),
        "the angle lacks the 2 in base ** (-2 i / D)": turned(x, positions, 10000.0, False, exponent=1),
        "turned the other way": turned(x, positions, 10000.0, False, sign=-1),
    }
    check_close("x turned", rotate(x, positions), turned(x, positions, 10000.0, False), 1e-9, causes)


@check("rotate")
def neighbours(rotate, rng):
    """pairs (2i, 2i + 1) when interleaved"""
    x, positions = rng.normal(size=(2, 3, 6)), np.array([0, 2, 7])
    causes = {"pairs are i and i + D/2": turned(x, positions, 10000.0, False)}
    got = rotate(x, positions, interleaved=True)
    check_close("x turned", got, turned(x, positions, 10000.0, True), 1e-9, causes)


@check("rotate")
def pairs_slow_down(rotate, rng):
    """another base: later pairs turn more slowly"""
    x, positions = rng.normal(size=(3, 10)), np.array([1, 30, 500])
    causes = {
        "all pairs turn equally fast": turned(x, positions, 1.0, False),
        "the base is built in": turned(x, positions, 10000.0, False),
    }
    check_close("x turned", rotate(x, positions, base=300.0), turned(x, positions, 300.0, False), 1e-9, causes)


@check("rotate")
def each_call_by_itself(rotate, rng):
    """the same shape again and again, with other positions, another base, the other pairs: nothing may be kept"""
    x, before = rng.normal(size=(2, 4, 6)), None
    for positions, base, interleaved in (
        (np.arange(4), 10000.0, False),
        (np.arange(10, 14), 10000.0, False),
        (np.arange(10, 14), 50.0, False),
        (np.arange(10, 14), 50.0, True),
        (np.arange(4), 10000.0, False),
    ):
        causes = {} if before is None else {"this is the answer to the call before: a table of angles was kept": before}
        expected = turned(x, positions, base, interleaved)
        name = f"x turned at {positions.tolist()}, base {base}, {'neighbours' if interleaved else 'halves'}"
        check_close(name, rotate(x, positions, base, interleaved), expected, 1e-9, causes)
        before = expected


@check("rotate")
def smallest_sizes(rotate, rng):
    """a single token, a single pair, no leading axes"""
    for shape in ((1, 2), (1, 6), (5, 2), (1, 1, 4)):
        x, positions = rng.normal(size=shape), np.arange(3, 3 + shape[-2])
        for interleaved in (False, True):
            name = f"x {shape} turned, {'neighbours' if interleaved else 'halves'}"
            expected = turned(x, positions, 10000.0, interleaved)
            check_close(name, rotate(x, positions, interleaved=interleaved), expected, 1e-9)


@check("rotate")
def far_positions_in_float32(rotate):
    """float32 in, float32 out, and the angles are exact at position 1,000,000 all the same"""
    x, positions = np.ones((1, 4), np.float32), np.array([1_000_001])
    expected = turned(x.astype(np.float64), positions, 10000.0, False).astype(np.float32)
    causes = {}
    for frequency in (np.float32(0.01), np.float32(10000.0) ** np.float32(-0.5)):
        coarse = float(np.float32(1_000_001) * frequency)
        near = expected.copy()
        near[0, 1::2] = math.cos(coarse) - math.sin(coarse), math.cos(coarse) + math.sin(coarse)
        if abs(near - expected).max() > 1e-3:  # the root may be rounded in more than one way
            causes["the angles were computed in float32: of 10,000 radians it keeps three decimals"] = near
    check_close("x turned", rotate(x, positions), expected, 1e-4, causes)


# --- neighbours_to_halves ---


def permuted(weight, heads):
    width = len(weight) // heads
    rows = [h * width + r for h in range(heads) for r in [*range(0, width, 2), *range(1, width, 2)]]
    return np.array([weight[r] for r in rows])


@check("neighbours_to_halves")
def one_head(neighbours_to_halves, rng):
    """one head: even rows first, then odd ones"""
    weight = rng.normal(size=(8, 3))
    backwards = np.array([weight[r] for r in (0, 4, 1, 5, 2, 6, 3, 7)])
    causes = {"the way back, from halves to neighbours": backwards, "nothing was moved": weight}
    check_close("the rows", neighbours_to_halves(weight, 1), permuted(weight, 1), 1e-12, causes)


@check("neighbours_to_halves")
def several_heads(neighbours_to_halves, rng):
    """three heads: each is permuted by itself"""
    weight = rng.normal(size=(18, 5))
    causes = {"all heads together were taken for one": permuted(weight, 1)}
    check_close("the rows", neighbours_to_halves(weight, 3), permuted(weight, 3), 1e-12, causes)


@check("neighbours_to_halves")
def smallest_heads(neighbours_to_halves, rng):
    """heads of one pair stay as they are; one input; four heads of width 4"""
    for heads, width, inputs in ((3, 2, 2), (1, 2, 1), (2, 6, 1), (4, 4, 16)):
        weight = rng.normal(size=(heads * width, inputs))
        name = f"the rows of {heads} heads of width {width}, {inputs} inputs"
        check_close(name, neighbours_to_halves(weight, heads), permuted(weight, heads), 1e-12)


@check("neighbours_to_halves")
def scores_agree(neighbours_to_halves, rng):
    """scores of turned queries and keys are the same in both conventions"""
    query, key, x = rng.normal(size=(8, 6)), rng.normal(size=(8, 6)), rng.normal(size=(5, 6))
    positions = np.arange(3, 8)

    def scores(q, k, interleaved):
        a, b = (turned(x @ np.asarray(w).T, positions, 10000.0, interleaved) for w in (q, k))
        return a @ b.T

    got = scores(neighbours_to_halves(query, 1), neighbours_to_halves(key, 1), False)
    check_close("the scores", got, scores(query, key, True), 1e-9)


# --- alibi_slopes ---


def slopes_of(heads, bias_max):
    power = max(p for p in (1, 2, 4, 8, 16, 32, 64, 128, 256) if p <= heads)
    found = [1 / 2 ** (bias_max * a / power) for a in range(1, power + 1)]
    for a in range(2 * power):
        if len(found) < heads and a % 2 == 0:
            found.append(1 / 2 ** (bias_max * (a + 1) / (2 * power)))
    return np.array(found)


@check("alibi_slopes")
def powers_of_two(alibi_slopes):
    """1, 8 and 32 heads"""
    eight = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256])
    causes = {"a counts from 0": 2 * eight, "the slopes are negative: they are subtracted later": -eight}
    check_close("the slopes of 8 heads", alibi_slopes(8), eight, 1e-12, causes)
    check_close("the slope of 1 head", alibi_slopes(1), np.array([1 / 256]), 1e-12)
    check_close("the slopes of 32 heads", alibi_slopes(32), slopes_of(32, 8), 1e-12)


@check("alibi_slopes")
def how_many(alibi_slopes):
    """as many slopes as heads, for every number up to 130"""
    for heads in range(1, 131):
        got = np.asarray(alibi_slopes(heads))
        check_that(got.shape == (heads,), f"for {heads} heads: expected the shape ({heads},), got {got.shape}.")


@check("alibi_slopes")
def other_numbers(alibi_slopes):
    """6, 12, 71 and 112 heads (BLOOM has 112), and all others up to 130"""
    for heads in (6, 12, 71, 112, *range(1, 131)):
        smooth = 2.0 ** (-8 * np.arange(1, heads + 1) / heads)
        causes = {"one sequence for all heads; the published rule has two": smooth} if heads & (heads - 1) else {}
        check_close(f"the slopes of {heads} heads", alibi_slopes(heads), slopes_of(heads, 8), 1e-12, causes)


@check("alibi_slopes")
def another_maximum(alibi_slopes):
    """bias_max 16, as in MPT's StoryWriter"""
    causes = {"bias_max is not used": slopes_of(12, 8)}
    check_close("the slopes of 12 heads", alibi_slopes(12, 16.0), slopes_of(12, 16), 1e-12, causes)


# --- dynamic_base ---


@check("dynamic_base")
def inside_the_trained_length(dynamic_base):
    """up to the trained length the base is as it was"""
    for length in (1, 50, 100):
        check_close(f"the base at {length} tokens", dynamic_base(10000.0, 64, length, 100, 2.0), 10000.0, 1e-6)


@check("dynamic_base")
def slowest_pair(dynamic_base, rng):
    """beyond it the slowest pair is stretched by exactly s = factor * n / trained - (factor - 1)"""
    for factor in (1.0, 2.0, float(rng.uniform(1, 4))):
        for width in (4, 16, 128):
            base = dynamic_base(500.0, width, 350, 100, factor)
            s = 3.5 * factor - factor + 1
            got = (base / 500.0) ** ((width - 2) / width)
            causes = {
                "the exponent D / (D - 2) is missing": s ** ((width - 2) / width),
                "the exponent stands on its head": s ** (((width - 2) / width) ** 2),
                "s is length / trained only": 3.5,
                "s is factor * length / trained, so that the base jumps at the trained length": 3.5 * factor,
            }
            check_close(f"the stretch of the last of {width // 2} pairs", got, s, 1e-9, causes)


@check("dynamic_base")
def by_hand_base(dynamic_base):
    """D = 4: the square of s times the base"""
    check_close("the base", dynamic_base(100.0, 4, 300, 100, 2.0), 2500.0, 1e-9)


# --- relative_shift ---


def by_key(scores):
    length = scores.shape[-1]
    found = np.zeros(scores.shape, scores.dtype)
    for i in range(length):
        for j in range(i + 1):
            found[..., i, j] = scores[..., i, length - 1 - (i - j)]
    return found


@check("relative_shift")
def by_hand(relative_shift):
    """a 2 x 2 matrix"""
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    causes = {
        "nothing was moved": np.tril(scores),
        "the columns are distances from 0 on, not from T - 1 down": np.array([[1.0, 0.0], [4.0, 3.0]]),
    }
    check_close("the scores by key", relative_shift(scores), np.array([[2.0, 0.0], [3.0, 4.0]]), 1e-12, causes)


@check("relative_shift")
def visible_entries(relative_shift, rng):
    """on and below the diagonal: what belongs to the distance i - j"""
    scores = rng.normal(size=(6, 6))
    got = np.asarray(relative_shift(scores))
    check_that(got.shape == (6, 6), f"expected the shape (6, 6), got {got.shape}.")
    check_close("the scores by key, j <= i", np.tril(got), by_key(scores), 1e-12)


@check("relative_shift")
def future_is_zero(relative_shift, rng):
    """above the diagonal nothing is left over"""
    scores = rng.normal(size=(5, 5)) + 3
    got = np.asarray(relative_shift(scores))
    left = np.argwhere(np.triu(got, 1))
    check_that(not len(left), f"entry {left[0].tolist() if len(left) else ''} lies above the diagonal and is not 0.")


@check("relative_shift")
def batches_and_heads(relative_shift, rng):
    """leading axes: batch and heads, each matrix by itself"""
    scores = rng.normal(size=(2, 3, 4, 4))
    check_close("the scores by key", relative_shift(scores), by_key(scores), 1e-12)


@check("relative_shift")
def one_token(relative_shift, rng):
    """T = 1: the only entry stays, with leading axes and without"""
    for shape in ((1, 1), (2, 1, 1), (1, 1, 3, 3)):
        scores = rng.normal(size=shape) + 3
        check_close(f"the scores {shape} by key", relative_shift(scores), by_key(scores), 1e-12)


@check("relative_shift")
def keeps_float32(relative_shift, rng):
    """float32 in, float32 out"""
    scores = rng.normal(size=(3, 3)).astype(np.float32)
    check_close("the scores by key", relative_shift(scores), by_key(scores), 1e-6)


inputs_stay_unchanged("rotate", "neighbours_to_halves", "relative_shift")
