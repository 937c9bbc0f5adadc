"""What the grader looks at in chapter 17. Nothing is hidden: read on if a message leaves you wondering.

No expected value comes from a transform or a recurrence. Convolutions are sums over all pairs of times, gradients are
sums over the same pairs, powers of poles are computed from their size and angle.
"""

from __future__ import annotations

import math
import time

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, inputs_stay_unchanged


def pair(result, what):
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(f"the result must be a tuple of two arrays ({what}), got {type(result).__name__}.")
    return result


def parts(z):
    """(...) complex -> (..., 2): real and imaginary parts."""
    return np.stack([z.real, z.imag], axis=-1)


def check_complex(name, got, expected, tolerance, causes=None):
    """As `check_close`, for complex arrays: the last index is 0 for the real and 1 for the imaginary part."""
    if type(got) is not np.ndarray or got.dtype.kind != "c":
        kind = f"{got.dtype}" if isinstance(got, np.ndarray) else type(got).__name__
        raise CheckFailed(f"{name} must be a complex numpy array, not {kind}.")
    known = {words: parts(value) for words, value in (causes or {}).items()}
    check_close(f"{name} (real, imaginary)", parts(got), parts(expected), tolerance, known)


def convolved(x, h):
    """The definition: every pair of an input and a later output."""
    y = np.zeros_like(x)
    for t in range(len(x)):
        for s in range(t + 1):
            y[t] += h[t - s] * x[s]
    return y


def circular(x, h):
    """What a transform without room gives: the filter reaches round the end."""
    T = len(x)
    return np.stack([sum(h[(t - s) % T] * x[s] for s in range(T)) for t in range(T)])


def power(z, n):
    """z^n from size and angle, entry by entry: 0^0 is 1."""
    size, angle = np.abs(z), np.angle(z)
    grown = np.array([r**n for r in size.ravel().tolist()]).reshape(z.shape)
    return grown * (np.cos(n * angle) + 1j * np.sin(n * angle))


def modes(rng, channels=3, width=2):
    """Poles well inside the circle, none of them real, and residues."""
    size, angle = rng.uniform(0.4, 0.95, (channels, width)), rng.uniform(0.3, 2.8, (channels, width))
    angle = angle * rng.choice([-1.0, 1.0], (channels, width))
    poles = size * (np.cos(angle) + 1j * np.sin(angle))
    return poles, rng.uniform(0.5, 2.0, poles.shape) + 1j * rng.uniform(0.5, 2.0, poles.shape)


# --- fft_convolution ---


@check("fft_convolution")
def three_numbers_by_hand(fft_convolution):
    """x = 1, 2, 3 and h = 5, 7, 11: 5; 10 + 7; 15 + 14 + 11"""
    x, h = np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [7.0], [11.0]])
    wanted = np.array([[5.0], [17.0], [40.0]])
    causes = {
        "the end comes round to the beginning: the transform needs room for x and h, 2 T places": circular(x, h),
        "the whole of the filter meets every output, the future included": np.full((3, 1), 138.0),
        "entry by entry products are no convolution": x * h,
    }
    check_close("y", fft_convolution(x, h), wanted, 1e-9, causes)


@check("fft_convolution")
def agrees_with_the_sum_over_the_past(fft_convolution, rng):
    """thirteen steps, four channels with filters of their own"""
    x, h = rng.normal(size=(13, 4)), rng.normal(size=(13, 4))
    causes = {
        "the end comes round to the beginning": circular(x, h),
        "the filter is turned round: no conjugate is needed": convolved(x[::-1], h)[::-1],
        "all channels use the first filter": convolved(x, np.repeat(h[:, :1], 4, axis=1)),
        "the transform ran over the channels instead of the time": convolved(x.T, h.T).T,
    }
    check_close("y", fft_convolution(x, h), convolved(x, h), 1e-9, causes)


@check("fft_convolution")
def sees_nothing_of_the_future(fft_convolution, rng):
    """changing the last input changes the last output only"""
    x, h = rng.normal(size=(10, 2)), rng.normal(size=(10, 2))
    other = x.copy()
    other[-1] += 100.0
    first, second = fft_convolution(x, h), fft_convolution(other, h)
    if np.shape(first) != (10, 2) or not np.allclose(np.asarray(first)[:-1], np.asarray(second)[:-1], atol=1e-9):
        raise CheckFailed("an output before the last one changed (or has another shape): it looks into the future.")
    check_close("the change of the last output", np.asarray(second)[-1] - np.asarray(first)[-1], 100.0 * h[0], 1e-8)


@check("fft_convolution")
def returns_real_numbers(fft_convolution, rng):
    """one step: y = h x, a real array of shape (1, d)"""
    x, h = rng.uniform(1, 2, (1, 3)), rng.uniform(1, 2, (1, 3))
    check_close("y", fft_convolution(x, h), x * h, 1e-9)


@check("fft_convolution")
def any_length(fft_convolution, rng):
    """1, 2, 3, 7, 8 and 9 steps, one channel and several; an even and an odd length need the same room"""
    for shape in ((1, 1), (2, 3), (3, 1), (7, 7), (8, 2), (9, 1)):
        x, h = rng.normal(size=shape) + 2, rng.normal(size=shape) + 2
        causes = {"the end comes round to the beginning": circular(x, h)} if len(x) > 1 else {}
        check_close(
            f"y for {shape[0]} steps, {shape[1]} channels", fft_convolution(x, h), convolved(x, h), 1e-9, causes
        )


@check("fft_convolution")
def is_fast(fft_convolution, rng):
    """32,768 steps: T log T products, not T squared; at most 40 times what three transforms take here"""
    x, h = rng.normal(size=(2**15, 1)), rng.normal(size=(2**15, 1)) / 100
    start = time.perf_counter()
    y = np.asarray(fft_convolution(x, h))
    seconds = time.perf_counter() - start
    if y.shape != x.shape:
        raise CheckFailed(f"y must have shape {x.shape}, got {y.shape}.")
    wanted = np.array([(h[::-1] * x).sum(axis=0), (h[99::-1] * x[:100]).sum(axis=0)])
    check_close("outputs 32767 and 99", y[[-1, 99]], wanted, 1e-9)
    start = time.perf_counter()
    for _ in range(3):
        np.fft.rfft(x, 2**16, axis=0)
    allowed = max(0.1, 40 * (time.perf_counter() - start))
    if seconds > allowed:
        raise CheckFailed(
            f"it took {seconds:.2f} seconds, three transforms of this size take {allowed / 40:.3f}.",
            "a loop over pairs of times, or over the lags? Multiply transforms instead.",
        )


@check("fft_convolution")
def keeps_float32_in_fft_convolution(fft_convolution, rng):
    """float32 in, float32 out"""
    x, h = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    check_close("y", fft_convolution(x, h), convolved(x, h), 1e-5)


# --- fft_convolution_backward ---


def gradients(dy, x, h):
    """Every product h[t - s] x[s] sends dy[t] to both of its factors."""
    dx, dh = np.zeros_like(x), np.zeros_like(h)
    for t in range(len(x)):
        for s in range(t + 1):
            dx[s] += h[t - s] * dy[t]
            dh[t - s] += x[s] * dy[t]
    return dx, dh


def around(dy, other):
    """The correlation on a circle of T places."""
    T = len(dy)
    return np.stack([sum(dy[t] * other[(t - s) % T] for t in range(T)) for s in range(T)])


@check("fft_convolution_backward")
def dx_by_hand(fft_convolution_backward):
    """T = 2, dy = 1, 10: dx[0] hears of both outputs, dx[1] of the last only"""
    dy, x, h = np.array([[1.0], [10.0]]), np.array([[3.0], [5.0]]), np.array([[7.0], [2.0]])
    got = pair(fft_convolution_backward(dy, x, h), "dx and dh")[0]
    causes = {
        "dy was convolved once more: it has to look forward in time": convolved(dy, h),
        "the end comes round": around(dy, h),
        "turned round": np.array([[70.0], [27.0]]),
        "the conjugate is on the wrong factor": np.array([[27.0], [2.0]]),
    }
    check_close("dx", got, np.array([[27.0], [70.0]]), 1e-9, causes)


@check("fft_convolution_backward")
def dh_by_hand(fft_convolution_backward):
    """T = 2, dy = 1, 10: h[0] was used twice, h[1] once"""
    dy, x, h = np.array([[1.0], [10.0]]), np.array([[3.0], [5.0]]), np.array([[7.0], [2.0]])
    got = pair(fft_convolution_backward(dy, x, h), "dx and dh")[1]
    causes = {
        "dy was convolved with x: it has to look forward in time": convolved(dy, x),
        "the end comes round": around(dy, x),
        "this is dx": np.array([[27.0], [70.0]]),
    }
    check_close("dh", got, np.array([[53.0], [30.0]]), 1e-9, causes)


@check("fft_convolution_backward")
def agrees_with_differences(fft_convolution_backward, rng):
    """eleven steps, three channels: both gradients"""
    dy, x, h = rng.normal(size=(3, 11, 3))
    dx, dh = gradients(dy, x, h)
    got = pair(fft_convolution_backward(dy, x, h), "dx and dh")
    turned = {
        "the conjugate is missing": convolved(dy, h),
        "the conjugate is on the wrong factor": gradients(h, x, dy)[0],
        "the end comes round": around(dy, h),
    }
    check_close("dx", got[0], dx, 1e-9, turned)
    causes = {
        "the conjugate is missing": convolved(dy, x),
        "the end comes round": around(dy, x),
        "channels were mixed": np.repeat(dh.sum(axis=1, keepdims=True), 3, axis=1),
    }
    check_close("dh", got[1], dh, 1e-9, causes)


@check("fft_convolution_backward")
def the_end_does_not_come_round(fft_convolution_backward, rng):
    """only the last output counts: dx is the filter turned round, dh the inputs turned round"""
    x, h = rng.normal(size=(2, 9, 2))
    dy = np.zeros((9, 2))
    dy[-1] = 1.0
    dx, dh = pair(fft_convolution_backward(dy, x, h), "dx and dh")
    check_close("dx", dx, h[::-1].copy(), 1e-9)
    check_close("dh", dh, x[::-1].copy(), 1e-9)
    dy[-1], dy[0] = 0.0, 1.0
    dx, dh = pair(fft_convolution_backward(dy, x, h), "dx and dh")
    first = np.zeros((9, 2))
    first[0] = h[0]
    check_close("dx for the first output alone", dx, first, 1e-9, {"the end comes round": around(dy, h)})


@check("fft_convolution_backward")
def any_length_backward(fft_convolution_backward, rng):
    """1, 2, 3, 7, 8 and 9 steps, one channel and several"""
    for shape in ((1, 1), (2, 3), (3, 1), (7, 7), (8, 2), (9, 1)):
        dy, x, h = (rng.normal(size=shape) + 2 for _ in range(3))
        got = pair(fft_convolution_backward(dy, x, h), "dx and dh")
        for name, mine, right in zip(("dx", "dh"), got, gradients(dy, x, h), strict=True):
            check_close(f"{name} for {shape[0]} steps, {shape[1]} channels", mine, right, 1e-9)


@check("fft_convolution_backward")
def keeps_float32_in_fft_convolution_backward(fft_convolution_backward, rng):
    """float32 in, float32 out"""
    dy, x, h = rng.normal(size=(3, 6, 2)).astype(np.float32)
    got = pair(fft_convolution_backward(dy, x, h), "dx and dh")
    for name, mine, wanted in zip(("dx", "dh"), got, gradients(dy, x, h), strict=True):
        check_close(name, mine, wanted, 1e-5)


# --- modal_filter ---


def written_out(poles, residues, length):
    return np.stack([(residues * power(poles, t)).real.sum(axis=-1) for t in range(length)])


@check("modal_filter")
def one_mode_by_hand(modal_filter):
    """R = 3, p = 0.5: 3, 1.5, 0.75, 0.375"""
    causes = {
        "begins with p^1 instead of p^0": np.array([[1.5], [0.75], [0.375], [0.1875]]),
        "the residue is missing": np.array([[1.0], [0.5], [0.25], [0.125]]),
        "the pole is multiplied by the time, not raised to its power": np.array([[0.0], [1.5], [3.0], [4.5]]),
    }
    got = modal_filter(np.array([[0.5 + 0j]]), np.array([[3.0 + 0j]]), 4)
    check_close("h", got, np.array([[3.0], [1.5], [0.75], [0.375]]), 1e-12, causes)


@check("modal_filter")
def turns_with_its_pole(modal_filter, rng):
    """one complex mode a channel, ten steps"""
    poles, residues = modes(rng, 4, 1)
    wanted = written_out(poles, residues, 10)
    size = np.stack([(np.abs(residues) * np.abs(poles) ** t).sum(-1) for t in range(10)])
    causes = {
        "the real parts were taken before the product": written_out(poles.real + 0j, residues.real + 0j, 10),
        "that is the size of the mode, not its real part": size,
        "that is the imaginary part": np.stack([(residues * power(poles, t)).imag.sum(axis=-1) for t in range(10)]),
        "the poles or the residues were conjugated": written_out(poles, residues.conj(), 10),
        "a conjugate mode was added": 2 * wanted,
    }
    check_close("h", modal_filter(poles, residues, 10), wanted, 1e-9, causes)


@check("modal_filter")
def sums_over_the_modes(modal_filter, rng):
    """three modes a channel are added up; channels stay apart"""
    poles, residues = modes(rng, 2, 3)
    wanted = written_out(poles, residues, 7)
    causes = {
        "averaged instead of added": wanted / 3,
        "only the first mode counts": written_out(poles[:, :1], residues[:, :1], 7),
    }
    check_close("h", modal_filter(poles, residues, 7), wanted, 1e-9, causes)


@check("modal_filter")
def a_pole_at_zero(modal_filter):
    """p = 0: the filter is R at first and nothing afterwards"""
    got = modal_filter(np.zeros((1, 1), complex), np.array([[2.0 - 1j]]), 3)
    check_close("h", got, np.array([[2.0], [0.0], [0.0]]), 1e-12)


@check("modal_filter")
def smallest_filters(modal_filter, rng):
    """one tap, one channel, one mode; and as many taps as channels as modes"""
    for channels, width, length in ((3, 2, 1), (1, 1, 1), (1, 3, 4), (3, 3, 3)):
        poles, residues = modes(rng, channels, width)
        name = f"h of {channels} channels, {width} modes, {length} taps"
        check_close(name, modal_filter(poles, residues, length), written_out(poles, residues, length), 1e-9)


@check("modal_filter")
def keeps_single_precision_in_modal_filter(modal_filter, rng):
    """complex64 in, float32 out"""
    poles, residues = modes(rng)
    wanted = written_out(poles, residues, 6).astype(np.float32)
    check_close("h", modal_filter(poles.astype(np.complex64), residues.astype(np.complex64), 6), wanted, 1e-5)


# --- modal_step ---


@check("modal_step")
def one_step_by_hand(modal_step):
    """state 6, p = 0.5, R = 3, x = 2, D = 10: the state becomes 5, y is 15 + 20"""
    two, six = np.array([2.0]), np.array([[6.0 + 0j]])
    got = modal_step(two, six, np.array([[0.5 + 0j]]), np.array([[3.0 + 0j]]), np.array([10.0]))
    y, state = pair(got, "y and the new state")
    causes = {
        "y comes from the state before the input entered": np.array([38.0]),
        "x did not enter the state": np.array([29.0]),
        "the old state is not read": np.array([26.0]),
        "D x is missing": np.array([15.0]),
        "the old state did not fade": np.array([44.0]),
        "the residue counts twice: for what enters, and for what is read": np.array([47.0]),
    }
    check_close("y", y, np.array([35.0]), 1e-12, causes)
    check_complex("the new state", state, np.array([[5.0 + 0j]]), 1e-12)


@check("modal_step")
def steps_are_the_convolution(modal_step, rng):
    """twelve steps from an empty state are the convolution with the filter"""
    poles, residues = modes(rng, 3, 2)
    x, state = rng.normal(size=(12, 3)), np.zeros((3, 2), complex)
    rows = []
    for t in range(12):
        y, state = pair(modal_step(x[t], state, poles, residues, np.zeros(3)), "y and the new state")
        rows.append(np.asarray(y))
    if any(row.shape != (3,) for row in rows):
        raise CheckFailed(f"y must have shape (3,), got {rows[0].shape}.")
    causes = {
        "the poles or the residues were conjugated": convolved(x, written_out(poles.conj(), residues, 12)),
        "the present input is read one step late": convolved(x, np.roll(written_out(poles, residues, 12), 1, axis=0)),
    }
    check_close("all outputs", np.stack(rows), convolved(x, written_out(poles, residues, 12)), 1e-9, causes)


@check("modal_step")
def the_present_input_passes_by(modal_step, rng):
    """D counts for y, and leaves no trace in the state"""
    poles, residues = modes(rng, 2, 2)
    x, D = rng.uniform(1, 2, 2), rng.uniform(5, 6, 2)
    y, state = pair(modal_step(x, np.zeros((2, 2), complex), poles, residues, D), "y and the new state")
    check_close(
        "y", y, residues.real.sum(axis=-1) * x + D * x, 1e-9, {"D is added, not D x": residues.real.sum(-1) * x + D}
    )
    check_complex("the new state", state, np.stack([x, x], axis=1) + 0j, 1e-12)


@check("modal_step")
def two_texts_in_turns(modal_step, rng):
    """two texts, a step of each in turns, each from a state of its own; a pole of 0 among others"""
    poles, residues = modes(rng, 2, 3)
    poles[0, 0] = 0
    x, states, rows = rng.normal(size=(2, 5, 2)), [np.zeros((2, 3), complex)] * 2, [[], []]
    for t in range(5):
        for text in range(2):
            y, states[text] = pair(
                modal_step(x[text, t], states[text], poles, residues, np.zeros(2)), "y and the new state"
            )
            rows[text].append(np.asarray(y))
    for text in range(2):
        wanted = convolved(x[text], written_out(poles, residues, 5))
        check_close(f"all outputs of text {text + 1}", np.stack(rows[text]), wanted, 1e-9)


@check("modal_step")
def keeps_single_precision_in_modal_step(modal_step, rng):
    """float32 and complex64 in, float32 and complex64 out"""
    poles, residues = (array.astype(np.complex64) for array in modes(rng))
    x, state = rng.normal(size=3).astype(np.float32), rng.normal(size=(3, 2)).astype(np.complex64)
    y, after = pair(modal_step(x, state, poles, residues, np.ones(3, np.float32)), "y and the new state")
    moved = np.array([[poles[c, n] * state[c, n] + x[c] for n in range(2)] for c in range(3)])
    check_complex("the new state", after, moved.astype(np.complex64), 1e-5)
    wanted = [math.fsum((residues[c] * moved[c]).real.tolist()) + float(x[c]) for c in range(3)]
    check_close("y", y, np.array(wanted, np.float32), 1e-5)


# --- state_after ---


def faded(x, state, poles):
    """Input by input: how often each has been multiplied by its pole since it entered."""
    total = power(poles, len(x)) * state
    for t in range(len(x)):
        total = total + power(poles, len(x) - 1 - t) * x[t][:, None]
    return total


@check("state_after")
def two_inputs_by_hand(state_after):
    """p = 0.25, from nothing: 1 has faded once, 3 not at all"""
    causes = {
        "the powers run the wrong way: the last input has not faded yet": np.array([[1.75 + 0j]]),
        "everything has faded once too often": np.array([[0.8125 + 0j]]),
        "nothing fades": np.array([[4.0 + 0j]]),
        "only the last input is there": np.array([[3.0 + 0j]]),
    }
    got = state_after(np.array([[1.0], [3.0]]), np.zeros((1, 1), complex), np.array([[0.25 + 0j]]))
    check_complex("the state", got, np.array([[3.25 + 0j]]), 1e-12, causes)


@check("state_after")
def agrees_with_the_sum(state_after, rng):
    """nine inputs, three channels of two modes, from nothing"""
    poles, x = modes(rng)[0], rng.normal(size=(9, 3))
    empty = np.zeros((3, 2), complex)
    causes = {
        "the powers run the wrong way": faded(x[::-1], empty, poles),
        "the poles were conjugated": faded(x, empty, poles.conj()),
        "the imaginary parts are lost": faded(x, empty, poles).real + 0j,
    }
    check_complex("the state", state_after(x, empty, poles), faded(x, empty, poles), 1e-9, causes)


@check("state_after")
def continues_from_a_state(state_after, rng):
    """what was there before the first row has faded T times"""
    poles, x = modes(rng)[0], rng.normal(size=(6, 3))
    state = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    empty = faded(x, 0 * state, poles)
    causes = {
        "the old state is forgotten": empty,
        "the old state does not fade": empty + state,
        "the old state fades once": empty + poles * state,
        "the old state fades once too seldom": empty + power(poles, 5) * state,
    }
    check_complex("the state", state_after(x, state, poles), faded(x, state, poles), 1e-9, causes)


@check("state_after")
def a_pole_of_zero(state_after, rng):
    """p = 0 forgets all but the last input: 0^0 is 1; one input alone, too"""
    poles = modes(rng)[0]
    poles[0, 0] = poles[2] = 0
    for length in (4, 1):
        x, state = rng.normal(size=(length, 3)) + 2, np.ones((3, 2), complex)
        check_complex(f"the state after {length}", state_after(x, state, poles), faded(x, state, poles), 1e-9)


@check("state_after")
def three_hundred_inputs(state_after, rng):
    """300 inputs that fade within a few steps: no overflow and no 0 / 0"""
    poles, x = modes(rng)[0] * 0.1, rng.normal(size=(300, 3)) + 2
    state = np.ones((3, 2), complex)
    check_complex("the state", state_after(x, state, poles), faded(x[-40:], 0 * state, poles), 1e-9)


@check("state_after")
def pieces_are_the_whole(state_after, rng):
    """a prompt in two pieces leaves what the whole leaves"""
    poles, x = modes(rng)[0], rng.normal(size=(8, 3))
    empty = np.zeros((3, 2), complex)
    middle = state_after(x[:3], empty, poles)
    check_complex("the state after both", state_after(x[3:], np.array(middle), poles), faded(x, empty, poles), 1e-9)


@check("state_after")
def keeps_single_precision_in_state_after(state_after, rng):
    """float32 and complex64 in, complex64 out"""
    poles, x = modes(rng)[0].astype(np.complex64), rng.normal(size=(5, 3)).astype(np.float32)
    state = np.ones((3, 2), np.complex64)
    wanted = faded(x, state, poles).astype(np.complex64)
    check_complex("the state", state_after(x, state, poles), wanted, 1e-5)


inputs_stay_unchanged("fft_convolution", "fft_convolution_backward", "modal_filter", "modal_step", "state_after")
