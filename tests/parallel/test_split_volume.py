"""What was predicted from shapes is what a communicator counts, to the byte."""

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import AttentionSpec, Context, Embedding, FeedForwardSpec, LayerSpec, Linear, NormSpec
from llm_from_scratch.parallel import VocabularyEmbedding, VocabularyHead, ring_attention, run_ranks, split_layers
from llm_from_scratch.parallel import split_volume as P
from llm_from_scratch.parallel.collectives import gather_shards

B, T, D = 2, 12, 24
NBYTES = B * T * D * 8
SPEC = LayerSpec.sequential(
    AttentionSpec(D, 12, 12, 2), FeedForwardSpec(D, 12, "silu", gated=True, bias=False), NormSpec(D, "rms")
)


@pytest.mark.parametrize("by_sequence", (False, True))
@pytest.mark.parametrize("size", (1, 2, 3, 4))
def test_a_layer(size, by_sequence):
    def work(ranks):
        layer = SPEC.build(np.random.default_rng(0)).astype(np.float64)
        split_layers(layer, ranks, by_sequence=by_sequence)
        x = Tensor(np.ones((B, T // size if by_sequence else T, D)), requires_grad=True)
        layer(x, None, Context(np.arange(T)[None])).sum().backward()
        return ranks.bytes_sent

    expected = P.tensor_parallel_layer(NBYTES, size)
    if by_sequence:  # the gradients of two norms, and the shapes that every all-gather says first
        expected += P.sequence_parallel_shared(2 * D * 8, size)
        gathers = 4
        expected += gathers * (size - 1) * 3 * 8
    assert run_ranks(size, work) == [expected] * size


@pytest.mark.parametrize("size", (1, 2, 4))
def test_the_vocabulary(size):
    def work(ranks):
        rng = np.random.default_rng(0)
        embedding = VocabularyEmbedding(Embedding(8, D, rng=rng).astype(np.float64), ranks)
        head = VocabularyHead(Linear(D, 8, rng=rng).astype(np.float64), ranks)
        ids = np.zeros((B, T), int)
        head.cross_entropy(embedding(ids), ids).backward()
        return ranks.bytes_sent

    shapes = (size - 1) * 3 * 8  # an all-gather says its shapes first
    assert run_ranks(size, work) == [P.vocabulary_parallel(NBYTES, B * T, 8, size) + shapes] * size


@pytest.mark.parametrize("size", (1, 2, 3))
def test_ring_attention(size):
    def work(ranks):
        q, k, v = (Tensor(np.ones((B, heads, 4, 6)), requires_grad=True) for heads in (4, 2, 2))
        ring_attention(q, k, v, comm=ranks).sum().backward()
        return ranks.bytes_sent

    assert run_ranks(size, work) == [P.ring_attention_layer(B * 2 * 4 * 6 * 8, size)] * size


def test_weights_that_are_gathered():
    """ZeRO 3 in one line: what every rank needs is gathered, and the gradient comes back as this rank's piece."""

    def work(ranks):
        own = Tensor(np.ones((6, 5)), requires_grad=True)
        for _ in range(2):  # once more for the backward, where what was gathered had been thrown away
            whole = gather_shards(own, comm=ranks, axis=0)
        whole.sum().backward()
        return ranks.bytes_sent, own.grad

    size = 3
    for sent, grad in run_ranks(size, work):
        assert sent == P.fully_sharded(size * 6 * 5 * 8, size) + 2 * (size - 1) * 2 * 8
        assert (grad == size).all()
    assert P.fully_sharded(1.0, 4) == 1.5 * P.data_parallel(1.0, 4)
