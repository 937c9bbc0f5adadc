"""How many bytes a rank sends in one training step of a split model, predicted from its shapes.

tokens: B · T of one step; nbytes: of (tokens, hidden) in the dtype of the run. What a communicator counts is compared
with these. Each is the volume of one rank: a link is as busy as the rank behind it, however many ranks there are.
"""

from __future__ import annotations

from .pipeline import HEADER_BYTES
from .volume import ring_all_reduce, ring_reduce_scatter


def tensor_parallel_layer(nbytes: float, ranks: int) -> float:
    """Two all-reduces forward and two backward, for attention and feed-forward part. Sequence parallelism: the same.

    >>> tensor_parallel_layer(1000, 2)                 # each all-reduce: 2 · 1/2 · 1000
    4000.0
    """
    return 4 * ring_all_reduce(nbytes, ranks)


def sequence_parallel_shared(nbytes: float, ranks: int) -> float:
    """What sequence parallelism has to add: the gradients of the norms and biases outside, nbytes of them in a step."""
    return ring_all_reduce(nbytes, ranks)


def vocabulary_parallel(nbytes: float, tokens: int, itemsize: int, ranks: int) -> float:
    """Embedding, head and loss: the sum of the table's rows, the head's input, and three numbers a token.

    The embedding's sum goes forward and the gradient of the head's input backward; the maxima are gathered, and two
    numbers a token summed.
    """
    numbers = tokens * itemsize
    return 2 * ring_all_reduce(nbytes, ranks) + (ranks - 1) * numbers + ring_all_reduce(2 * numbers, ranks)


def ring_attention_layer(key_bytes: float, ranks: int) -> float:
    """Keys and values of a piece go round, (ranks - 1) steps forward; backward with their gradients, which go home.

    key_bytes: of the keys of one rank's piece, and as many of its values. Queries never move.
    """
    if ranks == 1:
        return 0.0
    return 2 * key_bytes * (ranks - 1) + 4 * key_bytes * ranks


def pipeline_rank(nbytes: float, micro_batches: int, rank: int, ranks: int) -> float:
    """Activations of each micro-batch (nbytes) to the next stage, their gradients to the one before, with headers."""
    neighbours = (rank > 0) + (rank < ranks - 1)
    return neighbours * micro_batches * (nbytes + HEADER_BYTES)


def data_parallel(parameter_bytes: float, ranks: int) -> float:
    """One all-reduce of all gradients. ZeRO 1 and 2 send the same: gradients scattered, new weights gathered."""
    return ring_all_reduce(parameter_bytes, ranks)


def fully_sharded(parameter_bytes: float, ranks: int) -> float:
    """ZeRO 3: weights are gathered for the forward and again for the backward, gradients reduce-scattered: half more.

    >>> fully_sharded(1000, 2) / data_parallel(1000, 2)
    1.5
    """
    return 3 * ring_reduce_scatter(parameter_bytes, ranks)
