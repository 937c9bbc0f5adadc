"""Chapter 16 exercises: from a differential equation to the scan at the heart of Mamba.

One row at a time: there is no batch axis here. float32 goes in, float32 comes out, and no array that was handed
in is changed.

Symbols (Gu & Dao 2023, arXiv:2312.00752): T steps, d channels, N numbers of state a channel; `delta` the step sizes,
A, B, C, D the coefficients of h' = A h + B x and y = C h + D x, with A diagonal and shared by all steps.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "follows_the_exact_solution: the decay is Euler's": (
            "1 + delta * A is the first two terms of the exponential. Over a long step it even changes its sign. "
            "Zero-order hold solves the equation exactly while the input stands still: exp(delta * A)."
        ),
        "follows_the_exact_solution: the input is Euler's": (
            "delta * B pretends that nothing that enters during the step decays before its end. The integral of "
            "exp(A s) from 0 to delta is (exp(delta * A) - 1) / A."
        ),
        "a_rate_of_zero: expected": (
            "Where A is 0 the integral is simply delta, but the formula says 0 / 0. Put delta there."
        ),
        "rates_that_grow: a positive rate was taken for zero": "Only where A is exactly 0 the integral is delta.",
        "small_steps: this is Euler's delta B": (
            "However small the step, exp(A s) is not 1: np.expm1 needs no case for small steps."
        ),
        "tiny_steps_keep_their_digits": (
            "exp(z) - 1 subtracts two nearly equal numbers when z is small. np.expm1(z) does not."
        ),
        "RuntimeWarning: invalid value encountered in divide": (
            "np.where computes both of its branches. Divide by something harmless where A is 0."
        ),
    },
    why="""A computer sees samples, the equation knows only rates. Zero-order hold pretends that the input is a
    staircase and then makes no error at all: both factors come from the exact solution, so that they stay right
    for any step, however long, and a decay is always between 0 and 1. Mamba keeps the exponential for the state,
    where it matters (errors there multiply from step to step), and takes Euler's delta * B for the input, where
    the difference is only a rescaling that training absorbs.""",
)
def discretise(A: np.ndarray, B: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Zero-order hold: the exact step of h' = A h + B x while x stands still for the time delta.

    A, B (N,): real, A possibly 0; delta: positive
    returns: (decay, gain), both (N,), such that h(t + delta) = decay * h(t) + gain * x

    The gain is B times the integral of exp(A s) for s from 0 to delta; where A is 0 that is delta. It must keep
    its digits also where delta * A is tiny.

    >>> decay, gain = discretise(np.array([-1.0, 0.0]), np.array([2.0, 2.0]), 0.5)
    >>> decay.round(4), gain.round(4)                # e^-0.5; 2 (1 - e^-0.5) and 2 * 0.5
    (array([0.6065, 1.    ]), array([0.7869, 1.    ]))
    """
    z = delta * A
    rest = A == 0
    integral = np.where(rest, delta, np.expm1(z) / np.where(rest, 1, A))
    return np.exp(z), integral.astype(A.dtype) * B


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "one_number_by_hand: y comes from the state before the input entered": (
            "The state moves first, then it is read: y[t] uses the h that already holds x[t]."
        ),
        "one_number_by_hand: the state that was handed in is ignored": (
            "A text may go on from an earlier piece: h begins as `state`, and decays like any other."
        ),
        "five_hundred_steps: got nan": (
            "The product of all decays runs to 0, and 0 / 0 is not a number. Let the state decay step by step."
        ),
        "agrees_with_the_sum_over_the_past: the decay ignores the step size": (
            "Every channel has its own step at every time: the decay is exp(delta[t, :, None] * A), (d, N)."
        ),
        "agrees_with_the_sum_over_the_past: the input is not multiplied by the step": (
            "Euler's rule for the input: what enters is delta * B * x, not B * x."
        ),
        "begins_with_the_given_state": "h starts as `state`, not as zeros; copy it, or add without +=.",
        "ValueError: operands could not be broadcast": (
            "B[t] and C[t] have shape (N,) and serve all channels; delta[t] and x[t] have shape (d,). A product "
            "(d, N) is np.outer(delta[t] * x[t], B[t])."
        ),
    },
    why="""B and C play the roles of key and query: B writes what the step lets in, C reads. The step decides how
    much is let in and how much is forgotten, in one number: a large one wipes the channel and writes the new
    input, a step near zero keeps everything and ignores it. In a fixed state-space model these numbers are the
    same at every time, and then the whole is a convolution.""",
)
def scan(
    x: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    state: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The selective scan: h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t and y_t = C_t . h_t + D x_t.

    x, delta (T, d); A (d, N); B, C (T, N), shared by all channels; D (d,); state (d, N), from before the first step
    returns: y (T, d) and the state after the last step, (d, N), as new arrays

    >>> ones = np.ones((3, 1))
    >>> y, last = scan(ones, ones, np.array([[-1.0]]), ones, ones, np.array([10.0]), np.zeros((1, 1)))
    >>> y.ravel().round(4), last.round(4)            # h = h / e + 1, and 10 x beside it
    (array([11.    , 11.3679, 11.5032]), array([[1.5032]]))
    """
    h = state.copy()
    y = np.empty_like(x)
    for t in range(len(x)):
        h = np.exp(delta[t, :, None] * A) * h + np.outer(delta[t] * x[t], B[t])
        y[t] = h @ C[t] + D * x[t]
    return y, h


@task(
    points=5,
    difficulty="hard",
    minutes=60,
    hints={
        "the_last_step_alone: dx lacks": ("x goes two ways: through delta * B into the state, and past it through D."),
        "the_last_step_alone: the state that was handed in is ignored": (
            "Run the forward from `state`, not from zeros: every gradient that meets h sees it."
        ),
        "the_last_step_alone: ddelta lacks": (
            "delta stands twice in the recurrence: in front of B x, and inside the exponential."
        ),
        "what_later_steps_report: the gradient of the state does not travel back": (
            "h_t is used twice: by y_t, and by h_{t+1}. Its gradient is the sum of both: C_t dy_t, and the next "
            "step's gradient times the next step's decay."
        ),
        "what_later_steps_report: the wrong decay": (
            "On the way from h_t back to h_{t-1} the gradient is multiplied by the decay of step t, the one that "
            "took h_{t-1} to h_t."
        ),
        "sums_over_the_right_axes": (
            "A serves all steps and D as well: sum over time. B and C serve all channels: sum over d."
        ),
        "AttributeError": "Every gradient has the shape of its argument; return them as a tuple of seven arrays.",
    },
    why="""Going back, the gradient of the state obeys a recurrence of the same kind, run from the end: a scan's
    backward is a scan. What it needs at every step is the state of that step. Keeping all of them costs N times
    the memory of x; the package keeps every sixteenth and runs the steps between once more, which is cheaper than
    reading so much memory back.""",
)
def scan_backward(
    dy: np.ndarray,
    x: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    state: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """The gradients of `scan` towards x, delta, A, B, C, D and the first state, given the one towards y.

    dy (T, d), the other arguments as in `scan`; nothing is asked of the last state
    returns: seven new arrays of the shapes of x, delta, A, B, C, D and state

    >>> one = np.ones((1, 1))
    >>> dx, ddelta, dA, dB, dC, dD, dstate = scan_backward(one, 3 * one, one, -one, one, one, np.zeros(1), 2 * one)
    >>> ddelta.round(4), dstate.round(4)             # 3 - 2/e, since y = 2 exp(-delta) + 3 delta; and 1/e
    (array([[2.2642]]), array([[0.3679]]))
    """
    decays, befores, states, h = [], [], [], state
    for t in range(len(x)):
        decays.append(np.exp(delta[t, :, None] * A))
        befores.append(h)
        h = decays[t] * h + np.outer(delta[t] * x[t], B[t])
        states.append(h)
    dx, ddelta, dA, dB, dC = (np.zeros_like(array) for array in (x, delta, A, B, C))
    g = np.zeros_like(state)
    for t in reversed(range(len(x))):
        g = g + np.outer(dy[t], C[t])
        dC[t] = dy[t] @ states[t]
        dB[t] = (delta[t] * x[t]) @ g
        du = g @ B[t]
        along = g * decays[t] * befores[t]
        dx[t] = delta[t] * du + D * dy[t]
        ddelta[t] = x[t] * du + (along * A).sum(axis=1)
        dA += along * delta[t, :, None]
        g = decays[t] * g
    return dx, ddelta, dA, dB, dC, (dy * x).sum(axis=0), g


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "steps_are_the_convolution: the filter is turned round": (
            "The last tap meets the present input: inputs come oldest first, and so do the taps."
        ),
        "tail_moves_on: the tail does not move": (
            "Forget the oldest input and append the new one: the tail always holds the last W - 1 inputs."
        ),
        "steps_are_the_convolution: only the present input is seen": (
            "The window is the tail and the new input, W rows together."
        ),
        "a_filter_of_one_tap": "With W = 1 the tail has no rows at all; tail[-0:] would be everything.",
        "inputs_unchanged": "Return a new tail instead of shifting the old one in place.",
    },
    why="""Training sees the whole sequence, generation one token at a time: the same function has to exist in both
    forms, and every implementation of Mamba has had a bug where they disagreed. The step needs a memory of W - 1
    inputs for its short convolution and N numbers a channel for its scan, however long the text. A test that
    feeds a sequence in pieces and compares with the whole finds all such bugs at once.""",
)
def convolution_step(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, tail: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of a depthwise causal convolution: what comes out for one new input, and the tail after it.

    x (d,), the new input; weight (d, W), one filter a channel, its last tap for x itself; bias (d,); tail (W - 1, d),
    the inputs before x, oldest first
    returns: y (d,) and the new tail (W - 1, d), as new arrays

    Applied to one row after another, beginning with a tail of zeros, it gives the convolution of the whole sequence.

    >>> weight, tail = np.array([[100.0, 10.0, 1.0]]), np.array([[1.0], [2.0]])
    >>> y, tail = convolution_step(np.array([3.0]), weight, np.zeros(1), tail)
    >>> y, tail.ravel()                              # 100 * 1 + 10 * 2 + 3
    (array([123.]), array([2., 3.]))
    """
    window = np.concatenate([tail, x[None]])
    return (window * weight.T).sum(axis=0) + bias, window[1:]


@task(
    points=2,
    difficulty="medium",
    minutes=25,
    hints={
        "agrees_with_the_recurrence: the first tap is wrong": (
            "The first tap is C . B * delta: the input of this very step, before anything has decayed (plus D)."
        ),
        "agrees_with_the_recurrence: the kernel decays too fast or too slowly": (
            "After k steps an input has decayed k times: exp(delta * A) to the power k, one power a tap."
        ),
        "D_is_part_of_the_first_tap": "y = C . h + D x: what passes beside the state belongs to tap 0.",
        "a_long_kernel": "Use exp(k * delta * A) instead of multiplying step by step: no loop, and no lost digits.",
        "RecursionError": "No recursion is needed: all powers at once, by broadcasting over k.",
    },
    why="""As long as the coefficients do not change, the scan is one fixed filter: S4 and its relatives compute it
    once and convolve by FFT in O(T log T), all steps in parallel. Selection gives this up, since there is no single
    filter any more, and gets back by a fused scan what it loses. Chapter 17 goes the other way: it keeps the
    filter, and makes it selective by gates around the convolution.""",
)
def fixed_kernel(delta: float, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: float, length: int) -> np.ndarray:
    """The filter of a state-space model of one channel whose coefficients do not change from step to step.

    delta, D: numbers; A, B, C (N,); length: how many taps, at least 1
    returns: kernel (length,) such that scanning x gives y_t = kernel_0 x_t + kernel_1 x_{t-1} + ... + kernel_t x_0

    >>> fixed_kernel(1.0, np.array([-1.0]), np.array([2.0]), np.array([3.0]), 0.5, 3).round(4)
    array([6.5   , 2.2073, 0.812 ])
    """
    ages = np.arange(length, dtype=A.dtype)[:, None]
    kernel = delta * (np.exp(ages * (delta * A)) @ (B * C))
    kernel[0] += D
    return kernel
