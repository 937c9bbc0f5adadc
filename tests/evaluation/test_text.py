"""Bits per byte and perplexities per token, byte and word, with and without a begin token, for any tokenizer."""

import math

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import bits_per_byte, perplexity

TEXT = "the red fox saw the red kite in the forest. né 漢字, and the fox was glad 😀. " * 12
BEGINNING = lfs.Tokenizer.train(TEXT, 300, special_tokens=["<s>"])
BARE = lfs.Tokenizer.train(TEXT, 300)
SENTENCEPIECE = lfs.Tokenizer.train([TEXT], 300, kind="sentencepiece")
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
MODEL = lfs.build("llama", **SIZES, vocab_size=300, max_position_embeddings=64, seed=0, dtype=np.float64)
for parameter in MODEL.parameters():
    parameter.data *= 5


@pytest.mark.parametrize("tokenizer", [BEGINNING, SENTENCEPIECE])
@pytest.mark.parametrize("context, stride", [(64, None), (16, 4)])
def test_with_a_begin_token_every_byte_counts(tokenizer, context, stride):
    result = bits_per_byte(MODEL, tokenizer, TEXT, context=context, stride=stride)
    ids = [tokenizer.bos_id, *tokenizer.encode(TEXT)]
    nats = -perplexity(MODEL, ids, context=context, stride=stride).log_probabilities.sum()
    size, words = len(TEXT.encode()), len(TEXT.split())
    assert result.value == pytest.approx(nats / math.log(2) / size, rel=1e-12) and float(result) == result.value
    assert (result.bytes, result.words, result.tokens) == (size, words, len(ids) - 1)
    assert result.token_perplexity == pytest.approx(np.exp(nats / (len(ids) - 1)))
    assert result.byte_perplexity == pytest.approx(2**result.value)
    assert result.word_perplexity == pytest.approx(np.exp(nats / words))
    assert result.interval[0] < result.value < result.interval[1]


def test_without_one_the_first_token_and_its_bytes_do_not_count():
    result = bits_per_byte(MODEL, BARE, TEXT, context=64)
    ids = BARE.encode(TEXT)
    nats = -perplexity(MODEL, ids, context=64).log_probabilities.sum()
    first = len(BARE.id_to_bytes(ids[0]))
    assert result.bytes == len(TEXT.encode()) - first and result.tokens == len(ids) - 1
    assert result.value == pytest.approx(nats / math.log(2) / (len(TEXT.encode()) - first), rel=1e-12)
    given = bits_per_byte(MODEL, BARE, TEXT, context=64, begin=[299])
    assert given.bytes == len(TEXT.encode()) and given.tokens == len(ids)


def test_a_uniform_model_needs_the_logarithm_of_its_vocabulary_a_token():
    model = lfs.build("llama", **SIZES, vocab_size=256, max_position_embeddings=64)
    for parameter in model.parameters():
        parameter.data[...] = 0
    bytewise = lfs.Tokenizer.train("a", 256)
    result = bits_per_byte(model, bytewise, TEXT, context=32)
    assert result.value == pytest.approx(8, rel=1e-6) and result.interval == pytest.approx((8, 8), rel=1e-3)
    assert result.token_perplexity == pytest.approx(256, rel=1e-5)


def test_documents_begin_anew_and_blocks_are_the_same_for_any_tokenizer():
    texts = [TEXT, "the fox", TEXT[40:]]
    together = bits_per_byte(MODEL, BEGINNING, texts, context=64)
    alone = [bits_per_byte(MODEL, BEGINNING, text, context=64) for text in texts]
    assert together.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-12)
    assert together.bytes == sum(len(text.encode()) for text in texts) == together.block_bytes.sum()
    other = bits_per_byte(MODEL, SENTENCEPIECE, texts, context=64)
    assert other.block_bytes.tolist() == together.block_bytes.tolist() and other.tokens != together.tokens
    assert together.block_bits.sum() == pytest.approx(together.nats / math.log(2))
    assert together.count == len(together.block_bits) > len(texts)


def test_the_surprise_of_a_block_is_that_of_the_tokens_that_end_in_it():
    result = bits_per_byte(MODEL, BEGINNING, TEXT, context=64)
    ids = [0, *BEGINNING.encode(TEXT)]
    surprise = -perplexity(MODEL, ids, context=64).log_probabilities / math.log(2)
    ends = np.cumsum([len(BEGINNING.id_to_bytes(i)) for i in ids[1:]])
    edge = result.block_bytes[0]
    # a character may be several tokens, which all count to where the character ends
    assert result.block_bits[0] == pytest.approx(surprise[ends <= edge].sum(), rel=1e-9)


@pytest.mark.parametrize(
    "text, settings, error, message",
    [
        ("", {"context": 8}, ValueError, "document 0 has 0 tokens"),
        (["the fox", ""], {"context": 8}, ValueError, "document 1 has 0 tokens"),
        ([], {"context": 8}, TypeError, "a text or several"),
        ([3], {"context": 8}, TypeError, "a text or several"),
        ("the fox", {"context": 65}, ValueError, "windows of 65 tokens exceed the 64 that this model was made for"),
        ("the fox", {"context": 8, "stride": 9}, ValueError, "would leave tokens out"),
    ],
)
def test_what_cannot_be_scored_is_refused(text, settings, error, message):
    with pytest.raises(error, match=message):
        bits_per_byte(MODEL, BEGINNING, text, **settings)


def test_a_single_token_needs_a_begin_token():
    with pytest.raises(ValueError, match="document 0 has 1 tokens: there is none to score"):
        bits_per_byte(MODEL, BARE, "the"[:1], context=8)
    assert bits_per_byte(MODEL, BEGINNING, "t", context=8).tokens == 1


def test_windows_beyond_what_the_model_was_made_for_are_had_by_asking():
    ids = np.arange(100) % 250
    with pytest.raises(ValueError, match=r"pass beyond=True"):
        perplexity(MODEL, ids, context=80)
    assert perplexity(MODEL, ids, context=80, beyond=True).count == 99


def test_glm_is_refused():
    class Filling:
        config = {"model_type": "glm"}

    with pytest.raises(ValueError, match="GLM fills blanks"):
        bits_per_byte(Filling(), BEGINNING, "the fox", context=8)
