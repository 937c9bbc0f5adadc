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


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "groups_of_neighbours: heads were averaged in turns": (
            "Query head a reads key-value head a // (H / K), so heads 0 .. H/K - 1 become head 0: neighbours."
        ),
        "ValueError: cannot reshape": "The H * D columns are H blocks of D: reshape to (width, K, H / K, D).",
        "one_for_all": "With K = 1 all heads become one: their mean, D columns wide.",
        "nothing_to_do": "With K = H every head stays what it is.",
    },
    why="""This is how Ainslie et al. made grouped models of trained multi-head ones. The averages are not a model yet,
    as the chapter shows: two heads that look for different things become one that looks for neither. But a model that
    begins here and goes on training for a twentieth of its steps comes close to one trained in this way from the
    start. The mean is over neighbours, because neighbours will share.""",
)
def average_heads(matrix: np.ndarray, heads: int, shared: int) -> np.ndarray:
    """The matrix of keys (or of values) of a trained model, its H heads made K by averaging.

    matrix: (width, H * D), head a in columns a * D .. a * D + D - 1; heads: H; shared: K, a divisor of H
    returns: (width, K * D), of matrix's dtype: head c is the mean of those whose query heads will read it

    >>> average_heads(np.array([[1.0, 10.0, 3.0, 30.0]]), 2, 1)      # two heads of width 2
    array([[ 2., 20.]])
    """
    width = len(matrix)
    return matrix.reshape(width, shared, heads // shared, -1).mean(axis=2).reshape(width, -1)


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


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_groups_of_neighbours: heads are dealt out in turns": "Of 6 heads and 2, which one does query head 1 read?",
        "at_the_windows_edge: a query sees one key too many": (
            "A window of W holds W keys, the new one's among them. When is the memory cut, before or after it comes?"
        ),
        "by_groups_of_neighbours: a shared head was repeated in what is kept": "What is kept has K heads, not H.",
        "the_first_token": "The memory may be empty, (K, 0, D); and a window of 1 sees the new token alone.",
        "one_or_all": "With one head for each, and with one for all, the script was right: compare yours with it.",
    },
    why="""Both mistakes are common because nothing they do is loud. Dealing heads out in turns is right with K = H
    and with K = 1, so the models it was tried on hide it. The cut before the new key comes lets W + 1 keys be seen,
    which changes an attention of thousands of keys by a thousandth. Both are found by holding a step against the
    definition, at sizes where they show: a group of at least two, and a text longer than its window.""",
)
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
    keys = np.concatenate([keys, k[:, None]], axis=1)
    values = np.concatenate([values, v[:, None]], axis=1)
    if window is not None:
        keys, values = keys[:, -window:], values[:, -window:]
    groups = q.reshape(len(keys), -1, q.shape[-1])
    scores = groups @ keys.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ values).reshape(q.shape).astype(q.dtype), keys, values
