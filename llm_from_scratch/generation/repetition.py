"""Against repetition: what was there before becomes less probable, or may not come again.

Every function takes one row of logits (V,) and returns a new one; a token that may not be chosen gets -inf.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def penalise_repetition(logits: np.ndarray, seen: Iterable[int], penalty: float) -> np.ndarray:
    """Make every token in `seen` less probable: positive logits are divided by the penalty, negative ones multiplied.

    A token seen twice is penalised once.

    >>> penalise_repetition(np.array([2.0, -2.0, 1.0]), [0, 1, 1], 2.0)
    array([ 1., -4.,  1.])

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, in the form of the transformers library.
    """
    tokens = np.unique(_tokens(seen, logits.size))
    result = logits.copy()
    chosen = result[tokens]
    with np.errstate(all="ignore"):  # of the two sides only one is meant
        result[tokens] = np.where(chosen < 0, chosen * penalty, chosen / penalty)
    return result


def forbid_repeated_ngrams(logits: np.ndarray, seen: Iterable[int], n: int) -> np.ndarray:
    """Forbid each token that would complete n tokens in a row that are in `seen` already; n = 1: every token seen.

    >>> forbid_repeated_ngrams(np.zeros(4), [1, 2, 3, 1, 2], 3)              # 1 2 was followed by 3
    array([  0.,   0.,   0., -inf])

    Source: Paulus, Xiong & Socher 2017, arXiv:1705.04304, section 2.5 (there for n = 3).
    """
    tokens = _tokens(seen, logits.size)
    result = logits.copy()
    if tokens.size >= n:
        ngrams = np.lib.stride_tricks.sliding_window_view(tokens, n)
        begun = (ngrams[:, :-1] == tokens[tokens.size + 1 - n :]).all(axis=1)
        result[ngrams[begun, -1]] = -np.inf
    return result


def _tokens(seen: Iterable[int], vocabulary: int) -> np.ndarray:
    tokens = np.fromiter(seen, dtype=np.int64)
    if tokens.size and (tokens.min() < 0 or tokens.max() >= vocabulary):
        raise ValueError(f"seen tokens must be ids in 0..{vocabulary - 1}, got {tokens.min()}..{tokens.max()}")
    return tokens
