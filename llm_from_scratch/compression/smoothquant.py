"""SmoothQuant: part of what makes activations hard to round is moved into the weights, where it is easier.

In int8 products the activations' few large inputs cost the most. Dividing input j by s_j and multiplying its weights
by s_j computes the same function; s_j = max|x_j|^α / max|w_j|^(1 - α) shares the largest magnitudes out, evenly at
α = 1/2. The division is folded into what makes the input, as AWQ's is (`folding.py`), from inputs that were seen
once: nothing is computed at run time.

Source: Xiao et al. 2022, arXiv:2211.10438, eq. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..quantization.grid import check_weight


def smoothing_scale(weights: Sequence[Any], largest: Any, *, alpha: float = 0.5) -> np.ndarray:
    """What to multiply the weights of each input by, and to divide the input by: (inputs,), in the weights' dtype.

    weights: the matrices (outputs, inputs) that read the same inputs. largest: (inputs,), the largest magnitude of each
    input on calibration text. alpha: the share that moves, 0 to 1. An input that was always zero, or that no weight
    reads, has nothing to share and keeps the scale 1. Raises TypeError and ValueError for what is not finite, does not
    fit, or is below zero, and for alpha outside 0..1.

    >>> smoothing_scale([np.array([[0.5, 1.0, 2.0], [1.0, -0.5, 0.0]])], [16.0, 1.0, 0.0])
    array([4., 1., 1.])
    """
    matrices = [check_weight(weight, f"weight {i}") for i, weight in enumerate(weights)]
    if not matrices or len({(matrix.shape[1], matrix.dtype) for matrix in matrices}) != 1:
        raise ValueError(f"the weights share their inputs and dtype, got {[m.shape for m in matrices] or 'none'}")
    inputs = matrices[0].shape[1]
    seen = np.asarray(largest, np.float64)
    if seen.shape != (inputs,) or not np.isfinite(seen).all() or (seen < 0).any():
        raise ValueError(f"largest is a finite magnitude for each of {inputs} inputs, got an array {seen.shape}")
    if isinstance(alpha, bool) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha is the share that moves into the weights, 0 to 1, not {alpha!r}")
    held = np.max([np.abs(matrix).max(axis=0) for matrix in matrices], axis=0).astype(np.float64)
    both = (seen > 0) & (held > 0)
    scale = np.where(both, seen, 1) ** alpha / np.where(both, held, 1) ** (1 - alpha)
    return scale.astype(matrices[0].dtype)
