"""Fisher merging: a mean in which every weight of every model counts by how much the model's predictions depend on it.

    merged = Σ λ_i F_i θ_i / Σ λ_i F_i        F_i = E_x E_{y ~ p_i(y|x)} [ (∂ log p_i(y|x) / ∂θ)² ]

F is the diagonal of the Fisher information. The labels y are drawn from the model itself: with those of a data set it
would be another matrix, large where the model is wrong. Source: Matena & Raffel 2021, arXiv:2111.09832.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..functional import cross_entropy
from .tensors import Pieces, Tensors, check_models, check_number, check_numbers, elementwise, over_tensors


def fisher(models: Sequence[Tensors], fishers: Sequence[Tensors], weights: Any, *, floor: float = 1e-30) -> Any:
    """The mean of the models, weighted entry by entry with weights × Fisher information.

    fishers: as the models are, no entry negative, from `fisher_information`. weights: one a model, none negative.
    floor: what an entry of a Fisher information is at least; where it is zero in all models, the plain weighted mean
    is left.

    >>> fisher([np.array([0.0, 0.0]), np.array([4.0, 4.0])], [np.array([1.0, 0.0]), np.array([3.0, 0.0])], [1, 1])
    array([3., 2.])
    """
    models, fishers = check_models(models), check_models(fishers)
    shares = check_numbers("weights", weights, len(models))
    if min(shares) < 0 or not sum(shares) > 0:
        raise ValueError(
            f"weights of a Fisher merge are not negative, and not all 0; got {', '.join(map(str, shares))}"
        )
    if len(fishers) != len(models):
        raise ValueError(
            f"there are {len(fishers)} Fisher informations for {len(models)} models: one each was expected"
        )
    least = check_number("floor", floor)
    if not 0 < least < 1:
        raise ValueError(f"floor must be a small number above 0, not {least}")

    def formula(pieces: Pieces, _: Pieces) -> np.ndarray:
        values, information = pieces[: len(shares)], pieces[len(shares) :]
        if min(piece.min() for piece in information) < 0:
            raise ValueError("a Fisher information is a mean of squares, and here an entry is negative")
        above = below = np.zeros(values[0].shape)  # in float64: squares of small gradients are very small
        for share, value, found in zip(shares, values, information):
            factor = share * np.maximum(found.astype(np.float64), least)
            above, below = above + factor * value, below + factor
        return above / below

    return over_tensors(lambda *arrays: elementwise(formula, arrays), *models, *fishers)


def fisher_information(
    model: Any, ids: np.ndarray, *, rng: np.random.Generator | int, samples: int = 1
) -> dict[str, np.ndarray]:
    """The diagonal of a language model's Fisher information a token, {parameter: array}, over texts ids (N, T).

    At every place of a text a next token is drawn from the model, `samples` times, and the gradient of their joint
    log-probability squared, text by text: as the draws at two places are independent and a score has mean zero, this
    is in expectation the sum over the places of what each of them has alone.

    The model's gradients are gone afterwards. Raises ValueError for ids that are no texts, or of which there are none.

    >>> from llm_from_scratch import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4)
    >>> found = fisher_information(model, np.array([[1, 2, 3]]), rng=0)
    >>> found["embedding.weight"].shape, bool((found["norm.bias"] > 0).all())
    ((5, 4), True)
    """
    rows = np.asarray(ids)
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "iu":
        raise ValueError(f"ids are texts (N, T) of token ids, not {rows.dtype} of shape {rows.shape}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a whole number of at least 1, not {samples!r}")
    generator = np.random.default_rng(rng)
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    total: dict[str, np.ndarray] = {name: np.zeros(parameter.shape) for name, parameter in parameters.items()}
    for row in rows:
        for _ in range(samples):
            _clear(parameters)
            logits = model(row[None])
            drawn = (logits.data[0] + generator.gumbel(size=logits.shape[1:])).argmax(-1)  # Gumbel's way to sample
            loss = cross_entropy(logits, drawn[None]) * len(row)
            loss.backward()
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    total[name] += np.square(parameter.grad, dtype=np.float64)
    _clear(parameters)
    count = rows.size * samples
    return {name: (squares / count).astype(parameters[name].dtype) for name, squares in total.items()}


def _clear(parameters: Mapping[str, Any]) -> None:
    for parameter in parameters.values():
        parameter.grad = None
