"""Chapter 1 exercises: what can be said of a model before it exists, and what its training looks at.

Plain Python and NumPy, pure functions: nothing that was handed in is changed. A config is what stands in the
config.json of a model of LLaMA's family.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch01              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch01 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from typing import Any

import numpy as np


# Task 1 of 5: medium, about 25 minutes, 3 points
def count_parameters(config: dict[str, Any]) -> int:
    """How many numbers a model of LLaMA's family has.

    The table of tokens has vocab_size rows of hidden_size; unless tie_word_embeddings is true (missing: it is not), the
    head is a second such matrix. Each of num_hidden_layers layers has four matrices of attention without biases (query
    and output for num_attention_heads heads; key and value for num_key_value_heads, as many as heads where the config
    does not say; a head is head_dim wide, hidden_size // num_attention_heads where the config does not say), three of
    feed-forward between hidden_size and intermediate_size, and two norms of hidden_size; a last norm follows.

    config: the entries named above; one that is None says nothing; others may be there and do not matter
    returns: a Python int

    >>> count_parameters({"vocab_size": 10, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
    ...                   "num_attention_heads": 2, "tie_word_embeddings": True})      # 40 + 4·16 + 3·32 + 8 + 4
    212
    """
    raise NotImplementedError("count_parameters")


# Task 2 of 5: easy, about 10 minutes, 1 point
def bits_per_byte(loss: float, tokens: int, byte_count: int) -> float:
    """From a mean loss in nats a token to bits for each byte of the text.

    loss: mean of -log p over the text's tokens, natural logarithm
    tokens, byte_count: how many tokens and bytes the text has
    returns: a Python float

    >>> round(bits_per_byte(np.log(2), tokens=10, byte_count=40), 3)          # one bit a token, four bytes each
    0.25
    """
    raise NotImplementedError("bits_per_byte")


# Task 3 of 5: easy, about 20 minutes, 2 points
def in_words(config: dict[str, Any]) -> dict[str, Any]:
    """Read the design off a config.

    config: num_attention_heads, hidden_size, intermediate_size, max_position_embeddings; and perhaps
    num_key_value_heads, sliding_window, tie_word_embeddings, any of which may also be None
    returns: {"attention": "multi-head", "grouped-query" or "multi-query"; "head width": an int, hidden_size by heads;
    "window": how many tokens a token sees, or None where that is not fewer than the context; "widening":
    intermediate_size by hidden_size, rounded to two digits; "head": "tied" or "its own"}

    >>> in_words({"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336,
    ...           "max_position_embeddings": 32768, "sliding_window": 4096})                       # Mistral 7B
    {'attention': 'grouped-query', 'head width': 128, 'window': 4096, 'widening': 3.5, 'head': 'its own'}
    """
    raise NotImplementedError("in_words")


# Task 4 of 5: medium, about 15 minutes, 2 points
def memory_to_load(
    parameters: int, bits: float, layers: int, key_value_heads: int, head_width: int, tokens: int, texts: int = 1
) -> float:
    """Bytes for a model's weights, and for what it remembers of texts.

    parameters, bits: how many weights, and in how many bits each is kept
    layers, key_value_heads, head_width: each token of a text leaves in every layer one key and one value a key-value
    head, of head_width numbers in 16 bits
    tokens, texts: so many tokens in each of so many texts (0 tokens: the weights alone)
    returns: bytes, a Python float, not rounded

    >>> memory_to_load(1000, 4, layers=2, key_value_heads=1, head_width=8, tokens=10)               # 500 + 640
    1140.0
    """
    raise NotImplementedError("memory_to_load")


# Task 5 of 5: medium, about 20 minutes, 2 points
def next_token_batch(stream: np.ndarray, starts: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the bug: windows of a stream, and what each of their places has to predict.

    Somebody wrote the following. With one window a step the loss reached 0.01 within minutes, and the model writes one
    word over and over; with more it learns nothing. There are three mistakes, one of which shows only at the end of the
    stream.

        def next_token_batch(stream, starts, context):
            ids = np.stack([stream[s : s + context] for s in starts])
            targets = np.stack([stream[s : s + context] for s in starts])
            return ids, np.roll(targets, 1, axis=0)

    stream: (N,) integers; starts: (B,) integers, where the windows begin; context: their length
    returns: ids (B, context), and targets (B, context), the token after each of them in the stream; of its dtype
    raises: ValueError if a window or its last target would lie outside of the stream

    >>> next_token_batch(np.array([3, 1, 4, 1, 5, 9]), np.array([0, 2]), 3)
    (array([[3, 1, 4],
           [4, 1, 5]]), array([[1, 4, 1],
           [1, 5, 9]]))
    """
    raise NotImplementedError("next_token_batch")
