"""The ids and texts of the library sentencepiece, frozen by make_sentencepiece_fixtures.py, and what always holds."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.generation import TextStream
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.tokenizers import SentencePieceTokenizer, Tokenizer, streams
from llm_from_scratch.tokenizers.pieces import Kind, Piece, ranked_merges

FIXTURES = Path(__file__).parent / "fixtures" / "sentencepiece"
MODELS = ("llama", "default", "user", "across")


def read(name: str):
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


TEXTS = read("texts.json")
SIGNS = [*"abtTé漢0 \n▁.,'\u0301👍\x00", "  ", "the ", "<s>", "</s>", "<sep>", "ab+", "<0x41>", "aaaa"]
nasty = st.lists(st.sampled_from(SIGNS), max_size=30).map("".join)


@pytest.fixture(scope="module")
def models() -> dict[str, Tokenizer]:
    return {name: Tokenizer.from_pretrained(FIXTURES / f"{name}.model") for name in MODELS}


def assert_frozen(tokenizer: Tokenizer, frozen: dict) -> None:
    for text, ids in zip(TEXTS, frozen["ids"], strict=True):
        assert tokenizer.encode(text) == ids, text
        assert list(tokenizer.encode_iter([text[:3], text[3:]])) == ids, text
    for ids, text in frozen["decoded"]:
        assert tokenizer.decode(ids, skip_special_tokens=True) == text, ids
        decoder = tokenizer.stream_decoder(skip_special_tokens=True)
        assert "".join(decoder.push(number) for number in ids) + decoder.flush() == text, ids


# --- The library's numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_ids_and_texts_are_those_of_sentencepiece(models, name):
    assert isinstance(models[name], SentencePieceTokenizer)
    assert_frozen(models[name], read(f"{name}.json"))


def test_ids_and_texts_of_mistral_on_the_pieces_they_use():
    frozen = read("mistral.json")
    pieces = [Piece("", 0.0, Kind.UNUSED)] * frozen["size"]
    pieces[:3] = [Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("<s>", 0.0, Kind.CONTROL), Piece("</s>", 0.0, Kind.CONTROL)]
    pieces[3:259] = [Piece(f"<0x{byte:02X}>", 0.0, Kind.BYTE) for byte in range(256)]
    for number, text, score in frozen["pieces"]:
        pieces[number] = Piece(text, score)
    assert_frozen(SentencePieceTokenizer(pieces), frozen)


@pytest.mark.skipif(
    importlib.util.find_spec("mistral_common") is None, reason="needs mistral-common for its model file"
)
def test_ids_and_texts_of_the_real_mistral_model():
    spec = importlib.util.find_spec("mistral_common")
    path = Path(spec.submodule_search_locations[0]) / "data" / "tokenizer.model.v1"
    frozen = read("mistral.json")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == frozen["sha256"]
    tokenizer = Tokenizer.from_pretrained(path)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (32000, 1, 2)
    assert tokenizer.encode("Hello", add_special_tokens=True) == [1, 22557]
    assert_frozen(tokenizer, frozen)


@pytest.mark.parametrize("name", read("json.json"))
def test_both_forms_of_tokenizer_json_give_the_ids_of_tokenizers(models, tmp_path, name):
    case = read("json.json")[name]
    models["llama"].save(tmp_path / "made")
    content = json.loads((tmp_path / "made" / "tokenizer.json").read_text(encoding="utf-8"))
    content |= {key: case[key] for key in ("normalizer", "pre_tokenizer")}
    for merges in (content["model"]["merges"], [" ".join(pair) for pair in content["model"]["merges"]]):
        content["model"]["merges"] = merges
        (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        tokenizer = Tokenizer.from_pretrained(tmp_path)
        tokenizer.save(tmp_path / "again")
        for reader in (tokenizer, Tokenizer.from_pretrained(tmp_path / "again")):
            for text, ids in zip(TEXTS, case["ids"], strict=True):
                assert reader.encode(text, allowed_special="all", add_special_tokens=True) == ids, text
    assert not (tmp_path / "again" / "tokenizer.model").exists()  # no scores to write


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer.model"])
def test_what_is_saved_gives_the_same_ids(models, tmp_path, name, file):
    models[name].save_pretrained(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path / file)
    for text, ids in zip(TEXTS, read(f"{name}.json")["ids"], strict=True):
        assert again.encode(text) == ids, text
        assert again.encode(text, add_special_tokens=True)[0] == again.bos_id
    assert again.special_tokens == models[name].special_tokens and again.roles == models[name].roles


def test_the_libraries_read_what_is_saved(models, tmp_path):
    tokenizers, sentencepiece = pytest.importorskip("tokenizers"), pytest.importorskip("sentencepiece")
    for name in MODELS:
        models[name].save(tmp_path / name)
        scores = sentencepiece.SentencePieceProcessor(str(tmp_path / name / "tokenizer.model"))
        pairs = tokenizers.Tokenizer.from_file(str(tmp_path / name / "tokenizer.json"))
        for text, ids in zip(TEXTS, read(f"{name}.json")["ids"], strict=True):
            assert scores.encode(text) == ids, (name, text)
            if not any(special in text for special in models[name].special_tokens):  # it always looks for these
                assert pairs.encode(text, add_special_tokens=False).ids == ids, (name, text)


def test_a_gguf_file_with_scores_gives_the_same_tokenizer(models, tmp_path):
    pieces = models["llama"].pieces
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [piece.text for piece in pieces],
        "tokenizer.ggml.scores": np.array([piece.score for piece in pieces], np.float32),
        "tokenizer.ggml.token_type": np.array([piece.kind for piece in pieces], np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    write_gguf(tmp_path / "words.gguf", metadata, {})
    tokenizer = Tokenizer.from_pretrained(tmp_path / "words.gguf")
    assert_frozen(tokenizer, read("llama.json"))
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    assert tokenizer.encode("a", add_special_tokens=True) == [1, *tokenizer.encode("a")]
    write_gguf(
        tmp_path / "bare.gguf",
        metadata | {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.add_bos_token": False},
        {},
    )
    bare = Tokenizer.from_pretrained(tmp_path / "bare.gguf")
    assert bare.encode("the", add_special_tokens=True) == bare.encode("the") != tokenizer.encode("the")
    assert bare.decode(bare.encode(" the")) == " the"


# --- Training ------------------------------------------------------------------------------------------------


def test_training_finds_the_pieces_of_the_librarys_trainer():
    frozen = read("learnt.json")
    tokenizer = Tokenizer.train(frozen["text"], len(frozen["pieces"]), kind="sentencepiece")
    assert SentencePieceTokenizer.train(frozen["text"], len(frozen["pieces"])).pieces == tokenizer.pieces
    assert [piece.text for piece in tokenizer.pieces] == frozen["pieces"]
    assert [piece.score for piece in tokenizer.pieces[259:]] == [-float(n) for n in range(len(frozen["pieces"]) - 259)]


def test_pieces_keep_to_the_rules():
    text = (
        "in 2023, 2023 and 2023 it's x漢字カナ漢字カナ of " + "long" * 8 + " " + "long" * 8 + "     spaces     spaces\n"
    )
    tokenizer = Tokenizer.train([text * 3, text], 420, kind="sentencepiece", character_coverage=1.0)
    learnt = {piece.text for piece in tokenizer.pieces if piece.kind == Kind.NORMAL and len(piece.text) > 1}
    assert {"▁it", "▁▁▁▁", "longlonglonglong"} < learnt and any("字カ" in piece for piece in learnt)
    for piece in learnt:
        assert len(piece) <= 16 and not any(digit in piece for digit in "0123") and "'" not in piece, piece
        assert piece.strip("▁") == "" or "▁" not in piece[1:], piece
        assert not ("x" in piece and "漢" in piece)
    together = Tokenizer.train(text * 3, 420, kind="sentencepiece", split_digits=False)
    assert together.token_to_id("2023") is not None or together.token_to_id("▁2023") is not None


def test_coverage_leaves_rare_characters_to_the_bytes():
    text = "the cat sat " * 500 + "Ω"
    tokenizer = Tokenizer.train(text, 280, kind="sentencepiece")
    assert tokenizer.token_to_id("Ω") is None and tokenizer.decode(tokenizer.encode("Ω Ω")) == "Ω Ω"
    assert [tokenizer.id_to_token(number) for number in tokenizer.encode("Ω")] == ["▁", "<0xCE>", "<0xA9>"]
    assert Tokenizer.train(text, 280, kind="sentencepiece", character_coverage=1.0).token_to_id("Ω") is not None


def test_a_trained_one_stands_in_for_the_byte_level_kind(tmp_path):
    tales = "Once upon a time there was a fox.<|end|>The fox had a lantern.\nIt was old.<|end|>" * 30
    tokenizer = Tokenizer.train(
        tales, 340, kind="sentencepiece", special_tokens=["<|end|>"], roles={"bos": "<|end|>", "eos": "<|end|>"}
    )
    assert list(tokenizer.special_tokens) == ["<unk>", "<s>", "</s>", "<|end|>"] and tokenizer.eos_id == 3
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    for each in (tokenizer, again):
        ids = each.encode(tales, allowed_special="all")
        assert each.decode(ids) == tales and ids.count(3) == 60
        assert each.eos_id == each.bos_id == 3
        assert each.byte_lengths()[ids].sum() == len(tales.replace("<|end|>", "").encode()) + 61 - 1  # spaces in front
    assert again.encode("The fox", add_special_tokens=True) == [3, *tokenizer.encode("The fox")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 270}, r"vocab_size must be at least 27\d \(3 special pieces, 256 bytes and 1\d characters\)"),
        ({"character_coverage": 0.0}, "character_coverage is a share above 0"),
        ({"pattern": "cl100k"}, "pattern and ties are settings of byte-level BPE"),
        ({"kind": "wordpiece"}, "kind must be one of"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.train("the quick brown fox", **{"vocab_size": 300, "kind": "sentencepiece", **settings})
    with pytest.raises(ValueError, match="training text is empty"):
        Tokenizer.train("", 300, kind="sentencepiece")


# --- What always holds ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(text=nasty)
def test_decoding_undoes_encoding(models, text):
    for name in ("llama", "across"):
        tokenizer = models[name]
        for allowed in ((), "all"):
            expected = text.replace("▁", " ") if allowed == () or "<unk>" not in text else None
            assert tokenizer.decode(tokenizer.encode(text, allowed_special=allowed)) == expected
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.replace("▁", " ").encode("utf-8")


@settings(deadline=None, max_examples=150)
@given(text=nasty, cuts=st.lists(st.integers(0, 60), max_size=6), small=st.integers(1, 9))
def test_a_stream_encodes_to_the_ids_of_the_whole(models, text, cuts, small):
    text = text + " word  and " + text
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[a:b] for a, b in zip(places, places[1:], strict=False)]
    before = streams.SMALL, streams.LARGE
    for tokenizer in models.values():
        for allowed in ("all", ()):
            try:
                streams.SMALL, streams.LARGE = small, 3 * small
                streamed = list(tokenizer.encode_iter(chunks, allowed_special=allowed))
            finally:
                streams.SMALL, streams.LARGE = before
            assert streamed == tokenizer.encode(text, allowed_special=allowed)


@settings(deadline=None, max_examples=100)
@given(word=st.lists(st.sampled_from("aabt"), min_size=1, max_size=90).map("".join))
def test_the_highest_score_goes_first_and_the_leftmost_of_equals(word):
    scores = {"a": -9.0, "b": -9.0, "aa": -2.0, "ab": -1.0, "aaa": -2.0, "aab": -3.0, "ba": -2.0, "tb": -1.0}
    pieces = [Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("▁"), *(Piece(text, score) for text, score in scores.items())]
    tokenizer = SentencePieceTokenizer(pieces, prefix="never", byte_fallback=False, fuse_unknown=False)
    parts = list(word)
    while True:  # by the sentence that defines it
        joined = [(scores.get(a + b, -99.0), -i) for i, (a, b) in enumerate(zip(parts, parts[1:], strict=False))]
        if not joined or max(joined)[0] == -99.0:
            break
        at = -max(joined)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    assert [tokenizer.id_to_token(number) for number in tokenizer.encode(word)] == [
        part if part in scores else "<unk>" for part in parts
    ]


def test_pieces_reach_over_characters_that_are_none():
    merges, ranks, extra = ranked_merges({"qu": 0, "que": 1, "e": 2}, {"qu": -1.0, "que": -2.0, "e": -3.0})
    assert extra == ["q", "u"] and merges.tolist() == [[3, 4, 0], [0, 2, 1]] and ranks.tolist() == [0, 1]


def test_half_a_character_waits_and_a_broken_one_is_marked_byte_by_byte(models):
    tokenizer = models["llama"]
    ids = tokenizer.encode("a 🦜!")
    decoder = tokenizer.stream_decoder()
    assert [decoder.push(number) for number in ids] == ["", "a", " ", "", "", "", "🦜", "!"]
    broken = [3 + byte for byte in b"\xe2\x82a\xff"]
    assert tokenizer.decode(broken) == "\ufffd\ufffda\ufffd"
    assert tokenizer.decode(broken, errors="ignore") == "a"
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode(broken, errors="strict")


def test_a_continuation_keeps_its_space(models):
    tokenizer = models["llama"]
    prompt, more = tokenizer.encode("the"), tokenizer.encode("the the")[1:]
    assert tokenizer.decode(more) == "the"  # a text of its own
    decoder = tokenizer.stream_decoder(after=prompt)
    assert "".join(decoder.push(number) for number in more) == " the"
    stream = TextStream(tokenizer, prompt=[tokenizer.bos_id, *prompt])
    assert "".join(stream.push(number) for number in more) == " the"
    decoder = tokenizer.stream_decoder(after=[tokenizer.bos_id])
    assert "".join(decoder.push(number) for number in more) == "the"


def test_long_texts_take_n_log_n(models):
    tokenizer = models["across"]  # one word, whatever its length
    size = 200_000 if backend() == "numba" else 2_000  # the twin does it the simple way
    text = "".join(np.random.default_rng(3).choice(list("the catson"), size))
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and len(ids) < 0.95 * size


def test_names_bytes_and_numbers_of_pieces(models):
    tokenizer = models["llama"]
    the = tokenizer.token_to_id("▁the")
    assert tokenizer.id_to_token(the) == "▁the" and tokenizer.id_to_bytes(the) == b" the"
    assert tokenizer.token_to_id(b" the") == the and tokenizer.token_to_id("the ") is None
    assert tokenizer.token_to_id("<0x0A>") == 13 and tokenizer.id_to_token(13) == "<0x0A>"
    assert tokenizer.id_to_bytes(13) == b"\n"
    assert tokenizer.token_to_id("</s>") == 2 == tokenizer.eos_id and tokenizer.id_to_token(2) == "</s>"
    with pytest.raises(ValueError, match="this vocabulary has ids 0 to 639"):
        tokenizer.decode([640])
    with pytest.raises(ValueError, match="lone surrogate"):
        tokenizer.encode("\ud800")
