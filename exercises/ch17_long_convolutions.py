"""Chapter 17 exercises: a filter as long as the text, three ways.

One row at a time: there is no batch axis here. Time is the first axis, channels are the second, and every channel has
a filter of its own. float32 goes in, float32 comes out (complex64 in, complex64 out), and no array that was handed in
is changed.

Symbols (Poli et al. 2023, arXiv:2302.10866; Massaroli et al. 2023, arXiv:2310.18780): T steps, d channels, N modes a
channel; h the filters, p their poles and R their residues, complex, with h[t] = Re(sum of R p^t over the modes).

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch17              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch17 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 5: medium, about 30 minutes, 3 points
def fft_convolution(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Each channel convolved with its filter by fast Fourier transforms: y[t] = sum of h[k] x[t - k] over k = 0 ... t.

    x (T, d); h (T, d), the filters, time first as in x
    returns: y (T, d), a new array, in O(T log T) time

    >>> x, h = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [100.0]])
    >>> fft_convolution(x, h).ravel().round(9)
    array([  1.,  12., 123.])
    """
    raise NotImplementedError("fft_convolution")


# Task 2 of 5: hard, about 45 minutes, 4 points
def fft_convolution_backward(dy: np.ndarray, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of the causal convolution towards x and h, by fast Fourier transforms.

    dy (T, d), the gradient of y; x and h (T, d) as in `fft_convolution`
    returns: dx and dh, (T, d) each, new arrays, in O(T log T) time

    >>> dy, x, h = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]]), np.array([[7.0], [2.0]])
    >>> dx, dh = fft_convolution_backward(dy, x, h)              # y[1] = h[0] x[1] + h[1] x[0]
    >>> dx.ravel().round(9), dh.ravel().round(9)
    (array([2., 7.]), array([5., 3.]))
    """
    raise NotImplementedError("fft_convolution_backward")


# Task 3 of 5: easy, about 20 minutes, 2 points
def modal_filter(poles: np.ndarray, residues: np.ndarray, length: int) -> np.ndarray:
    """Filters that are sums of modes: h[t] = Re(sum of residues * poles**t over the modes), for t = 0 ... length - 1.

    poles and residues (d, N), complex; length: at least 1
    returns: h (length, d), real: float32 for complex64, float64 for complex128

    >>> modal_filter(np.array([[0.5j]]), np.array([[4.0 + 0j]]), 4).ravel()          # 4, 2i, -1, -i/2: the real parts
    array([ 4.,  0., -1.,  0.])
    """
    raise NotImplementedError("modal_filter")


# Task 4 of 5: medium, about 20 minutes, 2 points
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
    raise NotImplementedError("modal_step")


# Task 5 of 5: medium, about 25 minutes, 2 points
def state_after(x: np.ndarray, state: np.ndarray, poles: np.ndarray) -> np.ndarray:
    """The state of `modal_step` after all rows of x, without stepping: poles^T state + sum of poles^(T-1-t) x[t].

    x (T, d); state (d, N), complex, from before the first row; poles (d, N)
    returns: the new state (d, N), complex, as a new array

    >>> state_after(np.array([[1.0], [2.0]]), np.array([[8.0 + 0j]]), np.array([[0.5 + 0j]]))   # 8/4 + 1/2 + 2
    array([[4.5+0.j]])
    """
    raise NotImplementedError("state_after")
