"""What the grader looks at in chapter 16. Nothing is hidden: read on if a message leaves you wondering.

No expected value comes from a recurrence over arrays. Scans are written as sums over all pairs of times, gradients are
slopes of these sums, measured by a step into the complex plane, the exact step is an integral done by quadrature,
convolutions are np.convolve.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_separate,
    inputs_stay_unchanged,
)


def several(result, count, what):
    if type(result) is not tuple or len(result) != count:
        raise CheckFailed(f"the result must be a tuple of {count} arrays ({what}), got {type(result).__name__}.")
    return result


# --- discretise ---


def integral_of_decay(A, delta):
    """The integral of exp(A s) for s from 0 to delta, by Gauss's quadrature with 40 points."""
    places, weights = np.polynomial.legendre.leggauss(40)
    return sum(w * np.exp(A * (p + 1) * delta / 2) for p, w in zip(places, weights, strict=True)) * delta / 2


@check("discretise")
def follows_the_exact_solution(discretise, rng):
    """decay and gain for steps from short to long, several rates at once"""
    for delta in (0.05, 0.7, 3.0):
        A, B = -rng.uniform(0.2, 3.0, size=5), rng.uniform(0.5, 2.0, size=5)
        decay, gain = several(discretise(A, B, delta), 2, "decay and gain")
        wanted = np.array([math.e**z for z in (delta * A).tolist()])
        decay_causes = {
            "the decay is Euler's, 1 + delta A": 1 + delta * A,
            "the step size is missing from the decay": np.exp(A),
            "the sign of A is turned round": np.exp(-delta * A),
            "the decay is the implicit Euler's, 1 / (1 - delta A)": 1 / (1 - delta * A),
        }
        check_close(f"the decay for delta = {delta}", decay, wanted, 1e-9, decay_causes)
        exact = integral_of_decay(A, delta)
        gain_causes = {
            "the input is Euler's, delta B": delta * B,
            "the gain is not multiplied by B": exact,
            "the gain is negative": -exact * B,
            "the division by A is missing": np.expm1(delta * A) * B,
        }
        check_close(f"the gain for delta = {delta}", gain, exact * B, 1e-9, gain_causes)


@check("discretise")
def a_rate_of_zero(discretise):
    """A = 0: nothing decays, and the gain is delta B"""
    decay, gain = several(discretise(np.array([0.0, -1.0, 0.0]), np.array([2.0, 1.0, -3.0]), 0.25), 2, "decay and gain")
    check_close("the decay", decay, np.array([1.0, math.exp(-0.25), 1.0]), 1e-12)
    check_close("the gain", gain, np.array([0.5, 1 - math.exp(-0.25), -0.75]), 1e-12)


@check("discretise")
def rates_that_grow(discretise):
    """A = 0.5 and 2: nothing is said of the sign of A, and what grows is as exact as what decays"""
    A, B = np.array([0.5, 2.0, -0.5, 0.0]), np.array([2.0, 1.0, 2.0, 3.0])
    decay, gain = several(discretise(A, B, 0.8), 2, "decay and gain")
    check_close("the decay", decay, np.array([math.e**0.4, math.e**1.6, math.e**-0.4, 1.0]), 1e-12)
    causes = {"a positive rate was taken for zero": np.array([1.6, 0.8, 4 * (1 - math.e**-0.4), 2.4])}
    wanted = np.array([4 * (math.e**0.4 - 1), (math.e**1.6 - 1) / 2, 4 * (1 - math.e**-0.4), 2.4])
    check_close("the gain", gain, wanted, 1e-12, causes)


@check("discretise")
def small_steps(discretise):
    """delta A 5e-4 to 1e-9: the gain to twelve digits, not Euler's, and no difference of nearly equal numbers"""
    for z in (5e-4, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9):
        A, delta = np.array([-1.0, -0.5, 0.5]), z
        _, gain = several(discretise(A, np.full(3, 1 / delta), delta), 2, "decay and gain")
        series = np.array([math.fsum((a * z) ** n / math.factorial(n + 1) for n in range(6)) for a in A.tolist()])
        causes = {"this is Euler's delta B": np.ones(3)}
        check_close(f"the gain for delta = {z}, B = 1 / delta", gain, series, 1e-12, causes)


@check("discretise")
def tiny_steps_keep_their_digits(discretise):
    """a step of 1e-10: the gain is delta B to ten digits"""
    _, gain = several(discretise(np.array([-1.0, -0.3]), np.array([1e10, 2e10]), 1e-10), 2, "decay and gain")
    causes = {
        "exp(z) - 1 has lost its digits; there is np.expm1": (np.exp([-1e-10, -3e-11]) - 1)
        / [-1.0, -0.3]
        * [1e10, 2e10]
    }
    check_close("the gain", gain, np.array([1.0, 2.0]), 1e-8, causes)


@check("discretise")
def keeps_float32_in_discretise(discretise, rng):
    """float32 in, float32 out"""
    A, B = -rng.uniform(0.2, 3.0, size=4).astype(np.float32), rng.uniform(1, 2, size=4).astype(np.float32)
    decay, gain = several(discretise(A, B, 0.5), 2, "decay and gain")
    check_close("the decay", decay, np.exp(0.5 * A.astype(float)).astype(np.float32), 1e-6)
    check_close("the gain", gain, (integral_of_decay(A.astype(float), 0.5) * B).astype(np.float32), 1e-5)


# --- scan ---


def scan_inputs(rng, steps=6, channels=3, width=2):
    return (
        rng.normal(size=(steps, channels)),
        rng.uniform(0.1, 1.2, size=(steps, channels)),
        -rng.uniform(0.3, 2.0, size=(channels, width)),
        rng.normal(size=(steps, width)),
        rng.normal(size=(steps, width)),
        rng.normal(size=channels),
        rng.normal(size=(channels, width)),
    )


def scan_by_sums(x, delta, A, B, C, D, state):
    """Every output as a sum over all inputs before it: each decays by exp(A times the steps since)."""
    elapsed = np.cumsum(delta, axis=0)  # (T, d)
    y = np.zeros(x.shape, np.result_type(x, delta, A, B, C, D, state))
    for t in range(len(x)):
        h = np.exp(elapsed[t, :, None] * A) * state
        for s in range(t + 1):
            h = h + np.exp((elapsed[t] - elapsed[s])[:, None] * A) * (delta[s] * x[s])[:, None] * B[s]
        y[t] = (h * C[t]).sum(axis=1) + D * x[t]
    return y, h


@check("scan")
def one_number_by_hand(scan):
    """one channel, one number of state: 2 decays by e, 3 enters, 5 reads"""
    one = np.ones((1, 1))
    y, last = several(scan(one * 3, one, -one, one, one * 5, np.array([7.0]), one * 2), 2, "y and the last state")
    state = 3 + 2 / math.e
    causes = {
        "y comes from the state before the input entered": np.array([[5 * 2 + 21.0]]),
        "D x is missing": np.array([[5 * state]]),
        "the state does not decay": np.array([[5 * 5 + 21.0]]),
        "the state that was handed in is ignored": np.array([[5 * 3 + 21.0]]),
    }
    check_close("y", y, np.array([[5 * state + 21]]), 1e-12, causes)
    check_close("the last state", last, np.array([[state]]), 1e-12)


@check("scan")
def agrees_with_the_sum_over_the_past(scan, rng):
    """from an empty state: every output is a sum over all inputs so far"""
    x, delta, A, B, C, D, state = scan_inputs(rng)
    zero = np.zeros_like(state)
    y, last = several(scan(x, delta, A, B, C, D, zero), 2, "y and the last state")
    wanted, wanted_last = scan_by_sums(x, delta, A, B, C, D, zero)
    plain = np.ones_like(delta)
    causes = {
        "the decay ignores the step size": scan_by_sums(x * delta, plain, A, B, C, np.zeros(3), zero)[0] + D * x,
        "the input is not multiplied by the step": scan_by_sums(x / delta, delta, A, B, C, np.zeros(3), zero)[0]
        + D * x,
        "B and C are swapped": scan_by_sums(x, delta, A, C, B, D, zero)[0],
        "D x is missing": wanted - D * x,
    }
    check_close("y", y, wanted, 1e-9, causes)
    check_close("the last state", last, wanted_last, 1e-9)


@check("scan")
def begins_with_the_given_state(scan, rng):
    """the state that is handed in decays, and is read like any other"""
    arrays = scan_inputs(rng)
    y, last = several(scan(*arrays), 2, "y and the last state")
    wanted, wanted_last = scan_by_sums(*arrays)
    causes = {"the state that was handed in is ignored": scan_by_sums(*arrays[:-1], np.zeros_like(arrays[-1]))[0]}
    check_close("y", y, wanted, 1e-9, causes)
    check_close("the last state", last, wanted_last, 1e-9)


@check("scan")
def pieces_are_the_whole(scan, rng):
    """a sequence in two pieces, the second from the first one's last state"""
    x, delta, A, B, C, D, state = scan_inputs(rng, steps=7)
    whole, _ = scan_by_sums(x, delta, A, B, C, D, state)
    first, middle = several(scan(x[:3], delta[:3], A, B[:3], C[:3], D, state), 2, "y and the last state")
    second, _ = several(scan(x[3:], delta[3:], A, B[3:], C[3:], D, middle), 2, "y and the last state")
    check_close("y of the first piece", first, whole[:3], 1e-9)
    check_close("y of the second piece", second, whole[3:], 1e-9)


@check("scan")
def five_hundred_steps(scan, rng):
    """500 steps, in which the first input decays to nothing: no overflow and no 0 / 0"""
    x, delta, A, B, C, D, state = scan_inputs(rng, steps=500, channels=2)
    delta, A = delta + 1.0, A - 1.0
    y, last = several(scan(x, delta, A, B, C, D, state), 2, "y and the last state")
    elapsed, wanted = np.cumsum(delta, axis=0), []
    for t in (0, 1, 250, 499):
        shares = (
            np.exp((elapsed[t] - elapsed[: t + 1])[:, :, None] * A) * (delta * x)[: t + 1, :, None] * B[: t + 1, None]
        )
        h = shares.sum(axis=0) + np.exp(elapsed[t][:, None] * A) * state
        wanted.append((h * C[t]).sum(axis=1) + D * x[t])
    if np.shape(y) != x.shape:
        raise CheckFailed(f"y must have shape {x.shape}, got {np.shape(y)}.")
    check_close("y after 1, 2, 251 and 500 steps", np.asarray(y)[[0, 1, 250, 499]], np.array(wanted), 1e-9)
    check_close("the last state", last, h, 1e-9)


@check("scan")
def two_texts_in_turns(scan, rng):
    """two texts, a step of each in turns, each from its own last state; one channel, one number of state"""
    for channels, width in ((1, 1), (2, 3)):
        texts = [scan_inputs(rng, steps=3, channels=channels, width=width) for _ in range(2)]
        states, rows = [text[-1] for text in texts], [[], []]
        for t in range(3):
            for number, (x, delta, A, B, C, D, _) in enumerate(texts):
                given = (x[t : t + 1], delta[t : t + 1], A, B[t : t + 1], C[t : t + 1], D, states[number])
                y, states[number] = several(scan(*given), 2, "y and the last state")
                rows[number].append(np.asarray(y))
        for number, text in enumerate(texts):
            check_close(f"y of text {number + 1}", np.concatenate(rows[number]), scan_by_sums(*text)[0], 1e-9)


@check("scan")
def keeps_float32_in_scan(scan, rng):
    """float32 in, float32 out"""
    arrays = scan_inputs(rng)
    y, last = several(scan(*(array.astype(np.float32) for array in arrays)), 2, "y and the last state")
    wanted, wanted_last = scan_by_sums(*arrays)
    check_close("y", y, wanted.astype(np.float32), 1e-4)
    check_close("the last state", last, wanted_last.astype(np.float32), 1e-4)


# --- scan_backward ---

NAMES = ("dx", "ddelta", "dA", "dB", "dC", "dD", "dstate")


def slopes_of_sums(dy, arrays):
    """The slope of sum(dy * y) towards every entry of every argument.

    f(x + ih) = f(x) + ih f'(x) + ...: the imaginary part is h times the slope, and no difference loses digits.
    """
    found, moved = [], [array.astype(complex) for array in arrays]
    for array in moved:
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            array[index] += 1e-30j
            gradient[index] = (dy * scan_by_sums(*moved)[0]).sum().imag / 1e-30
            array[index] = array[index].real
        found.append(gradient)
    return found


def compare_gradients(got, wanted, causes=None):
    for name, ours, theirs in zip(NAMES, several(got, 7, ", ".join(NAMES)), wanted, strict=True):
        check_close(name, ours, theirs, 1e-10 * max(1.0, float(np.abs(theirs).max())), (causes or {}).get(name))


@check("scan_backward")
def the_last_step_alone(scan_backward, rng):
    """a sequence of one step: every gradient against slopes measured one by one"""
    arrays = scan_inputs(rng, steps=1)
    x, delta, A, B, C, D, state = arrays
    dy = rng.normal(size=x.shape) + 2
    wanted = slopes_of_sums(dy, arrays)
    du = ((dy[0][:, None] * C[0]) * B[0]).sum(axis=1)
    causes = {
        "dx": {"dx lacks what passes beside the state, D dy": (delta * du), "dx lacks delta": du[None] + D * dy},
        "ddelta": {
            "ddelta lacks the way through the exponential": x * du,
            "ddelta lacks the way through delta B x": wanted[1] - x * du,
        },
    }
    got = several(scan_backward(dy, *arrays), 7, ", ".join(NAMES))
    # dC first: without the state that was handed in, ddelta looks as if the exponential had been forgotten
    empty = slopes_of_sums(dy, (*arrays[:-1], np.zeros_like(state)))
    check_close("dC", got[4], wanted[4], 1e-10, {"the state that was handed in is ignored": empty[4]})
    compare_gradients(got, wanted, causes)


@check("scan_backward")
def smallest_scan(scan_backward, rng):
    """one channel, one number of state, and one of them only"""
    for steps, channels, width in ((1, 1, 1), (3, 1, 1), (2, 1, 3), (2, 3, 1)):
        arrays = scan_inputs(rng, steps, channels, width)
        dy = rng.normal(size=(steps, channels)) + 1
        compare_gradients(scan_backward(dy, *arrays), slopes_of_sums(dy, arrays))


@check("scan_backward")
def three_hundred_steps(scan_backward, rng):
    """300 steps, of which the last output alone counts: no overflow and no 0 / 0"""
    x, delta, A, B, C, D, state = scan_inputs(rng, steps=300, channels=2)
    delta, A = delta + 1.0, A - 1.0
    dy = np.zeros((300, 2))
    dy[-1] = rng.normal(size=2) + 3
    got = several(scan_backward(dy, x, delta, A, B, C, D, state), 7, ", ".join(NAMES))
    elapsed = np.cumsum(delta, axis=0)
    reached = (
        np.exp((elapsed[-1] - elapsed)[:, :, None] * A) * C[-1]
    )  # (T, d, N): what is left of an input, as it is read
    wanted = delta * (reached * B[:, None]).sum(axis=2) * dy[-1]
    wanted[-1] += D * dy[-1]
    check_close("dx", got[0], wanted, 1e-9)
    for name, gradient in zip(NAMES, got, strict=True):
        if not np.isfinite(gradient).all():
            raise CheckFailed(f"{name} is not finite.", "products over all steps run to 0: go back step by step.")


@check("scan_backward")
def what_later_steps_report(scan_backward, rng):
    """only the last output counts: its gradient must reach the first input and the first state"""
    arrays = scan_inputs(rng, steps=4, channels=2)
    dy = np.zeros((4, 2))
    dy[-1] = rng.normal(size=2) + 3
    got = several(scan_backward(dy, *arrays), 7, ", ".join(NAMES))
    wanted = slopes_of_sums(dy, arrays)
    for position in (0, 1, 3, 6):
        causes = {"the gradient of the state does not travel back": np.zeros_like(wanted[position])}
        check_close(NAMES[position], got[position], wanted[position], 1e-10, causes if position == 6 else None)


@check("scan_backward")
def sums_over_the_right_axes(scan_backward, rng):
    """six steps, three channels, four numbers of state, all gradients"""
    arrays = scan_inputs(rng, steps=6, channels=3, width=4)
    dy = rng.normal(size=(6, 3))
    compare_gradients(scan_backward(dy, *arrays), slopes_of_sums(dy, arrays))


@check("scan_backward")
def is_linear_in_dy(scan_backward, rng):
    """twice the gradient of y gives twice all gradients, wherever the loss came from"""
    arrays = scan_inputs(rng, steps=3)
    dy = rng.normal(size=(3, 3)) + 1
    wanted = slopes_of_sums(dy, arrays)
    compare_gradients(scan_backward(-2 * dy, *arrays), [-2 * gradient for gradient in wanted])


@check("scan_backward")
def keeps_float32_in_scan_backward(scan_backward, rng):
    """float32 in, float32 out"""
    arrays, dy = scan_inputs(rng, steps=3), rng.normal(size=(3, 3))
    got = several(scan_backward(dy.astype(np.float32), *(a.astype(np.float32) for a in arrays)), 7, ", ".join(NAMES))
    for name, ours, theirs in zip(NAMES, got, slopes_of_sums(dy, arrays), strict=True):
        check_close(name, ours, theirs.astype(np.float32), 1e-5 * max(1.0, 10 * float(np.abs(theirs).max())))


# --- convolution_step ---


def convolved(x, weight, bias):
    """(T, d) with each channel's filter over it, by np.convolve (which turns filters round)."""
    columns = [np.convolve(x[:, c], weight[c, ::-1])[: len(x)] + bias[c] for c in range(x.shape[1])]
    return np.stack(columns, axis=1)


@check("convolution_step")
def one_step_by_hand(convolution_step):
    """two channels: 1, 2 and then 3 under the filter 100, 10, 1; and a channel that only sees the oldest"""
    weight, tail = np.array([[100.0, 10.0, 1.0], [1.0, 0.0, 0.0]]), np.array([[1.0, 7.0], [2.0, 8.0]])
    y, _ = several(convolution_step(np.array([3.0, 9.0]), weight, np.array([0.5, 0.0]), tail), 2, "y and the new tail")
    causes = {
        "the filter is turned round": np.array([321.5, 9.0]),
        "the bias is missing": np.array([123.0, 7.0]),
        "only the present input is seen": np.array([3.5, 0.0]),
        "the present input is not seen": np.array([120.5, 7.0]),
    }
    check_close("y", y, np.array([123.5, 7.0]), 1e-12, causes)


@check("convolution_step")
def tail_moves_on(convolution_step, rng):
    """the new tail: the oldest input is forgotten, the new one appended"""
    x, tail = rng.normal(size=4), rng.normal(size=(3, 4))
    _, got = several(convolution_step(x, rng.normal(size=(4, 4)), rng.normal(size=4), tail), 2, "y and the new tail")
    causes = {
        "the tail does not move": tail,
        "the new input stands first instead of last": np.stack([x, tail[0], tail[1]]),
    }
    check_close("the new tail", got, np.stack([tail[1], tail[2], x]), 1e-12, causes)


@check("convolution_step")
def steps_are_the_convolution(convolution_step, rng):
    """nine steps from a tail of zeros are the convolution of the whole sequence"""
    x, weight, bias = rng.normal(size=(9, 3)), rng.normal(size=(3, 4)), rng.normal(size=3)
    wanted, tail = convolved(x, weight, bias), np.zeros((3, 3))
    causes = {
        "the filter is turned round": convolved(x, weight[:, ::-1], bias),
        "only the present input is seen": x * weight[:, -1] + bias,
        "the bias is missing": wanted - bias,
    }
    rows = []
    for t in range(9):
        y, tail = several(convolution_step(x[t], weight, bias, tail), 2, "y and the new tail")
        rows.append(np.asarray(y))
    if any(row.shape != (3,) for row in rows):
        raise CheckFailed(f"y must have shape (3,), got {rows[0].shape}.")
    check_close("all outputs", np.stack(rows), wanted, 1e-9, causes)


@check("convolution_step")
def a_filter_of_one_tap(convolution_step):
    """W = 1: nothing to remember, and the tail stays empty"""
    x = np.array([2.0, -3.0])
    y, tail = several(convolution_step(x, np.array([[5.0], [7.0]]), np.ones(2), np.zeros((0, 2))), 2, "y and the tail")
    check_close("y", y, np.array([11.0, -20.0]), 1e-12)
    if np.shape(tail) != (0, 2):
        raise CheckFailed(f"the new tail must have shape (0, 2), got {np.shape(tail)}.")


@check("convolution_step")
def the_tail_is_no_view_of_the_input(convolution_step):
    """W = 2: the new tail holds the numbers of x, but in memory of its own"""
    x = np.array([1.0, 2.0])
    result = convolution_step.raw(x, np.ones((2, 2)), np.zeros(2), np.zeros((1, 2)))
    check_separate("the new tail", several(result, 2, "y and the new tail")[1], x)


@check("convolution_step")
def keeps_float32_in_convolution_step(convolution_step, rng):
    """float32 in, float32 out"""
    x, weight, bias = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    single = [array.astype(np.float32) for array in (x[1], weight, bias, x[:1])]
    y, tail = several(convolution_step(*single), 2, "y and the new tail")
    check_close("y", y, convolved(x, weight, bias)[1].astype(np.float32), 1e-5)
    check_close("the new tail", tail, x[1:].astype(np.float32), 1e-6)


# --- fixed_kernel ---


def impulse_response(delta, A, B, C, D, length):
    """What comes out after a single 1, number by number."""
    kernel, numbers = [], list(zip(A.tolist(), B.tolist(), C.tolist(), strict=True))
    for age in range(length):
        total = math.fsum(c * b * delta * math.exp(a * delta * age) for a, b, c in numbers)
        kernel.append(total + (D if age == 0 else 0.0))
    return np.array(kernel)


def kernel_inputs(rng, width=3):
    return rng.uniform(0.2, 0.9), -rng.uniform(0.2, 1.5, width), rng.uniform(0.5, 2, width), rng.uniform(0.5, 2, width)


@check("fixed_kernel")
def agrees_with_the_recurrence(fixed_kernel, rng):
    """nine taps: what the recurrence answers to a single 1"""
    delta, A, B, C = kernel_inputs(rng)
    wanted = impulse_response(delta, A, B, C, 0.0, 9)
    causes = {
        "the first tap is wrong: it has already decayed once": impulse_response(
            delta, A, B * np.exp(delta * A), C, 0, 9
        ),
        "the kernel is turned round": wanted[::-1],
        "the step is missing in front of B": wanted / delta,
        "the kernel decays too fast or too slowly: the step is missing in the decay": delta
        * impulse_response(1.0, A, B, C, 0.0, 9),
    }
    check_close("the kernel", fixed_kernel(delta, A, B, C, 0.0, 9), wanted, 1e-9, causes)


@check("fixed_kernel")
def D_is_part_of_the_first_tap(fixed_kernel, rng):
    """with D = 5, the first tap is larger by 5 and the others as before"""
    delta, A, B, C = kernel_inputs(rng)
    wanted = impulse_response(delta, A, B, C, 5.0, 4)
    causes = {
        "D is missing": impulse_response(delta, A, B, C, 0.0, 4),
        "D is added to every tap": impulse_response(delta, A, B, C, 0.0, 4) + 5,
    }
    check_close("the kernel", fixed_kernel(delta, A, B, C, 5.0, 4), wanted, 1e-9, causes)


@check("fixed_kernel")
def one_tap(fixed_kernel, rng):
    """length 1: the present input alone"""
    delta, A, B, C = kernel_inputs(rng, width=2)
    check_close("the kernel", fixed_kernel(delta, A, B, C, 1.0, 1), impulse_response(delta, A, B, C, 1.0, 1), 1e-9)


@check("fixed_kernel")
def a_long_kernel(fixed_kernel, rng):
    """five hundred taps with slow decays keep their digits to the end"""
    A, B, C = -np.array([0.001, 0.01, 0.1]), rng.uniform(1, 2, 3), rng.uniform(1, 2, 3)
    wanted = impulse_response(0.5, A, B, C, 0.0, 500)
    check_close("the last hundred taps", np.asarray(fixed_kernel(0.5, A, B, C, 0.0, 500))[400:], wanted[400:], 1e-9)


@check("fixed_kernel")
def keeps_float32_in_fixed_kernel(fixed_kernel, rng):
    """float32 in, float32 out"""
    delta, A, B, C = kernel_inputs(rng)
    got = fixed_kernel(delta, *(array.astype(np.float32) for array in (A, B, C)), 0.5, 6)
    check_close("the kernel", got, impulse_response(delta, A, B, C, 0.5, 6).astype(np.float32), 1e-4)


inputs_stay_unchanged("discretise", "scan", "scan_backward", "convolution_step", "fixed_kernel")
