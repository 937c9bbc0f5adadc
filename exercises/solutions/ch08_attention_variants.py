"""Chapter 8 exercises: attention that remembers less: fewer key-value heads, windows, and the cache they save.

Everything here is a pure function on arrays; nothing that was handed in is changed. B rows of a batch, H query heads,
K key-value heads, T queries, S keys, D the width of a head. Positions count from 0. Scores may be of any size, in every
row another one: nothing overflows, and a key that must not be seen is not, however large its score.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "which_head_reads_which: query heads were dealt out in turns": (
            "Query head a reads key-value head a // (H / K): neighbours share. np.repeat does that, np.tile does not."
        ),
        "one_head_each: with K = H this is plain attention": "Then every query head has a key-value head of its own.",
        "large_scores: expected a number, got nan": "Subtract each row's maximum before taking exp.",
        "rows_far_apart: got nan, an overflow": "Each row has its own maximum: scores.max(axis=-1, keepdims=True).",
        "the_future_is_hidden": "-10,000 is a score like others. -np.inf is below all of them.",
        "ValueError: operands could not be broadcast": (
            "Reshape q to (B, K, H/K, T, D) and give k and v an axis of length 1 in the same place."
        ),
    },
    why="""While a model generates, every step reads the keys and values of all tokens so far from memory, and that,
    not arithmetic, is what takes the time. Sharing one key-value head among several query heads divides what is
    read and stored. LLaMA-2 70B shares one among eight and loses next to nothing. Grouping must be a reshape
    and not a copy: a repeated cache would be as large as the one that was to be saved.""",
)
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
    batch, heads, length, width = q.shape
    shared = k.shape[1]
    grouped = q.reshape(batch, shared, heads // shared, length, width)
    scores = grouped @ k[:, :, None].swapaxes(-1, -2) / math.sqrt(width)
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v[:, :, None]).reshape(q.shape).astype(q.dtype)


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand: the window is one key too wide": "A window of W holds W keys, the query's own too: 0 <= i - j < W.",
        "with_remembered_keys: queries were counted from 0": (
            "The first query stands behind the remembered keys: query t is at position offset + t, key j at position j."
        ),
        "smallest_and_largest: a window of 1 is a window": "Ask `if window is None`: only None means no window.",
        "TypeError: ufunc 'bitwise_and'": "Put parentheses around the comparisons: (a <= b) & (c < d).",
    },
    why="""0 <= i - j < W is the convention of flash-attention and of the transformers library. Mistral's own one-file
    code let the prompt see one key more, i - j <= W, and no error told anybody: outputs differ a little, from
    position W on. Conventions that are off by one are found by comparing numbers, never by reading.""",
)
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
    i = offset + np.arange(queries)[:, None]
    j = np.arange(keys)[None, :]
    seen = j <= i
    return seen if window is None else seen & (i - j < window)


@task(
    points=3,
    difficulty="hard",
    minutes=30,
    hints={
        "a_short_prompt: fewer tokens than the window": "Slots that nothing was written to yet must not come back.",
        "after_the_wrap: tokens come back in the order of their slots": (
            "Once the buffer is full, the oldest token sits in the slot right behind the newest."
        ),
        "a_long_prompt: more new tokens than slots": "Only the last `window` of them stay; write those, and no others.",
        "IndexError: index 4 is out of bounds": "A token at position p goes to slot p % window.",
    },
    why="""A layer with a window of W can never look at more than W tokens, so it needs no more memory than that,
    however long the conversation. Mistral writes the token at position p to slot p mod W. Keys were turned by
    their positions before they were stored, so where they lie does not matter to attention; it only has to know
    which ones they are.""",
)
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
    window, end = len(slots), position + len(new)
    slots = slots.copy()
    kept = new[-window:]
    slots[np.arange(end - len(kept), end) % window] = kept
    held = np.arange(max(0, end - window), end)
    return slots, slots[held % window]


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "multi_head: half of what it should be": "There are two arrays in every layer: keys and values.",
        "windows: a window was longer than the text": "A layer holds min(tokens, window) tokens.",
        "layers_differ: key-value heads of each layer": "Add up over the layers; DeciLM has 4, 2 and 1 in one model.",
    },
    why="""The cache is what limits how many conversations fit on one accelerator. LLaMA-7B spends half a megabyte on
    every token, 2 GB on 4,096 of them, for each user. Falcon's single key-value head, LLaMA-2's eight and
    Mistral's window are three answers to this one number.""",
)
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
    windows = [None] * len(key_value_heads) if windows is None else windows
    held = [tokens if window is None else min(tokens, window) for window in windows]
    return sum(2 * heads * head_dim * count for heads, count in zip(key_value_heads, held)) * bytes_each
