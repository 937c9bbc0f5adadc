"""Text repeats itself: of a million words some tens of thousands are distinct, and only those are encoded."""

from __future__ import annotations

import numpy as np

from ..kernels import splitting

Words = tuple[np.ndarray, np.ndarray]
"""A text as UTF-8 and where its words end: (n,) uint8, (k,) int64."""


def distinct(words: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct words, in the same form: (m,) uint8, (d,) int64; and which of them each word is, (k,).

    >>> data, ends, which = distinct((np.frombuffer(b"to be to", np.uint8), np.array([2, 5, 8])))
    >>> data.tobytes(), ends.tolist(), which.tolist()
    (b'to be to', [2, 5, 8], [0, 1, 2])
    """
    data, ends = words
    first, _, which = splitting.unique_words(data, ends)
    starts = np.concatenate(([0], ends))[first]
    lengths = ends[first] - starts
    word_ends = np.cumsum(lengths)
    return data[np.arange(int(lengths.sum())) + np.repeat(starts - (word_ends - lengths), lengths)], word_ends, which
