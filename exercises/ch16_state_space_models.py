"""Chapter 16 exercises: from a differential equation to the scan at the heart of Mamba.

One row at a time: there is no batch axis here. float32 goes in, float32 comes out, and no array that was handed
in is changed.

Symbols (Gu & Dao 2023, arXiv:2312.00752): T steps, d channels, N numbers of state a channel; `delta` the step sizes,
A, B, C, D the coefficients of h' = A h + B x and y = C h + D x, with A diagonal and shared by all steps.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch16              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch16 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 5: easy, about 20 minutes, 2 points
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
    raise NotImplementedError("discretise")


# Task 2 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("scan")


# Task 3 of 5: hard, about 60 minutes, 5 points
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
    raise NotImplementedError("scan_backward")


# Task 4 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("convolution_step")


# Task 5 of 5: medium, about 25 minutes, 2 points
def fixed_kernel(delta: float, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: float, length: int) -> np.ndarray:
    """The filter of a state-space model of one channel whose coefficients do not change from step to step.

    delta, D: numbers; A, B, C (N,); length: how many taps, at least 1
    returns: kernel (length,) such that scanning x gives y_t = kernel_0 x_t + kernel_1 x_{t-1} + ... + kernel_t x_0

    >>> fixed_kernel(1.0, np.array([-1.0]), np.array([2.0]), np.array([3.0]), 0.5, 3).round(4)
    array([6.5   , 2.2073, 0.812 ])
    """
    raise NotImplementedError("fixed_kernel")
