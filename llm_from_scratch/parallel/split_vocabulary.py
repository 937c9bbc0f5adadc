"""The vocabulary divided among ranks: the embedding's rows, the head's columns, and a loss that never gathers logits.

The logits are the largest array of a step. A rank has those of its own words; what a softmax needs to know of the
others are two numbers a token, the largest logit and the sum of exponentials, and a cross-entropy one more, the
target's logit. Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
"""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..autograd import Tensor, primitive
from ..checks import check_ids, check_targets, floating
from ..layers import Embedding, Linear, Module
from .collectives import gather_copies
from .communicator import Alone, Communicator
from .shares import Region, divisible, piece, share


class VocabularyEmbedding(Module):
    """This rank's rows of an embedding: ids (B, T) -> (B, T, dim), by sequence (B, T / size, dim).

    A rank looks up the words that it has, zeros stand for the others, and the ranks' tables are summed.
    """

    def __init__(self, plain: Embedding, comm: Communicator, *, by_sequence: bool = False) -> None:
        divisible(plain, Embedding)
        self.vocabulary = plain.weight.shape[0]
        self.rows = share(self.vocabulary, comm, "rows of a vocabulary")
        self.region = Region(comm, by_sequence)
        self.weight = piece(plain.weight, self.rows)

    def __call__(self, ids: np.ndarray) -> Tensor:
        check_ids(ids, self.vocabulary)
        mine = (ids >= self.rows.start) & (ids < self.rows.stop)
        found = F.embedding(self.weight, np.where(mine, ids - self.rows.start, 0))
        return self.region.leave(found * mine[..., None].astype(found.dtype))

    def scores(self, x: Tensor) -> Tensor:
        """Every row's product with x, as a tied head wants them: (..., dim) -> (..., V), gathered on every rank."""
        local = F.linear(self.region.enter(x), self.weight, transposed=True)
        return gather_copies(local, comm=self.region.comm, axis=-1)


class VocabularyHead(Module):
    """This rank's columns of a head; of an `Embedding` (a tied head) its rows, or a `VocabularyEmbedding`'s own.

    Called, it gives the whole logits, (..., dim) -> (..., V), as sampling wants them. Training calls `cross_entropy`.
    """

    def __init__(self, plain: Linear | VocabularyEmbedding, comm: Communicator, *, by_sequence: bool = False) -> None:
        self.region = Region(comm, by_sequence)
        self.tied = isinstance(plain, VocabularyEmbedding)
        if isinstance(plain, VocabularyEmbedding):
            self.weight, self.bias = plain.weight, None
        else:
            divisible(plain, Linear)
            columns = share(plain.weight.shape[1], comm, "words of a vocabulary")
            self.weight = piece(plain.weight, (slice(None), columns))
            self.bias = None if plain.bias is None else piece(plain.bias, columns)

    def logits(self, x: Tensor) -> Tensor:
        """Those of this rank's words: x (B, T, dim), or a piece of the sequence -> (B, T, V / size)."""
        return F.linear(self.region.enter(x), self.weight, self.bias, transposed=self.tied)

    def __call__(self, x: Tensor) -> Tensor:
        return gather_copies(self.logits(x), comm=self.region.comm, axis=-1)

    def cross_entropy(self, x: Tensor, targets: np.ndarray, normaliser: int | None = None) -> Tensor:
        """The sum of the token losses / normaliser, the same number on every rank; targets (B, T), -100 ignored."""
        return vocabulary_cross_entropy(self.logits(x), targets, comm=self.region.comm, normaliser=normaliser)


@primitive
def vocabulary_cross_entropy(logits, targets, /, *, comm, normaliser=None):
    """Cross-entropy of logits that are divided among ranks by words: the same number on every rank.

    logits (..., V / size), this rank's words; targets (...), of the whole vocabulary, -100 ignored; normaliser: default
    the number of targets that count. Three numbers a token are exchanged, forward, and nothing backward.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> logits = np.log([[1.0, 2.0, 3.0, 4.0]])                                  # -log 0.4
    >>> own = lambda ranks: np.split(logits, 2, axis=1)[ranks.rank]
    >>> run_ranks(2, lambda ranks: vocabulary_cross_entropy(own(ranks), np.array([3]), comm=ranks))
    [Tensor(0.9163), Tensor(0.9163)]
    """
    floating("vocabulary_cross_entropy", logits)
    each = logits.shape[-1]
    check_targets(targets, logits.shape[:-1], each * comm.size)
    if normaliser is None:
        normaliser = int((targets != -100).sum())
    if not normaliser > 0:
        raise ValueError("no target counts: all are -100, and a mean over nothing is undefined")
    top = np.max(comm.all_gather(logits.max(-1, keepdims=True)), axis=0)
    e = np.exp(logits - top)
    place = targets - comm.rank * each
    mine = (place >= 0) & (place < each)
    place = np.where(mine, place, 0)[..., None]
    at_target = np.take_along_axis(logits - top, place, -1)[..., 0]
    total, at_target = comm.all_reduce(np.stack([e.sum(-1), np.where(mine, at_target, 0)]))
    loss = np.where(targets == -100, 0, np.log(total) - at_target).sum(dtype=np.float64) / normaliser
    return np.asarray(loss, logits.dtype), (e / total[..., None], place, mine, targets != -100, normaliser)


@vocabulary_cross_entropy.backward
def _(dy, saved, needs):
    probabilities, place, mine, counts, normaliser = saved
    dlogits = probabilities.copy()
    hit = np.take_along_axis(dlogits, place, -1) - mine[..., None]
    np.put_along_axis(dlogits, place, hit, -1)
    return dlogits * (counts[..., None] * (dy / normaliser)).astype(dlogits.dtype), None


@vocabulary_cross_entropy.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), np.array([[0, 4, -100], [2, 2, 1]])), {"comm": Alone()}


@vocabulary_cross_entropy.example
def _(rng):
    return (rng.normal(size=(4, 3)), np.array([0, -100, 1, 1])), {"comm": Alone(), "normaliser": 7}
