"""Chapter 1 exercises: what can be said of a model before it exists, and what its training looks at.

Plain Python and NumPy, pure functions: nothing that was handed in is changed. A config is what stands in the
config.json of a model of LLaMA's family.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "by_hand: the norms were forgotten": (
            "Each layer has two norms of hidden_size numbers, and one stands at the end."
        ),
        "by_hand: the feed-forward part has three matrices, not two": (
            "LLaMA's feed-forward part has a gate as well: three matrices of hidden_size × intermediate_size."
        ),
        "untied: the head was forgotten": (
            "Without tie_word_embeddings the table of tokens is there twice: going in and coming out."
        ),
        "untied: a missing tie_word_embeddings means False": "config.get('tie_word_embeddings', False).",
        "grouped: keys and values are as wide as the queries here": (
            "Keys and values have num_key_value_heads × the width of a head; queries have num_attention_heads ×."
        ),
        "wide_heads: the width of a head is hidden_size // num_attention_heads only if head_dim is not given": (
            "head = config.get('head_dim') or hidden_size // num_attention_heads."
        ),
        "wide_heads: TypeError": "head_dim may stand there and be None: config.get('head_dim') or …",
    },
    why="""Every number of a model stands in one of a few matrices, and the config says how large they are. So one
    counts before one builds, and knows what will fit; and a count that does not come out tells that an architecture
    was misread. That is how half of the facts about models that were never released were found out.""",
)
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
    width, heads = config["hidden_size"], config["num_attention_heads"]
    shared = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or width // heads
    attention = 2 * width * heads * head + 2 * width * shared * head
    layer = attention + 3 * width * config["intermediate_size"] + 2 * width
    tables = 1 if config.get("tie_word_embeddings", False) else 2
    return tables * config["vocab_size"] * width + config["num_hidden_layers"] * layer + width


@task(
    points=1,
    difficulty="easy",
    minutes=10,
    hints={
        "a_known_loss: nats, not bits": "One bit is log 2 nats: divide by log 2.",
        "a_known_loss: bits per token": (
            "The loss is a mean over tokens: times tokens is the whole text's; then share it among the bytes."
        ),
        "a_known_loss: multiplied by log 2": (
            "The same information is a larger number in bits than in nats: divide by log 2."
        ),
    },
    why="""A loss per token depends on how much text a token covers, so two models with different tokenizers cannot be
    compared by it. The whole text has one length in bytes, whoever cuts it. A perplexity without a word about what it
    is a perplexity of has left out the half that one needs.""",
)
def bits_per_byte(loss: float, tokens: int, byte_count: int) -> float:
    """From a mean loss in nats a token to bits for each byte of the text.

    loss: mean of -log p over the text's tokens, natural logarithm
    tokens, byte_count: how many tokens and bytes the text has
    returns: a Python float

    >>> round(bits_per_byte(np.log(2), tokens=10, byte_count=40), 3)          # one bit a token, four bytes each
    0.25
    """
    return float(loss * tokens / np.log(2) / byte_count)


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "sharing: multi-query has one key-value head for all": (
            "One: multi-query; as many as heads: multi-head; else grouped-query."
        ),
        "sharing: a config without num_key_value_heads is multi-head": (
            "Where it is missing or None, there are as many as heads."
        ),
        "one_head: a single head is multi-head": "Compare with the number of heads first: one of one is not shared.",
        "windows: a window at least as long as the context hides nothing": (
            "It counts only if it is shorter than the context."
        ),
    },
    why="""A config is short because most of it is said by the family's name. What is left are the choices in which the
    models of a family differ, and they are quickly read once one knows what a missing entry means: not nothing, but
    the default of the code that reads it.""",
)
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
    heads = config["num_attention_heads"]
    shared = config.get("num_key_value_heads") or heads
    window = config.get("sliding_window")
    attention = "multi-head" if shared == heads else "multi-query" if shared == 1 else "grouped-query"
    return {
        "attention": attention,
        "head width": config["hidden_size"] // heads,
        "window": window if window is not None and window < config["max_position_embeddings"] else None,
        "widening": round(config["intermediate_size"] / config["hidden_size"], 2),
        "head": "tied" if config.get("tie_word_embeddings") else "its own",
    }


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "weights_alone: bits were taken for bytes": "Eight bits are a byte.",
        "with_texts: keys were counted, values were not": "A token leaves a key and a value in every layer: 2 ×.",
        "with_texts: one text was counted": "Every text has a memory of its own: times texts.",
        "with_texts: the memory is kept in 16 bits, whatever the weights are kept in": (
            "Two bytes a number for keys and values, also where weights have 4 bits."
        ),
    },
    why="""The rule of thumb (two bytes a parameter and a tenth more) is this sum for one reader and a model of 2022.
    With many texts at once the second term takes over, which is why a year later keys and values were shared among
    heads.""",
)
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
    return float(parameters * bits / 8 + 2 * 2 * layers * key_value_heads * head_width * tokens * texts)


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "shifted: the targets are the tokens that are read": (
            "Place t has to predict token t + 1 of the stream, not token t."
        ),
        "shifted: two tokens ahead": "The next token is one place further on, not two.",
        "to_the_end: the last window that fits was refused": (
            "A window takes context + 1 tokens: one that begins at len(stream) - context - 1 still fits."
        ),
        "to_the_end: a window past the end must be a ValueError": (
            "NumPy cuts a slice at the end without a word; check starts before anything is cut."
        ),
        "to_the_end: a negative start counts from the end in NumPy": "Check that starts are not negative, too.",
        "to_the_end: the starts come in any order": "Check all of them, not the first and the last.",
    },
    why="""A model that may read the answer has it right at once: the loss falls to nearly zero, everything looks
    splendid, and it writes nonsense, since when it writes there is no answer to be read. A loss that is too good is a
    bug until the opposite is shown.""",
)
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
    if (starts < 0).any() or (starts + context >= len(stream)).any():
        raise ValueError(f"a window of {context} tokens and the one after it does not fit into {len(stream)}")
    windows = stream[starts[:, None] + np.arange(context + 1)]
    return windows[:, :-1], windows[:, 1:]
