"""What the grader looks at in chapter 6. Nothing is hidden: read on if a message leaves you wondering.

Expected outputs are computed one number at a time from the definition, expected gradients are slopes of that, measured
by a step into the complex plane, with a random gradient from above.
"""

from __future__ import annotations

import cmath
import math
import warnings

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, inputs_stay_unchanged


def several(result, count, what):
    if type(result) is not tuple or len(result) != count:
        raise CheckFailed(f"the result must be a tuple of {count} arrays ({what}), got {type(result).__name__}.")
    return result


def slopes_of(forward, dy, *inputs):
    """The slope of sum(dy * forward(*inputs)) towards every entry of every input.

    f(x + ih) = f(x) + ih f'(x) + ...: the imaginary part is h times the slope, and no difference loses digits.
    """
    gradients, moved = [], [x.astype(complex) for x in inputs]
    for x in moved:
        gradient = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            x[index] += 1e-30j
            gradient[index] = (dy * forward(*moved)).sum().imag / 1e-30
            x[index] = x[index].real
        gradients.append(gradient)
    return gradients


def rows_of(x):
    return x.reshape(-1, x.shape[-1])


# --- embedding_backward ---


def added(dy, ids, rows):
    table = [[0.0] * dy.shape[-1] for _ in range(rows)]
    for row, i in zip(rows_of(dy).tolist(), ids.ravel().tolist()):
        table[i] = [a + b for a, b in zip(table[i], row)]
    return np.array(table)


@check("embedding_backward")
def different_ids(embedding_backward, rng):
    """every id once"""
    dy, ids = rng.normal(size=(4, 3)), np.array([3, 0, 2, 1])
    causes = {"rows were taken from dy by id, not put there": dy[ids]}
    check_close("the gradient", embedding_backward(dy, ids, 4), added(dy, ids, 4), 1e-9, causes)


@check("embedding_backward")
def repeated_ids(embedding_backward, rng):
    """ids that come two and three times: their gradients add up"""
    dy, ids = rng.normal(size=(7, 3)), np.array([2, 0, 2, 1, 2, 0, 4])
    last, first = np.zeros((5, 3)), np.zeros((5, 3))
    last[ids] = dy
    first[ids[::-1]] = dy[::-1]
    right = added(dy, ids, 5)
    counts = np.maximum(np.bincount(ids, minlength=5), 1)[:, None]
    causes = {
        "only the last use of each row counts": last,
        "only the first use of each row counts": first,
        "the uses are averaged": right / counts,
    }
    check_close("the gradient", embedding_backward(dy, ids, 5), right, 1e-9, causes)


@check("embedding_backward")
def rows_without_a_token(embedding_backward, rng):
    """a vocabulary larger than the largest id: its rows are there, and zero"""
    dy, ids = rng.normal(size=(3, 3)), np.array([1, 1, 3])
    check_close("the gradient", embedding_backward(dy, ids, 7), added(dy, ids, 7), 1e-9)


@check("embedding_backward")
def any_shape_of_ids(embedding_backward, rng):
    """ids (2, 4), and a single one"""
    dy, ids = rng.normal(size=(2, 4, 3)), rng.integers(0, 3, size=(2, 4))
    check_close("the gradient of ids (2, 4)", embedding_backward(dy, ids, 3), added(dy, ids, 3), 1e-9)
    one, index = rng.normal(size=3), np.array(1)
    check_close("the gradient of a single id", embedding_backward(one, index, 3), added(one, index, 3), 1e-9)


@check("embedding_backward")
def keeps_float32(embedding_backward, rng):
    """float32 in, float32 out"""
    dy, ids = rng.normal(size=(6, 2)).astype(np.float32), np.array([0, 1, 1, 0, 2, 1])
    check_close("the gradient", embedding_backward(dy, ids, 3), added(dy, ids, 3).astype(np.float32), 1e-4)


# --- rms_norm_backward ---


def rms_norm(x, weight, eps=1e-6):
    y = np.zeros(x.shape, x.dtype)
    for index in np.ndindex(x.shape[:-1]):
        root = (sum(v * v for v in x[index].tolist()) / x.shape[-1] + eps) ** 0.5
        y[index] = x[index] / root * weight
    return y


def norm_case(rng, *lead):
    return rng.normal(size=(*lead, 5)), rng.normal(size=(*lead, 5)) + 0.5, rng.normal(size=5)


def rms_parts(x, eps=1e-6):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return x * r, r


def mistaken_eps(forward, outside, dy, x, weight, eps, usual):
    """What dx becomes where eps is not used, or used in another place."""
    c, r = dy * weight, 1 / (np.sqrt((outside * outside).mean(-1, keepdims=True)) + eps)
    n, mean = outside * r, 0 if outside is x else c.mean(-1, keepdims=True)
    causes = {
        "eps was left out": slopes_of(lambda x, w: forward(x, w, 0.0), dy, x, weight)[0],
        "eps stands outside of the root": r * (c - mean - n * (c * n).mean(-1, keepdims=True)),
    }
    if eps != usual:
        causes["eps is built in"] = slopes_of(lambda x, w: forward(x, w, usual), dy, x, weight)[0]
    return causes


@check("rms_norm_backward")
def rms_dx(rms_norm_backward, rng):
    """dx, against slopes measured one by one"""
    dy, x, weight = norm_case(rng, 4)
    n, r = rms_parts(x)
    c = dy * weight
    right = slopes_of(rms_norm, dy, x, weight)[0]
    causes = {
        "the root mean square was taken for a constant": c * r,
        "the weight was forgotten": r * (dy - n * (dy * n).mean(-1, keepdims=True)),
        "r was forgotten": right / r,
        "a sum stands where a mean should": r * (c - n * (c * n).sum(-1, keepdims=True)),
        "it is LayerNorm's gradient": r * (c - c.mean(-1, keepdims=True) - n * (c * n).mean(-1, keepdims=True)),
        **mistaken_eps(rms_norm, x, dy, x, weight, 1e-6, 1e-6),
    }
    check_close("dx", several(rms_norm_backward(dy, x, weight), 2, "dx, dweight")[0], right, 1e-10, causes)


@check("rms_norm_backward")
def rms_dweight(rms_norm_backward, rng):
    """dweight, against slopes measured one by one"""
    dy, x, weight = norm_case(rng, 4)
    right = slopes_of(rms_norm, dy, x, weight)[1]
    causes = {
        "x stands where the normalised row should": (dy * x).sum(0),
        "it is an average over rows": right / 4,
        "the weight came in": right * weight,
    }
    check_close("dweight", several(rms_norm_backward(dy, x, weight), 2, "dx, dweight")[1], right, 1e-10, causes)


@check("rms_norm_backward")
def rms_batches(rms_norm_backward, rng):
    """x (2, 3, 5), and a single row"""
    for lead in ((2, 3), ()):
        dy, x, weight = norm_case(rng, *lead)
        got = several(rms_norm_backward(dy, x, weight), 2, "dx, dweight")
        for name, mine, right in zip(("dx", "dweight"), got, slopes_of(rms_norm, dy, x, weight)):
            check_close(f"{name} with leading axes {lead}", mine, right, 1e-10)


@check("rms_norm_backward")
def scale_of_x(rms_norm_backward, rng):
    """rows a hundred times as long get a hundredth of the gradient"""
    dy, x, weight = norm_case(rng, 3)
    dx = np.asarray(several(rms_norm_backward(dy, 100 * x, weight, 0.0), 2, "dx, dweight")[0])
    right = slopes_of(lambda x, w: rms_norm(x, w, 0.0), dy, x, weight)[0] / 100
    check_close("dx", dx, right, 1e-10, {"r was forgotten": 100 * right * np.sqrt((x * x).mean(-1, keepdims=True))})


@check("rms_norm_backward")
def rms_eps(rms_norm_backward, rng):
    """rows so small that eps matters"""
    dy, x, weight = norm_case(rng, 3)
    x *= 0.1
    got = several(rms_norm_backward(dy, x, weight, 0.05), 2, "dx, dweight")
    right = slopes_of(lambda x, w: rms_norm(x, w, 0.05), dy, x, weight)
    causes = mistaken_eps(rms_norm, x, dy, x, weight, 0.05, 1e-6)
    check_close("dx", got[0], right[0], 1e-10, causes)
    check_close("dweight", got[1], right[1], 1e-10)


@check("rms_norm_backward")
def rms_keeps_float32(rms_norm_backward, rng):
    """float32 in, float32 out"""
    dy, x, weight = (a.astype(np.float32) for a in norm_case(rng, 4))
    got = several(rms_norm_backward(dy, x, weight), 2, "dx, dweight")
    right = slopes_of(rms_norm, *(a.astype(np.float64) for a in (dy, x, weight)))
    for name, mine, expected in zip(("dx", "dweight"), got, right):
        check_close(name, mine, expected.astype(np.float32), 1e-4)


# --- layer_norm_backward ---


def layer_norm(x, weight, bias, eps=1e-5):
    y = np.zeros(x.shape, x.dtype)
    for index in np.ndindex(x.shape[:-1]):
        mean = sum(x[index].tolist()) / x.shape[-1]
        variance = sum((v - mean) ** 2 for v in x[index].tolist()) / x.shape[-1]
        y[index] = (x[index] - mean) / (variance + eps) ** 0.5 * weight + bias
    return y


def centred_norm(x, weight, eps):
    return layer_norm(x, weight, 0, eps)


def layer_right(dy, x, weight, eps=1e-5):
    return slopes_of(lambda x, w, b: layer_norm(x, w, b, eps), dy, x, weight, np.zeros(x.shape[-1]))


def three(result):
    return several(result, 3, "dx, dweight, dbias")


@check("layer_norm_backward")
def layer_dx(layer_norm_backward, rng):
    """dx, against slopes measured one by one"""
    dy, x, weight = norm_case(rng, 4)
    right = layer_right(dy, x, weight)[0]
    n, r = rms_parts(x - x.mean(-1, keepdims=True), 1e-5)
    c = dy * weight
    mean, along = c.mean(-1, keepdims=True), n * (c * n).mean(-1, keepdims=True)
    causes = {
        "mean and spread were taken for constants": r * c,
        "the mean was taken for a constant": r * (c - along),
        "the spread was taken for a constant": r * (c - mean),
        "the weight was forgotten": r * (dy - dy.mean(-1, keepdims=True) - n * (dy * n).mean(-1, keepdims=True)),
        "r was forgotten": right / r,
        "sums stand where means should": r * (c - 5 * mean - 5 * along),
        **mistaken_eps(centred_norm, x - x.mean(-1, keepdims=True), dy, x, weight, 1e-5, 1e-5),
    }
    check_close("dx", three(layer_norm_backward(dy, x, weight))[0], right, 1e-10, causes)


@check("layer_norm_backward")
def layer_dweight(layer_norm_backward, rng):
    """dweight, against slopes measured one by one"""
    dy, x, weight = norm_case(rng, 4)
    right = layer_right(dy, x, weight)[1]
    causes = {"x stands where the normalised row should": (dy * x).sum(0), "it is an average over rows": right / 4}
    check_close("dweight", three(layer_norm_backward(dy, x, weight))[1], right, 1e-10, causes)


@check("layer_norm_backward")
def layer_dbias(layer_norm_backward, rng):
    """dbias: the sum over rows"""
    dy, x, weight = norm_case(rng, 4)
    right = layer_right(dy, x, weight)[2]
    causes = {"it is an average over rows": right / 4, "the weight came in": right * weight}
    check_close("dbias", three(layer_norm_backward(dy, x, weight))[2], right, 1e-10, causes)


@check("layer_norm_backward")
def layer_batches(layer_norm_backward, rng):
    """x (2, 3, 5), and a single row"""
    for lead in ((2, 3), ()):
        dy, x, weight = norm_case(rng, *lead)
        got = three(layer_norm_backward(dy, x, weight))
        for name, mine, right in zip(("dx", "dweight", "dbias"), got, layer_right(dy, x, weight)):
            check_close(f"{name} with leading axes {lead}", mine, right, 1e-10)


@check("layer_norm_backward")
def an_offset_of_10000(layer_norm_backward, rng):
    """a mean of 10,000 in float32: the variance must not be a difference of large numbers"""
    dy, x, weight = norm_case(rng, 3)
    x = np.round(x * 64) / 64  # so that the offset loses none of its digits
    right = layer_right(dy, x, weight)[0].astype(np.float32)
    far = (x + 10_000).astype(np.float32)
    dx = three(layer_norm_backward(dy.astype(np.float32), far, weight.astype(np.float32)))[0]
    if np.abs(far - 10_000 - x).max() < 1e-3 and not np.abs(np.asarray(dx) - right).max() < 0.02 * np.abs(right).max():
        worst = np.abs(np.asarray(dx) - right).max()
        raise CheckFailed(f"dx: off by {worst:.3g}, allowed is 2 %", "mean(x^2) - mean^2 loses all its digits here.")


@check("layer_norm_backward")
def layer_eps(layer_norm_backward, rng):
    """rows so small that eps matters"""
    dy, x, weight = norm_case(rng, 3)
    x *= 0.1
    got, right = three(layer_norm_backward(dy, x, weight, 0.05)), layer_right(dy, x, weight, 0.05)
    causes = mistaken_eps(centred_norm, x - x.mean(-1, keepdims=True), dy, x, weight, 0.05, 1e-5)
    check_close("dx", got[0], right[0], 1e-10, causes)
    check_close("dweight", got[1], right[1], 1e-10)


@check("layer_norm_backward")
def layer_keeps_float32(layer_norm_backward, rng):
    """float32 in, float32 out"""
    dy, x, weight = (a.astype(np.float32) for a in norm_case(rng, 4))
    right = layer_right(*(a.astype(np.float64) for a in (dy, x, weight)))
    for name, mine, expected in zip(("dx", "dweight", "dbias"), three(layer_norm_backward(dy, x, weight)), right):
        check_close(name, mine, expected.astype(np.float32), 1e-4)


# --- gelu_backward ---


def gelu(x):
    return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel().tolist()]).reshape(x.shape)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def each(function, dy, x, h=1e-3):
    """Differences over five points, whose error falls with h^4."""
    return dy * (8 * (function(x + h) - function(x - h)) - (function(x + 2 * h) - function(x - 2 * h))) / (12 * h)


@check("gelu_backward")
def slopes(gelu_backward, rng):
    """twelve numbers between -3 and 3, against differences, to ten digits"""
    dy, x = rng.normal(size=(3, 4)), rng.uniform(-3, 3, size=(3, 4))
    below = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(3, 4)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    right = each(gelu, dy, x)
    causes = {
        "only Phi(x), the slope of the first factor": dy * below,
        "only x phi(x), the slope of the second factor": dy * x * density,
        "x is missing before phi": dy * (below + density),
        "it is GELU itself, not its slope": dy * x * below,
        "dy is missing": below + x * density,
        "it is SiLU's slope": each(lambda z: z / (1 + np.exp(-z)), dy, x),
        "the root of 2 is missing in erf": dy
        * (np.array([0.5 * (1 + math.erf(v)) for v in x.ravel()]).reshape(3, 4) + x * density),
    }
    check_close("dx", gelu_backward(dy, x), right, 1e-10, causes)


@check("gelu_backward")
def not_the_tanh_formula(gelu_backward):
    """near x = 2, where the exact curve and the one by tanh differ most in slope"""
    x = np.array([-2.2, -1.9, 1.9, 2.2])
    dy = np.full(4, 10.0)
    causes = {"it is the tanh formula's slope": each(gelu_tanh, dy, x)}
    check_close("dx", gelu_backward(dy, x), each(gelu, dy, x), 1e-8, causes)


@check("gelu_backward")
def far_from_zero(gelu_backward):
    """slopes of 0 on the far left and 1 on the far right, without nan"""
    dy, x = np.array([3.0, 3.0, 3.0]), np.array([-60.0, 0.0, 60.0])
    check_close("dx", gelu_backward(dy, x), np.array([0.0, 1.5, 3.0]), 1e-9)


@check("gelu_backward")
def gelu_shapes_and_dtype(gelu_backward, rng):
    """(2, 1, 3) and (4,), float32 in and out"""
    for shape in ((2, 1, 3), (4,)):
        dy, x = rng.normal(size=shape), rng.normal(size=shape)
        right = each(gelu, dy.astype(np.float32).astype(float), x.astype(np.float32).astype(float))
        check_close("dx", gelu_backward(dy.astype(np.float32), x.astype(np.float32)), right.astype(np.float32), 1e-4)


# --- swiglu and swiglu_backward ---


def silu(g):
    return g / (1 + cmath.exp(-g)) if g.real >= 0 else g * cmath.exp(g) / (1 + cmath.exp(g))


def gated(gate, up):
    return np.array([silu(g) * u for g, u in zip(gate.ravel().tolist(), up.ravel().tolist())]).reshape(gate.shape)


def feed_forward(x, gate, up, down):
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        hidden = [silu(float(x[index] @ g)).real * float(x[index] @ u) for g, u in zip(gate.T, up.T)]
        y[index] = sum(h * row for h, row in zip(hidden, down))
    return y


def feed_case(rng, *lead):
    shapes = (*lead, 4), (4, 6), (4, 6), (6, 4)
    return [rng.normal(size=shape) for shape in shapes]


def quietly(function, *args):
    """Call it with warnings turned into failures."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return function(*args)
        except RuntimeWarning as warning:
            raise CheckFailed(f"a warning: {warning}", "use exp(-|g|), which never exceeds 1.") from warning


@check("swiglu")
def one_token(swiglu, rng):
    """three tokens of width 4, six units inside"""
    x, gate, up, down = feed_case(rng, 3)
    sigmoid = 1 / (1 + np.exp(-(x @ gate)))
    causes = {
        "gate and up are exchanged": feed_forward(x, up, gate, down),
        "the sigmoid alone gates: its own input is missing": (sigmoid * (x @ up)) @ down,
        "there is no gate, only the curve": (x @ gate * sigmoid) @ down,
        "there is no curve, only the product": ((x @ gate) * (x @ up)) @ down,
        "the halves are added": (x @ gate * sigmoid + x @ up) @ down,
        "the curve is ReLU": (np.maximum(x @ gate, 0) * (x @ up)) @ down,
        "the curve is GELU": (gelu(x @ gate) * (x @ up)) @ down,
        "the curve bends the product of both": gated((x @ gate) * (x @ up), np.ones((3, 6))).real @ down,
    }
    check_close("y", swiglu(x, gate, up, down), feed_forward(x, gate, up, down), 1e-9, causes)


@check("swiglu")
def swiglu_batches(swiglu, rng):
    """x (2, 3, 4), and a single row"""
    for lead in ((2, 3), ()):
        case = feed_case(rng, *lead)
        check_close(f"y with leading axes {lead}", swiglu(*case), feed_forward(*case), 1e-9)


@check("swiglu")
def large_gates(swiglu, rng):
    """gates of 3,000 and -3,000: finite, and no warnings"""
    x, gate, up, down = feed_case(rng, 3)
    gate *= 1000
    far = feed_forward_far(x, gate, up, down)
    check_close("y", quietly(swiglu, x, gate, up, down), far, 1e-6)
    single = [a.astype(np.float32) for a in (x, gate, up, down)]
    got = quietly(swiglu, *single)
    right = feed_forward_far(*(a.astype(float) for a in single)).astype(np.float32)
    check_close("y in float32, where exp ends at 88", got, right, 1e-4 * float(np.abs(right).max()))


def feed_forward_far(x, gate, up, down):
    """The same for gates beyond 700, where SiLU(g) is g or 0."""
    g = x @ gate
    bent = np.vectorize(lambda v: v if v > 700 else 0.0 if v < -700 else silu(v).real)(g)
    return (bent * (x @ up)) @ down


@check("swiglu")
def swiglu_keeps_float32(swiglu, rng):
    """float32 in, float32 out"""
    case = [a.astype(np.float32) for a in feed_case(rng, 2)]
    right = feed_forward(*(a.astype(float) for a in case))
    check_close("y", swiglu(*case), right.astype(np.float32), 2e-4)


@check("swiglu_backward")
def dgate(swiglu_backward, rng):
    """the gradient of the gate, against slopes measured one by one"""
    dy, gate, up = (rng.normal(size=(3, 4)) * 1.5 for _ in range(3))
    right = slopes_of(gated, dy, gate, up)[0]
    s = 1 / (1 + np.exp(-gate))
    causes = {
        "up was forgotten": right / up,
        "the slope of the sigmoid alone": dy * up * s * (1 - s),
        "only s, the slope of the first factor": dy * up * s,
        "only g s (1 - s), the slope of the second factor": dy * up * gate * s * (1 - s),
        "dy is missing": right / dy,
    }
    check_close("dgate", several(swiglu_backward(dy, gate, up), 2, "dgate, dup")[0], right, 1e-10, causes)


@check("swiglu_backward")
def dup(swiglu_backward, rng):
    """the gradient of up, against slopes measured one by one"""
    dy, gate, up = (rng.normal(size=(3, 4)) * 1.5 for _ in range(3))
    right = slopes_of(gated, dy, gate, up)[1]
    s = 1 / (1 + np.exp(-gate))
    causes = {"the gate itself, without its curve": dy * gate, "the sigmoid alone": dy * s, "up came in": right * up}
    check_close("dup", several(swiglu_backward(dy, gate, up), 2, "dgate, dup")[1], right, 1e-10, causes)


@check("swiglu_backward")
def large_gates_backward(swiglu_backward):
    """gates of -1000 and 1000: slopes of 0 and 1, and no warnings"""
    gate, up, dy = np.array([-1000.0, 0.0, 1000.0]), np.array([2.0, 3.0, 4.0]), np.array([1.0, 1.0, 0.5])
    got = several(quietly(swiglu_backward, dy, gate, up), 2, "dgate, dup")
    check_close("dgate", got[0], np.array([0.0, 1.5, 2.0]), 1e-9)
    check_close("dup", got[1], np.array([0.0, 0.0, 500.0]), 1e-9)
    got = several(quietly(swiglu_backward, *(a.astype(np.float32) for a in (dy, gate, up))), 2, "dgate, dup")
    check_close("dgate in float32, where exp ends at 88", got[0], np.array([0.0, 1.5, 2.0], np.float32), 1e-5)
    check_close("dup in float32", got[1], np.array([0.0, 0.0, 500.0], np.float32), 1e-3)


@check("swiglu_backward")
def swiglu_backward_float32(swiglu_backward, rng):
    """any shape, float32 in and out"""
    for shape in ((2, 1, 3), (5,)):
        dy, gate, up = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
        right = slopes_of(gated, *(a.astype(np.float64) for a in (dy, gate, up)))
        got = several(swiglu_backward(dy, gate, up), 2, "dgate, dup")
        for name, mine, expected in zip(("dgate", "dup"), got, right):
            check_close(name, mine, expected.astype(np.float32), 1e-4)


inputs_stay_unchanged(
    "embedding_backward", "rms_norm_backward", "layer_norm_backward", "gelu_backward", "swiglu", "swiglu_backward"
)
