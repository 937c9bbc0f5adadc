"""Task arithmetic: what a fine-tune learnt is a vector, its weights less those of the base; vectors can be added.

    merged = θ_0 + λ Σ w_i (θ_i - θ_0)

With a negative weight the model forgets a task instead. Source: Ilharco et al. 2022, arXiv:2212.04089.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .tensors import Pieces, Tensors, check_models, check_number, check_numbers, check_sum, elementwise, over_tensors


def task_arithmetic(
    base: Tensors, models: Sequence[Tensors], weights: Any, *, scale: float = 1.0, normalize: bool = False
) -> Any:
    """The base with the weighted sum of the task vectors, times `scale` (λ), added.

    weights: one a model, negative to take a task away. normalize: divide by the sum of the weights.

    >>> base, poet, clerk = np.array([1.0, 1.0]), np.array([3.0, 1.0]), np.array([1.0, 0.0])
    >>> task_arithmetic(base, [poet, clerk], [1, 1])
    array([3., 0.])
    >>> task_arithmetic(base, [poet], [-1])                           # what makes a poet, taken away
    array([-1.,  1.])
    """
    models = check_models(models)
    shares = check_numbers("weights", weights, len(models))
    factor = check_number("scale", scale) / (check_sum(shares) if normalize else 1.0)

    def formula(pieces: Pieces, _: Pieces) -> np.ndarray:
        start, *tuned = pieces
        total = np.zeros_like(start)
        for piece, share in zip(tuned, shares):
            total += (piece - start) * start.dtype.type(share)
        return start + total * start.dtype.type(factor)

    return over_tensors(lambda *arrays: elementwise(formula, arrays), base, *models)
