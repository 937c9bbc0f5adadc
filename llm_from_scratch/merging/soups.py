"""Soups: the plain mean of models that one recipe has tuned in several ways, of all of them or of those that help.

They stand in place of choosing the best run of a sweep and throwing the others away, and cost at use what one model
does. Source: Wortsman et al. 2022, arXiv:2203.05482.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .averages import linear
from .tensors import Tensors, check_models, check_number


def uniform_soup(models: Sequence[Tensors]) -> Any:
    """The mean of all models.

    >>> import numpy as np
    >>> uniform_soup([np.array([1.0]), np.array([2.0]), np.array([6.0])])
    array([3.])
    """
    models = check_models(models)
    return linear(models, [1.0] * len(models))


def greedy_soup(models: Sequence[Tensors], score: Callable[[Any], float]) -> Any:
    """The mean of those models that do not make the soup worse, tried from the best one on.

    score: of a model (as the models are given), on held-out data; the higher the better. The soup scores at least as
    well as the best model. `greedy_choice` says which went in.

    >>> import numpy as np
    >>> greedy_soup([np.array([0.0]), np.array([3.0]), np.array([9.0])], lambda x: -abs(x[0] - 2))
    array([1.5])
    """
    return _greedy(models, score)[1]


def greedy_choice(models: Sequence[Tensors], score: Callable[[Any], float]) -> list[int]:
    """Which models `greedy_soup` takes, in the order of its trying them.

    >>> import numpy as np
    >>> greedy_choice([np.array([0.0]), np.array([3.0]), np.array([9.0])], lambda x: -abs(x[0] - 2))
    [1, 0]
    """
    return _greedy(models, score)[0]


def _greedy(models: Sequence[Tensors], score: Callable[[Any], float]) -> tuple[list[int], Any]:
    models = check_models(models)
    alone = [check_number("a score", score(model)) for model in models]
    ranking = sorted(range(len(models)), key=lambda number: -alone[number])  # stable: of equals the first
    chosen, soup, best = ranking[:1], uniform_soup([models[ranking[0]]]), alone[ranking[0]]
    for number in ranking[1:]:
        richer = uniform_soup([models[k] for k in (*chosen, number)])
        found = check_number("a score", score(richer))
        if found >= best:
            chosen, soup, best = [*chosen, number], richer, found
    return chosen, soup
