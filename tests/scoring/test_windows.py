"""Perplexity: every token once, with the context that is promised, against sums made by hand."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.scoring import perplexity
from llm_from_scratch.scoring.windows import _windows

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40,
         "max_position_embeddings": 64}  # fmt: skip
MODEL = lfs.build("llama", **SIZES, seed=0)
for parameter in MODEL.parameters():
    parameter.data *= 8  # a model with opinions
IDS = np.random.default_rng(0).integers(0, 40, 50)


def by_hand(ids, context, stride):
    """For each token the first window that reaches it, found by trying all."""
    scores = []
    for token in range(1, len(ids)):
        start = next(s for s in range(0, len(ids), stride) if s + context >= token)
        logits = MODEL(ids[None, start:token]).data[0, -1].astype(float)
        scores.append(logits[ids[token]] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
    return np.array(scores)


@pytest.mark.parametrize("context, stride", [(8, 8), (8, 3), (8, 1), (49, 49), (50, 7), (64, 64), (1, 1), (7, 5)])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_token_after_the_first_once_by_the_first_window_that_reaches_it(context, stride, batch_size):
    result = perplexity(MODEL, IDS, context=context, stride=stride, batch_size=batch_size)
    wanted = by_hand(IDS, context, stride)
    np.testing.assert_allclose(result.log_probabilities, wanted, atol=2e-5)
    assert result.value == pytest.approx(np.exp(-wanted.mean()), rel=1e-5) and float(result) == result.value
    assert result.nats == pytest.approx(-wanted.mean(), rel=1e-5) and result.count == 49


def test_windows_are_no_more_than_needed():
    assert list(_windows(10, 4, 4)) == [(0, 4, 1), (4, 8, 5), (8, 9, 9)]
    assert list(_windows(10, 4, 2)) == [(0, 4, 1), (2, 6, 5), (4, 8, 7), (6, 9, 9)]
    assert list(_windows(2, 4, 4)) == [(0, 1, 1)]
    assert list(_windows(5, 4, 1)) == [(0, 4, 1)]


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity():
    model = lfs.build("llama", **SIZES, seed=0)
    for parameter in model.parameters():
        parameter.data[...] = 0
    result = perplexity(model, np.arange(40).repeat(9) % 40, context=16)
    assert result.value == pytest.approx(40, rel=1e-5) and result.interval == pytest.approx((40, 40), rel=1e-5)
    assert perplexity(model, [1, 2], context=4).interval == (0.0, np.inf)  # one block of tokens says nothing of others


def test_more_context_is_seen_and_the_interval_is_of_blocks():
    ids = np.random.default_rng(1).integers(0, 40, 700)
    result = perplexity(MODEL, ids, context=32)
    blocks = [result.log_probabilities[i : i + 64].mean() for i in range(0, 640, 64)]
    spread = np.std(blocks) / np.sqrt(10)
    half = (np.log(result.interval[1]) - np.log(result.interval[0])) / 2
    assert result.interval[0] < result.value < result.interval[1] and 0.5 < half / (1.96 * spread) < 1.5


@pytest.mark.parametrize(
    "ids, settings, error, message",
    [
        ([1], {"context": 4}, ValueError, "at least 2 tokens"),
        ([[1, 2], [3, 4]], {"context": 4}, ValueError, "at least 2 tokens"),
        ([1, 2], {"context": 4, "stride": 5}, ValueError, "beyond the context of 4 would leave tokens out"),
        ([1, 2], {"context": 0}, ValueError, "context must be a positive integer"),
        ([1, 2], {"context": 4, "stride": 0}, ValueError, "stride must be a positive integer"),
        ([1, 40], {"context": 4}, ValueError, "token id 40"),
        ([1.0, 2.0], {"context": 4}, TypeError, "integers"),
    ],
)
def test_what_cannot_be_scored_is_refused(ids, settings, error, message):
    with pytest.raises(error, match=message):
        perplexity(MODEL, ids, **settings)


def test_windows_longer_than_learned_positions_are_refused():
    model = lfs.build("gpt2", n_layer=1, n_head=2, n_embd=8, vocab_size=40, n_positions=16)
    with pytest.raises(ValueError, match="windows of 17 tokens exceed the 16 positions"):
        perplexity(model, IDS, context=17)
    assert np.isfinite(perplexity(model, IDS, context=16, stride=4).value)


def test_several_texts_are_each_scored_from_their_beginning() -> None:
    model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=16, n_positions=16, seed=1)
    texts = [np.arange(7), np.arange(3, 14), np.array([1, 2])]
    alone = [perplexity(model, text, context=4, stride=2).log_probabilities for text in texts]
    together = perplexity(model, texts, context=4, stride=2)
    assert together.log_probabilities.tolist() == np.concatenate(alone).tolist() and together.count == 6 + 10 + 1
    with pytest.raises(ValueError, match="at least 2 tokens"):
        perplexity(model, [np.arange(5), np.array([3])], context=4)
