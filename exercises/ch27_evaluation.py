"""Chapter 27 exercises: measuring a model, and knowing how sure the measurement is.

Plain NumPy, pure functions: nothing that was handed in is changed. Log-probabilities are natural logarithms.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch27              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch27 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 5: easy, about 10 minutes, 1 point
def bits_per_byte(log_probabilities: np.ndarray, token_bytes: np.ndarray, scored: np.ndarray) -> float:
    """How many bits a model needs for each byte of a text.

    log_probabilities: (T,), of each token of the text; what stands where nothing was scored has no meaning
    token_bytes: (T,) integers, how many bytes each token stands for; 0 for special tokens
    scored: (T,) of bool, which tokens were scored (the first one mostly was not: nothing stands before it)
    returns: a Python float, the bits of all scored tokens together by their bytes together

    >>> bits_per_byte(np.log([0.9, 0.5, 0.25]), np.array([5, 1, 2]), np.array([False, True, True]))     # 1 + 2 bits
    1.0
    """
    raise NotImplementedError("bits_per_byte")


# Task 2 of 5: medium, about 20 minutes, 2 points
def scored_tokens(pieces: list[bytes], context: str) -> np.ndarray:
    """Which tokens of context + choice, encoded as one text, belong to the choice.

    pieces: the bytes of each token; put together they are the whole text in UTF-8
    context: what the text begins with
    returns: (T,) of bool, True for each token that reaches past the end of the context

    >>> scored_tokens([b"The", b" cats", b"!"], "The cat")                # " cats" begins before the border
    array([False,  True,  True])
    """
    raise NotImplementedError("scored_tokens")


# Task 3 of 5: easy, about 15 minutes, 2 points
def choose(log_probabilities: list[np.ndarray], choices: list[str], normalize: str) -> tuple[np.ndarray, int]:
    """The score of each choice, and the place of the best one.

    log_probabilities: for each choice an array, of its scored tokens
    choices: the text of each
    normalize: "none", or what the sum is divided by: "tokens" (that were scored), "characters" or "bytes" (in UTF-8)
    returns: the scores, an array of floats; and the place of the largest, an int (of equal ones the first)

    >>> choose([np.array([-1.0, -2.0]), np.array([-2.0])], [" a cat", " dog"], "characters")
    (array([-0.5, -0.5]), 0)
    """
    raise NotImplementedError("choose")


# Task 4 of 5: medium, about 30 minutes, 3 points
def paired_bootstrap(a: np.ndarray, b: np.ndarray, draws: np.ndarray) -> tuple[float, tuple[float, float], float]:
    """How much better the first of two models is on the same items, and how sure that is.

    a, b: (N,), the score of each item under the two models
    draws: (R, N) integers, R times N items drawn with replacement, by their places
    returns: three things, all of Python floats:
        the mean of a - b;
        the interval in which 95 % of the R resampled means of a - b lie: their quantiles 0.025 and 0.975 (np.quantile);
        the p-value: of the R resampled means, moved so that "no difference" is their middle (minus the measured mean),
        and of the measured mean itself, the share that lies at least as far from 0 as the measured mean

    >>> paired_bootstrap(np.array([1.0, 1.0]), np.array([0.0, 1.0]), np.array([[0, 1], [1, 1], [0, 0]]))
    (0.5, (0.025, 0.975), 0.75)
    """
    raise NotImplementedError("paired_bootstrap")


# Task 5 of 5: medium, about 15 minutes, 2 points
def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that at least one of k samples is right, estimated from n samples of which c are.

    n, c, k: whole numbers, 0 <= c <= n and 1 <= k <= n; n may be a million
    returns: a Python float, 1 - C(n - c, k) / C(n, k), where C(m, k) counts the ways to choose k of m

    >>> round(pass_at_k(5, 1, 2), 6)                       # of 10 pairs of samples, 4 hold the right one
    0.4
    """
    raise NotImplementedError("pass_at_k")
