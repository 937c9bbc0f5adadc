"""Chapter 8 exercises: attention that remembers less: fewer key-value heads, windows, and the cache they save.

Everything here is a pure function on arrays; nothing that was handed in is changed. B rows of a batch, H query heads,
K key-value heads, T queries, S keys, D the width of a head. Positions count from 0. Scores may be of any size, in every
row another one: nothing overflows, and a key that must not be seen is not, however large its score.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch08              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch08 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 4: medium, about 25 minutes, 3 points
def grouped_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal attention with K key-value heads for H query heads, K a divisor of H.

    q: (B, H, T, D), k and v: (B, K, T, D)
    returns: (B, H, T, D), of q's dtype

    Query head a reads key-value head a // (H // K). Scores are divided by sqrt(D); query t sees keys 0 .. t.

    >>> q = np.zeros((1, 2, 2, 1))                                   # equal scores: each query averages what it sees
    >>> grouped_attention(q, np.zeros((1, 1, 2, 1)), np.array([[[[1.0], [3.0]]]]))[0, :, :, 0]
    array([[1., 2.],
           [1., 2.]])
    """
    raise NotImplementedError("grouped_attention")


# Task 2 of 4: easy, about 10 minutes, 2 points
def window_mask(queries: int, keys: int, window: int | None = None, offset: int = 0) -> np.ndarray:
    """Who sees whom: True where query t may see key j.

    offset: how many keys stand before the first query; query t is at position offset + t
    window: None, or how many keys a query sees at most, its own included
    returns: (queries, keys) booleans

    >>> window_mask(4, 4, window=2).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    raise NotImplementedError("window_mask")


# Task 3 of 4: hard, about 30 minutes, 3 points
def rolling_write(slots: np.ndarray, position: int, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write new keys into a rolling buffer, and read out what it holds.

    slots: (W, D), where the token at position p lies in slot p % W; position: how many tokens were written before
    new: (T, D), the tokens at positions position .. position + T - 1; T may be larger than W
    returns: the new slots (W, D), and the last min(W, position + T) tokens in their order in the text, oldest first

    >>> slots = np.array([[4.0], [1.0], [2.0], [3.0]])               # W = 4; tokens 1, 2, 3 and 4, of 5 written
    >>> slots, held = rolling_write(slots, 5, np.array([[5.0]]))
    >>> slots.ravel(), held.ravel()
    (array([4., 5., 2., 3.]), array([2., 3., 4., 5.]))
    """
    raise NotImplementedError("rolling_write")


# Task 4 of 4: easy, about 10 minutes, 2 points
def cache_bytes(
    key_value_heads: list[int], head_dim: int, tokens: int, windows: list[int | None] | None = None, bytes_each: int = 2
) -> int:
    """Bytes of the key-value cache of one sequence.

    key_value_heads: how many each layer has, one number a layer
    windows: the window of each layer, None for a layer without; None instead of a list: no layer has one
    bytes_each: of one number, 2 for bfloat16

    >>> cache_bytes([32] * 32, 128, 1)             # LLaMA-7B: half a megabyte a token
    524288
    """
    raise NotImplementedError("cache_bytes")
