"""Chapter 17 exercises: a filter as long as the text, three ways.

One row at a time: there is no batch axis here. Time is the first axis, channels are the second, and every channel has
a filter of its own. float32 goes in, float32 comes out (complex64 in, complex64 out), and no array that was handed in
is changed.

Symbols (Poli et al. 2023, arXiv:2302.10866; Massaroli et al. 2023, arXiv:2310.18780): T steps, d channels, N modes a
channel; h the filters, p their poles and R their residues, complex, with h[t] = Re(sum of R p^t over the modes).
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "three_numbers_by_hand: the end comes round to the beginning": (
            "A transform of size T lives on a circle of T places: what runs out at the end comes in at the beginning, "
            "and early outputs see the future. Give the circle room for both: size 2 T, filled up with zeros."
        ),
        "agrees_with_the_sum_over_the_past: turned round": (
            "A complex conjugate in the product turns the filter round in time. A convolution needs none."
        ),
        "returns_real_numbers": "rfft and irfft are made for real arrays; np.fft.ifft returns complex numbers.",
        "ValueError: operands could not be broadcast": (
            "Transform along axis 0, with n=2 * T for both, so that the two transforms have the same shape."
        ),
        "sees_nothing_of_the_future": "The transform is twice as long as the text: keep the first T outputs.",
    },
    why="""A convolution is the product of two polynomials whose coefficients are x and h. Directly that is T^2 / 2
    products. But to multiply the values of two polynomials at a point takes a single product, and the transform
    computes the values at many points (the roots of unity) in T log T steps, because half of the work for one point
    is the work for its opposite. At n points a polynomial of degree n or more is mistaken for its remainder by
    z^n - 1: that is the circle, and the reason for the zeros.""",
)
def fft_convolution(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Each channel convolved with its filter by fast Fourier transforms: y[t] = sum of h[k] x[t - k] over k = 0 ... t.

    x (T, d); h (T, d), the filters, time first as in x
    returns: y (T, d), a new array, in O(T log T) time

    >>> x, h = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [100.0]])
    >>> fft_convolution(x, h).ravel().round(9)
    array([  1.,  12., 123.])
    """
    T = len(x)
    product = np.fft.rfft(x, 2 * T, axis=0) * np.fft.rfft(h, 2 * T, axis=0)
    return np.fft.irfft(product, 2 * T, axis=0)[:T].astype(x.dtype)


@task(
    points=4,
    difficulty="hard",
    minutes=45,
    hints={
        "dx_by_hand: convolved once more": (
            "Forward, y[t] looks back at x[t - k]. Backward, x[s] must hear of all outputs that it reached: those "
            "after it. That is a sum over the future, a correlation."
        ),
        "agrees_with_differences: the conjugate is on the wrong factor": (
            "conj(transform of h) times the transform of dy looks into the future of dy; with the conjugate on dy the "
            "result is turned round."
        ),
        "dh_by_hand": "dh[k] is the sum of dy[t] x[t - k] over all t: the same correlation, with x in the place of h.",
        "the_end_does_not_come_round": "Here too the circle needs 2 T places.",
    },
    why="""The transpose of a convolution is the convolution in reversed time. In the frequency domain this costs one
    sign: the complex conjugate of the transform. So the backward pass is as cheap as the forward one, T log T, and
    needs nothing but x, h and dy. Without the conjugate the shapes fit, the loss may even fall for a while, and every
    gradient is wrong: it is the mistake to look for first in a convolution that does not learn.""",
)
def fft_convolution_backward(dy: np.ndarray, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of the causal convolution towards x and h, by fast Fourier transforms.

    dy (T, d), the gradient of y; x and h (T, d) as in `fft_convolution`
    returns: dx and dh, (T, d) each, new arrays, in O(T log T) time

    >>> dy, x, h = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]]), np.array([[7.0], [2.0]])
    >>> dx, dh = fft_convolution_backward(dy, x, h)              # y[1] = h[0] x[1] + h[1] x[0]
    >>> dx.ravel().round(9), dh.ravel().round(9)
    (array([2., 7.]), array([5., 3.]))
    """
    T = len(x)
    arriving = np.fft.rfft(dy, 2 * T, axis=0)

    def correlated(other):
        product = arriving * np.fft.rfft(other, 2 * T, axis=0).conj()
        return np.fft.irfft(product, 2 * T, axis=0)[:T].astype(x.dtype)

    return correlated(h), correlated(x)


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "one_mode_by_hand: begins with": "At t = 0 every power is 1: h[0] is the real part of the residues' sum.",
        "turns_with_its_pole": (
            "Take the real part at the very end, after residue times power. The real part of a product is not the "
            "product of the real parts."
        ),
        "sums_over_the_modes": "poles[None] ** times has shape (T, d, N): sum over the last axis.",
        "a_pole_at_zero": "0 ** 0 is 1. np.log(0) is not a number: raise to the power instead.",
        "ComplexWarning": "Take .real before you store complex numbers in a real array.",
    },
    why="""One complex pole is a mode: its size says how fast it fades, its angle how far it turns a step. Sums of
    modes are all filters that a linear recurrence with N numbers of state can have, and no others. So a filter in
    this form can be convolved like any other while one trains, and run step by step while one writes.""",
)
def modal_filter(poles: np.ndarray, residues: np.ndarray, length: int) -> np.ndarray:
    """Filters that are sums of modes: h[t] = Re(sum of residues * poles**t over the modes), for t = 0 ... length - 1.

    poles and residues (d, N), complex; length: at least 1
    returns: h (length, d), real: float32 for complex64, float64 for complex128

    >>> modal_filter(np.array([[0.5j]]), np.array([[4.0 + 0j]]), 4).ravel()          # 4, 2i, -1, -i/2: the real parts
    array([ 4.,  0., -1.,  0.])
    """
    times = np.arange(length)[:, None, None]
    return (residues * poles[None] ** times).real.sum(axis=-1).astype(poles.real.dtype)


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "one_step_by_hand: y comes from the state before the input entered": (
            "The state moves first, then it is read: y uses the state that already holds x."
        ),
        "steps_are_the_convolution": (
            "Multiply the whole state by its pole, then add x to every mode of its channel: x[:, None]."
        ),
        "the_present_input_passes_by": "D x stands beside the filter: add it to y, not to the state.",
        "two_texts_in_turns": "The state comes in and goes out again: keep nothing in the function.",
        "inputs_unchanged": "Return a new state: state * poles + ..., not state *= poles.",
    },
    why="""The convolution of one more input costs N products a channel, however long the text is, and the memory is N
    complex numbers: this is why StripedHyena's convolutions need no cache that grows. An input that entered k steps ago
    has been multiplied by p^k since, which is exactly its weight in the filter.""",
)
def modal_step(
    x: np.ndarray, state: np.ndarray, poles: np.ndarray, residues: np.ndarray, D: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the convolution with modal filters as a recurrence, with D x beside it.

    x (d,), the new input; state (d, N), complex, all zeros before the first step; poles and residues (d, N) as in
    `modal_filter`; D (d,)
    returns: y (d,), real, and the new state (d, N), complex, as new arrays

    state = poles * state + x, and y = Re(sum of residues * state over the modes) + D x.

    >>> y, state = modal_step(np.array([1.0]), np.array([[2.0 + 0j]]), np.array([[0.5 + 0j]]), np.array([[3.0 + 0j]]),
    ...                       np.array([10.0]))
    >>> y, state                                     # 0.5 * 2 + 1 = 2, and 3 * 2 + 10
    (array([16.]), array([[2.+0.j]]))
    """
    state = poles * state + x[:, None]
    return (residues * state).real.sum(axis=-1) + D * x, state


@task(
    points=2,
    difficulty="medium",
    minutes=25,
    hints={
        "two_inputs_by_hand: the powers run the wrong way": (
            "The last input has just entered and has not faded: its power is 0. The first one has faded T - 1 times."
        ),
        "agrees_with_the_sum": "All modes of a channel hear the same input: x[:, :, None] times powers (T, d, N).",
        "a_pole_of_zero: got nan": "0^0 is 1, and log(0) is no number: raise the poles themselves to powers.",
        "three_hundred_inputs: got nan": "Divide by nothing that has faded: each input needs its power T - 1 - t only.",
        "continues_from_a_state": "What was there before fades with every step of the prompt: T times.",
    },
    why="""A prompt is read at once, by FFT; but then one wants to go on token by token and needs the state as if all
    had been read in steps. It is a sum of T terms that do not wait for each other. Forget the old state's p^T and all
    still looks right, since tests usually begin from nothing: a prompt in two pieces shows it.""",
)
def state_after(x: np.ndarray, state: np.ndarray, poles: np.ndarray) -> np.ndarray:
    """The state of `modal_step` after all rows of x, without stepping: poles^T state + sum of poles^(T-1-t) x[t].

    x (T, d); state (d, N), complex, from before the first row; poles (d, N)
    returns: the new state (d, N), complex, as a new array

    >>> state_after(np.array([[1.0], [2.0]]), np.array([[8.0 + 0j]]), np.array([[0.5 + 0j]]))   # 8/4 + 1/2 + 2
    array([[4.5+0.j]])
    """
    ages = np.arange(len(x), dtype=x.dtype)[::-1, None, None]
    return poles ** len(x) * state + (poles[None] ** ages * x[:, :, None]).sum(axis=0)
