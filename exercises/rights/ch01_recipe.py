"""Other right answers of chapter 1.

Sums over lists of matrices, logarithms to base 2, comparisons in another order, slices in place of an index.
"""

from __future__ import annotations

import math

import numpy as np


def count_parameters(config):
    d = config["hidden_size"]
    head = d // config["num_attention_heads"]
    if config.get("head_dim"):
        head = config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = (config.get("num_key_value_heads") or config["num_attention_heads"]) * head
    matrices = (
        [(d, queries), (d, keys), (d, keys), (queries, d)] + [(d, config["intermediate_size"])] * 3 + [(d, 1)] * 2
    )
    total = sum(a * b for a, b in matrices) * config["num_hidden_layers"] + d
    total += config["vocab_size"] * d
    if not config.get("tie_word_embeddings"):
        total += config["vocab_size"] * d
    return total


def bits_per_byte(loss, tokens, byte_count):
    return loss * math.log2(math.e) * (tokens / byte_count)


def in_words(config):
    heads, keys = config["num_attention_heads"], config.get("num_key_value_heads")
    if keys is None or keys == heads:
        attention = "multi-head"
    elif keys > 1:
        attention = "grouped-query"
    else:
        attention = "multi-query"
    window = config.get("sliding_window") or math.inf
    return {
        "head": ["its own", "tied"][bool(config.get("tie_word_embeddings"))],
        "attention": attention,
        "head width": round(config["hidden_size"] / heads),
        "window": None if window >= config["max_position_embeddings"] else window,
        "widening": float(f"{config['intermediate_size'] / config['hidden_size']:.2f}"),
    }


def memory_to_load(parameters, bits, layers, key_value_heads, head_width, tokens, texts=1):
    numbers = layers * key_value_heads * head_width * 2
    return parameters * (bits / 8) + 2.0 * numbers * tokens * texts


def next_token_batch(stream, starts, context):
    ids, targets = [], []
    for start in starts.tolist():
        if start < 0 or len(stream) - start < context + 1:
            raise ValueError("outside")
        ids.append(stream[start : start + context])
        targets.append(stream[start + 1 : start + 1 + context])
    return np.stack(ids), np.stack(targets)
