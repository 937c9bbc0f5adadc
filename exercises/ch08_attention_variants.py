"""Chapter 8 exercises: attention that remembers less: fewer key-value heads, windows, and the cache they save.

Everything here is a pure function on arrays; nothing that was handed in is changed. B rows of a batch, H query heads,
K key-value heads, T queries, S keys, D the width of a head. Positions count from 0. Scores may be of any size, in every
row another one: nothing overflows, and a key that must not be seen is not, however large its score.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch08              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch08 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math

import numpy as np


# Task 1 of 6: medium, about 25 minutes, 3 points
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


# Task 2 of 6: easy, about 10 minutes, 2 points
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


# Task 3 of 6: hard, about 30 minutes, 3 points
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


# Task 4 of 6: easy, about 10 minutes, 2 points
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


# Task 5 of 6: easy, about 10 minutes, 2 points
def average_heads(matrix: np.ndarray, heads: int, shared: int) -> np.ndarray:
    """The matrix of keys (or of values) of a trained model, its H heads made K by averaging.

    matrix: (width, H * D), head a in columns a * D .. a * D + D - 1; heads: H; shared: K, a divisor of H
    returns: (width, K * D), of matrix's dtype: head c is the mean of those whose query heads will read it

    >>> average_heads(np.array([[1.0, 10.0, 3.0, 30.0]]), 2, 1)      # two heads of width 2
    array([[ 2., 20.]])
    """
    raise NotImplementedError("average_heads")


def somebodys_step(q, k, v, keys, values, window=None):
    """A step of cached decoding found on the network. LLaMA-7B and Falcon-7B write well with it.

    LLaMA-2-70B talks nonsense, and Mistral, once it has written a few thousand tokens, says now and then another word
    than elsewhere. The arguments are those of `repaired_step`.
    """
    if window is not None:
        keys, values = keys[:, -window:], values[:, -window:]
    keys = np.concatenate([keys, k[:, None]], axis=1)
    values = np.concatenate([values, v[:, None]], axis=1)
    share = len(q) // len(keys)
    scores = np.einsum("hd,hsd->hs", q, np.tile(keys, (share, 1, 1))) / math.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("hs,hsd->hd", weights, np.tile(values, (share, 1, 1))), keys, values


# Task 6 of 6: medium, about 20 minutes, 3 points
def repaired_step(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray, window: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the bugs in `somebodys_step` above (there are two), and write the step as it should be.

    q: (H, D), the new token's queries; k, v: (K, D), its key and value of each key-value head
    keys, values: (K, S, D), those of the last S tokens, S from 0; window: None, or how many keys a query sees at most,
    its own included
    returns: the attention's output (H, D), of q's dtype, and the keys and values to keep, (K, min(S + 1, window), D)

    >>> y, keys, values = repaired_step(np.zeros((2, 1)), np.zeros((1, 1)), np.array([[8.0]]), np.zeros((1, 2, 1)),
    ...                                 np.array([[[2.0], [4.0]]]), window=2)
    >>> y.ravel(), values.ravel()
    (array([6., 6.]), array([4., 8.]))
    """
    raise NotImplementedError("repaired_step")
