"""The sizes of a model and their usual config keys; how numbers that go with them follow when a model is made small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# What Hugging Face's configs mostly call them. A family has the sizes whose keys stand in its DEFAULTS.
USUAL_KEYS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "feed_forward": "intermediate_size",
    "window": "sliding_window",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
}


def grouped(number: int, of: int, heads: int) -> int:
    """Key-value heads in the same ratio among `heads`; what was grouped stays grouped, one stays one, all stay all.

    >>> grouped(8, 64, 16), grouped(8, 64, 4), grouped(1, 64, 4), grouped(64, 64, 4)
    (2, 2, 1, 4)
    """
    return number if number == 1 else heads if number == of else max(min(2, heads), heads * number // of)


def thinned(values: Sequence[Any], count: int) -> list[Any]:
    """So many of the values, evenly spaced, first and last among them.

    >>> thinned([4, 4, 2, 2, 1], 3)
    [4, 2, 1]
    """
    return [values[round(i * (len(values) - 1) / max(1, count - 1))] for i in range(count)]
