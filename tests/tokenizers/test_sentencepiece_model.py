"""Damaged and unsupported SentencePiece files: each a ValueError that names the file and the fault."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.tokenizers import SentencePieceTokenizer, Tokenizer
from llm_from_scratch.tokenizers.formats.sentencepiece_model import _model_class
from llm_from_scratch.tokenizers.gguf import tokenizer_from_gguf_metadata
from llm_from_scratch.tokenizers.pieces import Kind, Piece

FIXTURES = Path(__file__).parent / "fixtures" / "sentencepiece"
RAW = (FIXTURES / "llama.model").read_bytes()


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.from_pretrained(path)
    assert str(path) in str(caught.value)


# --- tokenizer.model -----------------------------------------------------------------------------------------


def piece(number, **values):
    def change(model):
        for name, value in values.items():
            setattr(model.pieces[number], name, value)

    return change


def setting(part, **values):
    def change(model):
        for name, value in values.items():
            setattr(getattr(model, part), name, value)

    return change


DAMAGE = {
    "no pieces": (lambda m: m.ClearField("pieces"), "holds no pieces"),
    "no trainer": (lambda m: m.ClearField("trainer_spec"), "holds no trainer_spec"),
    "no normalizer": (lambda m: m.ClearField("normalizer_spec"), "holds no normalizer_spec"),
    "unigram": (setting("trainer_spec", model_type=1), "type 'unigram': only 'bpe' is supported"),
    "unheard of": (setting("trainer_spec", model_type=9), "type 9: only 'bpe'"),
    "suffix": (setting("trainer_spec", treat_whitespace_as_suffix=True), "treat_whitespace_as_suffix"),
    "no escape": (setting("normalizer_spec", escape_whitespaces=False), "escape_whitespaces"),
    "normalisation": (
        setting("normalizer_spec", name="nmt_nfkc", precompiled_charsmap=b"\1\2"), "'nmt_nfkc': only 'identity' is",
    ),
    "denormaliser": (setting("denormalizer_spec", precompiled_charsmap=b"\1"), "a denormaliser"),
    "piece twice": (piece(300, piece="▁th"), "piece 300, '▁th', stands twice"),
    "empty piece": (piece(300, piece=""), "piece 300, '', is empty"),
    "no unknown": (piece(0, type=3), "no piece is marked as the unknown one"),
    "two unknowns": (piece(1, type=2), "pieces 0 and 1 are both marked as unknown"),
    "unused": (piece(300, type=5), "piece 300, .* unused"),
    "unknown type": (piece(300, type=77), "piece 300, .* unknown type 77"),
    "score": (piece(300, score=float("nan")), "piece 300, .* no number"),
    "byte misnamed": (piece(10, piece="<0xZZ>"), "piece 10, '<0xZZ>', is marked as a byte"),
    "byte missing": (piece(10, type=1), "a piece for each of the 256 bytes: <0x07> is missing"),
    "bytes unannounced": (setting("trainer_spec", byte_fallback=False), "is False, but there are byte pieces"),
    "role out of range": (setting("trainer_spec", bos_id=640), "bos_id is 640, but there are 640 pieces"),
    "user-defined space": (piece(300, type=4, piece="▁▁x"), "user-defined piece '▁▁x' holds a space"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_refused(tmp_path, name):
    change, message = DAMAGE[name]
    model = _model_class()()
    model.ParseFromString(RAW)
    change(model)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    assert_refused(path, message)


@pytest.mark.parametrize("size", [0, 1, 7, 500, len(RAW) // 2, len(RAW) - 1000, len(RAW) - 3])
def test_a_model_that_is_cut_short_is_refused(tmp_path, size):
    (tmp_path / "tokenizer.model").write_bytes(RAW[:size])
    assert_refused(tmp_path / "tokenizer.model", "damaged")


def test_a_piece_that_is_not_utf8_is_named(tmp_path):
    spelt = "▁the".encode()
    at = RAW.index(b"\n\x06" + spelt)
    (tmp_path / "tokenizer.model").write_bytes(RAW[:at] + RAW[at:].replace(spelt, b"\xff" * len(spelt), 1))
    assert_refused(tmp_path / "tokenizer.model", "piece 261 is not UTF-8: b'")


@pytest.mark.parametrize("raw", [b"hello, world", b"\xff" * 100, json.dumps({"a": 1}).encode(), bytes(1000)])
def test_what_is_no_model_is_refused(tmp_path, raw):
    (tmp_path / "tokenizer.model").write_bytes(raw)
    assert_refused(tmp_path / "tokenizer.model", "damaged")


# --- tokenizer.json ------------------------------------------------------------------------------------------


@pytest.fixture
def content(tmp_path):
    Tokenizer.from_pretrained(FIXTURES / "llama.model").save(tmp_path)
    return json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))


def model_with(name, value):
    return lambda c: c["model"].__setitem__(name, value(c["model"][name]) if callable(value) else value)


def without(token):
    return lambda c: c["model"]["vocab"].pop(token)


META = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
JSON_DAMAGE = {
    "byte missing": (without("<0x0A>"), "<0x0A> is missing"),
    "merge of a missing token": (without("▁th"), "not in the vocabulary"),
    "merge twice": (model_with("merges", lambda merges: [*merges, merges[0]]), "stands twice"),
    "merge with nothing": (model_with("merges", lambda merges: [*merges, ["", "▁th"]]), "expected two tokens"),
    "id twice": (model_with("vocab", lambda vocab: {**vocab, "▁th": 9}), "have the same id 9"),
    "id out of range": (model_with("vocab", lambda vocab: {**vocab, "▁th": 10**9}), "impossible id"),
    "unknown unknown": (model_with("unk_token", "<none>"), "unk_token '<none>' is not in the vocabulary"),
    "dropout": (model_with("dropout", 0.1), "dropout=0.1"),
    "flag": (model_with("ignore_merges", "yes"), "ignore_merges must be true or false, got 'yes'"),
    "Nmt": (lambda c: c["normalizer"]["normalizers"].insert(0, {"type": "Nmt"}), "normalizer 'Nmt' is not supported"),
    "charsmap": (lambda c: c.update(normalizer={"type": "Precompiled", "precompiled_charsmap": ""}), "damaged"),
    "other replacement": (
        lambda c: c["normalizer"]["normalizers"].append({"type": "Replace", "pattern": {"String": "a"}}),
        "Replace: content must be a string",
    ),
    "odd scheme": (lambda c: c.update(normalizer=None, pre_tokenizer={**META, "prepend_scheme": "last"}), "'last'"),
    "decoder": (lambda c: c.update(decoder={"type": "WordPiece"}), "decoder 'WordPiece'"),
    "template": (
        lambda c: c["post_processor"]["single"].insert(0, {"SpecialToken": {"id": "<x>"}}), "names '<x>'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON_DAMAGE)
def test_a_damaged_tokenizer_json_is_refused(tmp_path, content, name):
    change, message = JSON_DAMAGE[name]
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert_refused(tmp_path / "tokenizer.json", message)


# --- GGUF, and pieces given by hand --------------------------------------------------------------------------


def metadata() -> dict:
    pieces = Tokenizer.from_pretrained(FIXTURES / "llama.model").pieces
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [each.text for each in pieces],
        "tokenizer.ggml.scores": np.array([each.score for each in pieces], np.float32),
        "tokenizer.ggml.token_type": np.array([each.kind for each in pieces], np.int32),
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scores", None, "does not give a score to each of 640 tokens"),
        ("scores", np.zeros(3, np.float32), "does not give a score to each"),
        ("scores", np.full(640, np.inf, np.float32), "does not give a score to each"),
        ("token_type", np.full(640, 9), "token_type 9 of token '<unk>' is unknown"),
        ("token_type", np.ones(7), "does not name a type for each"),
        ("tokens", ["a"] * 640, "stands twice"),
        ("precompiled_charsmap", b"\1", "asks for a normalisation"),
    ],
)
def test_damaged_gguf_metadata_are_refused(name, value, message):
    tokenizer_from_gguf_metadata(metadata())
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf_metadata({**metadata(), f"tokenizer.ggml.{name}": value})


def test_pieces_given_by_hand_are_checked():
    few = [Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("a"), Piece("b"), Piece("ab", 1.0)]
    with pytest.raises(ValueError, match="256 bytes: <0x00> is missing"):
        SentencePieceTokenizer(few)
    with pytest.raises(ValueError, match=r"merges name ids outside \[0, 4\)"):
        SentencePieceTokenizer(few, np.array([[1, 2, 4]]), byte_fallback=False)
    with pytest.raises(ValueError, match="prefix must be one of"):
        SentencePieceTokenizer(few, byte_fallback=False, prefix="sometimes")
    with pytest.raises(ValueError, match="the text needs the character 'c'"):
        SentencePieceTokenizer(few[1:], byte_fallback=False, prefix="never").encode("abc")
    tokenizer = SentencePieceTokenizer(
        [*few, Piece("", 0.0, Kind.UNUSED), Piece("c")], byte_fallback=False, prefix="never"
    )
    assert tokenizer.encode("abc") == [3, 5]
    for look in (
        tokenizer.decode,
        lambda ids: tokenizer.id_to_token(ids[0]),
        lambda ids: tokenizer.id_to_bytes(ids[0]),
    ):
        with pytest.raises(ValueError, match=re.escape("id 4 is a gap")):
            look([4])
