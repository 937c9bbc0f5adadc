"""Weighted means of models: linear merging, and WiSE-FT's line between a model and its fine-tune.

    merged = Σ w_i θ_i / Σ w_i        WiSE-FT: (1 - α) θ_0 + α θ_1

Models that were tuned from one ancestor lie in one valley of the loss, and so does what is between them; of models that
were trained apart, nothing of the kind holds. Sources: Wortsman et al. 2022, arXiv:2203.05482 and arXiv:2109.01903.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .tensors import Pieces, Tensors, check_models, check_number, check_numbers, check_sum, elementwise, over_tensors


def linear(models: Sequence[Tensors], weights: Any, *, normalize: bool = True) -> Any:
    """The weighted mean of the models, Σ w θ / Σ w; without `normalize` the weighted sum.

    models: {name: array} each, or arrays; the result has the first one's names and number formats. weights: a number
    each. Raises ValueError where models differ in names or shapes, where weights cancel, or numbers are not finite.

    >>> linear([np.zeros(2), np.array([4.0, 8.0])], [3, 1])
    array([1., 2.])

    Source: Wortsman et al. 2022, arXiv:2203.05482; with other weights, Matena & Raffel's baseline.
    """
    models = check_models(models)
    shares = check_numbers("weights", weights, len(models))
    total = check_sum(shares) if normalize else 1.0
    return over_tensors(lambda *arrays: combination(arrays, [share / total for share in shares]), *models)


def wise_ft(zero_shot: Tensors, fine_tuned: Tensors, alpha: float) -> Any:
    """On the line from a model to its fine-tune: alpha 0 is the model as it was, 1 the fine-tune.

    >>> wise_ft({"a": np.zeros(1)}, {"a": np.ones(1)}, 0.25)
    {'a': array([0.25])}

    Source: Wortsman et al. 2021, arXiv:2109.01903 (there between the weights of a CLIP before and after).
    """
    share = check_number("alpha", alpha)
    if not 0 <= share <= 1:
        raise ValueError(f"alpha must lie between 0 (the model as it was) and 1 (the fine-tune), not {share}")
    return linear([zero_shot, fine_tuned], [1 - share, share])


def combination(arrays: Sequence[np.ndarray], coefficients: Sequence[float]) -> np.ndarray:
    """Σ c_i x_i, in the first array's number format."""

    def formula(pieces: Pieces, _: Pieces) -> np.ndarray:
        total = pieces[0] * pieces[0].dtype.type(coefficients[0])
        for piece, coefficient in zip(pieces[1:], coefficients[1:]):
            total += piece * piece.dtype.type(coefficient)
        return total

    return elementwise(formula, arrays)
