"""Properties that hold for any text: decode undoes encode, streams equal wholes, kernels equal the naive algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.kernels import splitting
from llm_from_scratch.kernels.splitting import SCHEMES, character_classes
from llm_from_scratch.tokenizers import NAMES, PreTokenizer, Tokenizer, naive, streams
from llm_from_scratch.tokenizers.training import count_words

SIGNS = [
    *"abcstlrevmdABSTé ñß漢字한अ한ٱ0123٣½Ⅻ²",
    *" \t\n\r\x0b\x85\u00a0\u2003\u3000\u2028 \n\r",
    *"''.,!?()[]|-_#$%&*+/<=>@\\^`{}~…。，、।۔،’“—",
    *"\u0301\u0323\u200d\u200b\u200f\ufeff👍🏽🏳\ufe0f\U0010ffff\x00\x1c\x1fſʼnǅ",
    "'s", "'S", "'ll", "'LL", "'Re", "'ſ", "'VE", "  ", "    ", "\r\n", "aaaa", "abab", "<|end|>", "<|end", "|>",
]  # fmt: skip
nasty = st.one_of(
    st.lists(st.sampled_from(SIGNS), max_size=40).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
TRAINING = "the cat sat on the mat, it's 2023 and they'll see 漢字 café\n" * 3 + "".join(SIGNS) * 2 + "aaaaaaa " * 3
CUSTOM = r"\w+(?=\s|$)|[^\w]"


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {
        pattern: Tokenizer.train(TRAINING, 420, pattern=pattern, special_tokens=["<|end|>", "<|end|><|end|>"])
        for pattern in [*NAMES, CUSTOM]
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "text",
    ["it'ſelf 'ſa", "'Sam 'RE're", "a'", "'r", "  5", " \n 5  x", "\n \n\n x", "!\r\n\n ", " \u3000\u0301e", "123456"],
)
def test_the_splitter_on_what_is_easily_missed(scheme, text):
    assert PreTokenizer(scheme).words(text) == splitting.scheme_pattern(scheme).findall(text)


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(deadline=None, max_examples=150)
@given(text=nasty)
def test_the_splitter_cuts_as_the_regular_expression_does(scheme, text):
    words = PreTokenizer(scheme).words(text)
    assert words == [word for word in splitting.scheme_pattern(scheme).findall(text) if word]
    assert "".join(words) == text


def test_character_classes_are_those_of_regex():
    classes = character_classes()
    for character, expected in zip(
        "aé漢ſʰ٣½Ⅻ² \u00a0\u3000\n\x1c\u200b_'\u0301👍", [1] * 5 + [2] * 4 + [3] * 4 + [0] * 6
    ):
        assert classes[ord(character)] == expected, repr(character)
    assert classes[0xD800:0xE000].max() == 0


@settings(deadline=None, max_examples=80)
@given(text=nasty)
def test_decoding_undoes_encoding(tokenizers, text):
    for tokenizer in tokenizers.values():
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode("utf-8")
        assert not set(ids) & set(tokenizer.special_tokens.values())
        assert tokenizer.decode(tokenizer.encode(text, allowed_special="all")) == text


@settings(deadline=None, max_examples=120)
@given(text=nasty, more=nasty, cuts=st.lists(st.integers(0, 100), max_size=8), small=st.integers(1, 12), data=st.data())
def test_a_stream_encodes_to_the_ids_of_the_whole(tokenizers, text, more, cuts, small, data):
    text = text + " word " + more + text
    name = data.draw(st.sampled_from(list(tokenizers)))
    allowed = data.draw(st.sampled_from(["all", (), ("<|end|>",)]))
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[a:b] for a, b in zip(places, places[1:], strict=False)]
    before = streams.SMALL, streams.LARGE
    try:
        streams.SMALL, streams.LARGE = small, 3 * small
        streamed = list(tokenizers[name].encode_iter(chunks, allowed_special=allowed))
    finally:
        streams.SMALL, streams.LARGE = before
    assert streamed == tokenizers[name].encode(text, allowed_special=allowed)


@pytest.mark.parametrize("size", range(1, 12))
def test_special_tokens_across_chunks_are_found(tokenizers, size, monkeypatch):
    monkeypatch.setattr(streams, "SMALL", 1)
    text = "one<|end|> two <|end|><|end|>three<|end <|end|<|end|>|> four's<|end|><|end|><|end|>"
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    for tokenizer in tokenizers.values():
        streamed = list(tokenizer.encode_iter(chunks, allowed_special="all"))
        assert streamed == tokenizer.encode(text, allowed_special="all")


@pytest.mark.parametrize("pattern", NAMES)
def test_a_stream_is_not_held_back(tokenizers, pattern, monkeypatch):
    monkeypatch.setattr(streams, "SMALL", 64)
    read = 0

    def source():
        nonlocal read
        for _ in range(500):
            read += 1
            yield "some words, and 12 more. "

    done = 0
    for ids in tokenizers[pattern].encode_chunks(source(), allowed_special="all"):
        done += len(tokenizers[pattern].decode(ids))
        assert 25 * read - done < 200
    assert read == 500 and done == 500 * 25


def test_a_run_without_a_place_to_cut_costs_linear_time(monkeypatch):
    monkeypatch.setattr(streams, "SMALL", 16)
    looked = 0
    original = PreTokenizer.last_cut

    def counting(self, text, low, high, **settings):
        nonlocal looked
        looked += high - low
        return original(self, text, low, high, **settings)

    monkeypatch.setattr(PreTokenizer, "last_cut", counting)
    tokenizer = Tokenizer.train("a", 256)
    assert len(list(tokenizer.encode_iter("a" * 16 for _ in range(2000)))) == 32000
    assert looked <= 32000


@settings(deadline=None, max_examples=60)
@given(text=st.one_of(nasty, st.lists(st.sampled_from("ab"), min_size=40, max_size=200).map("".join)))
def test_encoding_equals_the_naive_algorithm(tokenizers, text):
    tokenizer = tokenizers["gpt2"]
    ranks = {
        (tokenizer.id_to_bytes(left), tokenizer.id_to_bytes(right)): rank
        for rank, (left, right, _) in enumerate(tokenizer.merges.tolist())
    }
    expected = [token for word in tokenizer.pre_tokenizer.words(text) for token in naive.encode(word.encode(), ranks)]
    assert [tokenizer.id_to_bytes(number) for number in tokenizer.encode(text)] == expected


@settings(deadline=None, max_examples=200)
@given(
    words=st.dictionaries(
        st.lists(st.sampled_from(["a", "aaa", "aaaaaaa", "b", "ab", "bbb"]), min_size=1, max_size=6).map("".join),
        st.integers(1, 4),
        min_size=1,
        max_size=12,
    ),
    new_tokens=st.integers(0, 60),
)
def test_lexicographic_training_equals_the_naive_algorithm(words, new_tokens):
    documents = [word for word, count in words.items() for _ in range(count)]
    tokenizer = Tokenizer.train(documents, 256 + new_tokens, ties="lexicographic")
    merges = [tuple(map(tokenizer.id_to_bytes, row[:2])) for row in tokenizer.merges.tolist()]
    assert merges == naive.learn({word.encode(): count for word, count in words.items()}, new_tokens)
    assert len({left + right for left, right in merges}) == len(merges)  # no token is made in two ways


@settings(deadline=None, max_examples=60)
@given(
    ids=st.lists(st.integers(0, 419), max_size=30),
    sizes=st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
def test_streamed_decoding_equals_decoding_the_whole(tokenizers, ids, sizes):
    tokenizer = tokenizers["cl100k"]
    ids = [number % tokenizer.vocab_size for number in ids]
    decoder = tokenizer.stream_decoder()
    text, at = "", 0
    for size in sizes:
        piece = decoder.push(ids[at : at + size])
        at += size
        text += piece
    assert text + decoder.flush() == tokenizer.decode(ids)


def test_long_words_are_merged_as_short_ones_are(tokenizers):
    tokenizer = tokenizers["gpt2"]
    word = "".join(np.random.default_rng(5).choice(list("abaabtheca"), 3000))
    ids = tokenizer.encode(word)
    ranks = {(left, right): (rank, result) for rank, (left, right, result) in enumerate(tokenizer.merges.tolist())}
    symbols = [tokenizer.token_to_id(bytes([byte])) for byte in word.encode()]
    for (left, right), (_, result) in sorted(ranks.items(), key=lambda item: item[1]):  # rank after rank
        merged, i = [], 0
        while i < len(symbols):
            joined = symbols[i : i + 2] == [left, right]
            merged.append(result if joined else symbols[i])
            i += 2 if joined else 1
        symbols = merged
    assert ids == symbols


def test_words_are_counted_the_same_in_slices_and_documents(monkeypatch):
    text = TRAINING * 20
    whole = count_words(text, PreTokenizer("gpt2"))
    monkeypatch.setattr(streams, "SMALL", 50)
    monkeypatch.setattr(streams, "LARGE", 70)
    assert count_words(iter([text]), PreTokenizer("gpt2")) == whole
