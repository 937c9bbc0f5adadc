"""Bad input: each a clear error, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.tokenizers import PreTokenizer, Tokenizer

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train("the cat sat on the mat near the other cats " * 5, 270, special_tokens=["<|endoftext|>"])


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("", 300), {}, "training text is empty"),
        (([], 300), {}, "training text is empty"),
        ((["", ""], 300), {}, "training text is empty"),
        (("text", 255), {}, "vocab_size must be at least 256"),
        (("text", 256), {"special_tokens": ["<s>"]}, "vocab_size must be at least 257"),
        (("text", -1), {}, "vocab_size must be at least"),
        (("text", 300), {"special_tokens": ["<s>", "<s>"]}, "'<s>' is given twice"),
        (("text", 300), {"special_tokens": ["a"]}, "single character"),
        (("text", 300), {"special_tokens": ["<\ud800>"]}, "lone surrogate"),
        (("text", 300), {"pattern": "gpt3"}, "unknown pre-tokenisation pattern 'gpt3'"),
        (("text", 300), {"pattern": ""}, "unknown pre-tokenisation pattern"),
        (("text", 300), {"pattern": r"(\w+"}, "not a valid regular expression"),
        (("text", 300), {"ties": "random"}, "ties must be one of"),
        (("text", 300), {"min_frequency": -2}, "min_frequency must not be negative"),
        (("text", 300), {"roles": {"eos": "<s>"}}, "roles maps"),
        (("a\udc80b", 300), {}, r"lone surrogate, '\\udc80' at position 1"),
    ],
)
def test_bad_training_settings_are_value_errors(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(*arguments, **settings)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((b"bytes", 300), {}, "expected a text"),
        ((5, 300), {}, "expected a text"),
        (([b"bytes"], 300), {}, "each document must be a str or a path"),
        (("text", 300.0), {}, "vocab_size must be a whole number"),
        (("text", True), {}, "vocab_size must be a whole number"),
        (("text", 300), {"special_tokens": "<s>"}, "special_tokens must be a list"),
        (("text", 300), {"special_tokens": [""]}, "non-empty strings"),
        (("text", 300), {"special_tokens": [3]}, "non-empty strings"),
        (("text", 300), {"pattern": None}, "pattern must be a str"),
    ],
)
def test_training_settings_of_the_wrong_type_are_type_errors(arguments, settings, message):
    with pytest.raises(TypeError, match=message):
        Tokenizer.train(*arguments, **settings)


def test_a_training_file_that_is_not_utf8_is_named_with_the_place(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("é".encode() * 1000 + b"caf\xe9 noir")
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: byte 0xe9 at offset 2003 .*iconv"):
        Tokenizer.train(path, 300)
    path.write_bytes(b"truncated \xe2\x82")
    with pytest.raises(ValueError, match="offset 10"):
        Tokenizer.train([path], 300)
    with pytest.raises(FileNotFoundError):
        Tokenizer.train(tmp_path / "none.txt", 300)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"bytes", TypeError, "expected a str, got bytes"),
        (None, TypeError, "expected a str"),
        (["a"], TypeError, "expected a str, got list"),
        ("ab\ud83d", ValueError, "lone surrogate.*position 2"),
    ],
)
def test_what_is_no_text_cannot_be_encoded(tokenizer, text, error, message):
    with pytest.raises(error, match=message):
        tokenizer.encode(text)


def test_streams_take_str_only(tokenizer):
    with pytest.raises(TypeError, match="chunks of str, got bytes"):
        list(tokenizer.encode_iter([b"bytes"]))
    with pytest.raises(TypeError, match="several texts"):
        tokenizer.encode_batch("one text")


@pytest.mark.parametrize("allowed", ["<|endoftext|>", "none", ["<|unknown|>"]])
def test_allowed_special_names_special_tokens(tokenizer, allowed):
    with pytest.raises(ValueError, match="allowed_special"):
        tokenizer.encode("text", allowed_special=allowed)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 270], ValueError, r"ids\[1\] is 270, but this vocabulary has ids 0 to 269"),
        ([-1], ValueError, r"ids\[0\] is -1"),
        (np.array([3, 999]), ValueError, r"ids\[1\] is 999"),
        (np.array([[1, 2]]), ValueError, "shape"),
        ([1.0], TypeError, "1.0 .float."),
        (np.array([1.0]), TypeError, "float64"),
        ([1, True], TypeError, "True .bool."),
        (np.array([True]), TypeError, "bool"),
        (["a"], TypeError, "ids must be integers"),
        ("ab", TypeError, "sequence of ids"),
        (5, TypeError, "sequence of ids"),
        ([10**30], ValueError, "this vocabulary has ids"),
    ],
)
def test_wrong_ids_cannot_be_decoded(tokenizer, ids, error, message):
    with pytest.raises(error, match=message):
        tokenizer.decode(ids)
    if not isinstance(ids, (str, int)):
        with pytest.raises(error, match=message):
            tokenizer.stream_decoder().push(ids)


def test_ids_of_any_integer_kind_are_decoded(tokenizer):
    ids = tokenizer.encode("the mat")
    assert tokenizer.decode(np.array(ids, np.uint16)) == "the mat"
    assert tokenizer.decode(np.int64(number) for number in ids) == "the mat"
    assert tokenizer.decode([]) == tokenizer.decode(np.array([])) == ""


def test_bytes_that_are_no_text_decode_as_asked(tokenizer):
    ids = [tokenizer.token_to_id(bytes([byte])) for byte in b"a\xff\xc3(\xe2\x82b"]
    assert tokenizer.decode_bytes(ids) == b"a\xff\xc3(\xe2\x82b"
    assert tokenizer.decode(ids) == "a\ufffd\ufffd(\ufffdb"
    assert tokenizer.decode(ids, errors="ignore") == "a(b"
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode(ids, errors="strict")


# --- Damaged files -------------------------------------------------------------------------------------------


@pytest.fixture
def content(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    return json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))


def set_in(path, value):
    def change(content):
        *parents, last = path
        for name in parents:
            content = content[name]
        content[last] = value(content.get(last)) if callable(value) else value

    return change


def rename_token(content):
    content["model"]["vocab"]["zz"] = content["model"]["vocab"].pop("the")


DAMAGE = {
    "no model": (lambda c: c.pop("model"), "has no 'model'"),
    "word pieces": (set_in(["model", "type"], "WordPiece"), "model type 'WordPiece' is not supported"),
    "words": (set_in(["model", "type"], "WordLevel"), "model type 'WordLevel' is not supported"),
    "unigram": (set_in(["model", "type"], "Unigram"), "a Unigram vocabulary must be a list"),
    "byte fallback": (set_in(["model", "byte_fallback"], True), "byte_fallback"),
    "suffix": (set_in(["model", "end_of_word_suffix"], "</w>"), "end_of_word_suffix='</w>'"),
    "empty vocabulary": (set_in(["model", "vocab"], {}), "not empty"),
    "vocabulary of lists": (set_in(["model", "vocab"], ["a"]), "must be an object"),
    "id that is text": (set_in(["model", "vocab", "a"], "5"), "impossible id '5'"),
    "negative id": (set_in(["model", "vocab", "a"], -1), "impossible id -1"),
    "huge id": (set_in(["model", "vocab", "a"], 10**12), "impossible id 1000000000000"),
    "shared id": (set_in(["model", "vocab", "a"], 7), "have the same id 7"),
    "missing token": (rename_token, "not in the vocabulary"),
    "duplicate merge": (set_in(["model", "merges"], lambda merges: merges + merges[:1]), "stands twice"),
    "malformed merge": (set_in(["model", "merges"], lambda merges: [*merges, "abc"]), "expected two tokens"),
    "merge of three": (set_in(["model", "merges"], lambda merges: [*merges, ["a", "b", "c"]]), "expected two tokens"),
    "merge of numbers": (set_in(["model", "merges"], lambda merges: [*merges, 5]), "expected two tokens"),
    "merges not a list": (set_in(["model", "merges"], {"a": "b"}), "'merges' must be a list"),
    "normalizer": (set_in(["normalizer"], {"type": "Nmt"}), "normalizer 'Nmt' is not supported"),
    "normalizer of BERT": (set_in(["normalizer"], {"type": "BertNormalizer"}), "'BertNormalizer' is not supported"),
    "no pre-tokenizer": (set_in(["pre_tokenizer"], None), "not a byte-level tokenizer"),
    "metaspace": (set_in(["pre_tokenizer"], {"type": "Metaspace"}), "no ByteLevel step, and the decoder has one"),
    "pre-tokenizer of BERT": (set_in(["pre_tokenizer"], {"type": "BertPreTokenizer"}), "'BertPreTokenizer' is not"),
    "type that is no word": (set_in(["pre_tokenizer"], {"type": []}), r"step \[\] is not supported"),
    "two byte levels": (
        set_in(["pre_tokenizer"], {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 2}), "two ByteLevel",
    ),
    "no byte level": (
        set_in(["pre_tokenizer"], {"type": "Digits", "individual_digits": True}), "no ByteLevel step",
    ),
    "broken regex": (
        set_in(["pre_tokenizer"], {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}),
        "not a valid regular expression",
    ),
    "behaviour": (
        set_in(["pre_tokenizer"], {"type": "Split", "pattern": {"String": " "}, "behavior": "Odd"}), "'Odd'",
    ),
    "post-processor": (set_in(["post_processor"], {"type": "BertProcessing"}), "'BertProcessing' is not supported"),
    "template of unknown": (
        set_in(["post_processor"], {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}]}),
        "names '<x>'",
    ),
    "added token stripping": (
        set_in(["added_tokens"], [{"id": 0, "content": "<|endoftext|>", "lstrip": 1}]), "lstrip must be true",
    ),
    "added token without id": (set_in(["added_tokens"], [{"content": "<x>"}]), "needs a content and an id"),
    "added token moved": (set_in(["added_tokens"], [{"id": 9, "content": "<|endoftext|>"}]), "is 9 as an added token"),
    "added token on another": (set_in(["added_tokens"], [{"id": 9, "content": "<x>"}]), "has the id 9 of another"),
    "added token twice": (
        set_in(["added_tokens"], [{"id": 400, "content": "<x>"}, {"id": 401, "content": "<x>"}]), "duplicate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_tokenizer_json_is_refused(tmp_path, content, name):
    change, message = DAMAGE[name]
    change(content)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"model": ', "not valid JSON"),
        (b"[1, 2]", "holds a JSON list, an object was expected"),
        (b'{"model": "\xff"}', "not valid JSON: .* byte 0xff in position 11"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_that_is_no_json_is_refused(tmp_path, raw, message):
    (tmp_path / "tokenizer.json").write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_pretrained(tmp_path / "tokenizer.json")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Tokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="neither tokenizer.json nor"):
        Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        with pytest.raises(ValueError, match=r"tokenizer\.model is damaged or no SentencePiece model"):
            Tokenizer.from_pretrained(path)
    (tmp_path / "tokenizer.txt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"neither tokenizer\.json, nor"):
        Tokenizer.from_pretrained(tmp_path / "tokenizer.txt")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("#version: 0.2\nt h\nt h\n", "stands twice"),
        ("#version: 0.2\nt\n", "expected two tokens"),
        ("#version: 0.2\nq qq\n", "not in the vocabulary"),
    ],
)
def test_a_damaged_merges_file_is_refused(tmp_path, lines, message):
    (tmp_path / "vocab.json").write_bytes((FIXTURES / "gpt2_pair" / "vocab.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="neither"):
        Tokenizer.from_pretrained(tmp_path)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["th"] = vocabulary.get("th", len(vocabulary))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (tmp_path / "merges.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_pretrained(tmp_path)


def test_a_byte_without_a_token_is_named(tmp_path, content):
    del content["model"]["vocab"]["Ã"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer.encode("the mat")) == "the mat"
    with pytest.raises(ValueError, match="byte 0xc3"):
        tokenizer.encode("é")
    gap = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    missing = next(number for number in range(270) if number not in gap.values())
    with pytest.raises(ValueError, match=f"id {missing} is a gap"):
        tokenizer.decode([missing])


def test_unknown_names_are_not_taken_for_regular_expressions():
    assert PreTokenizer("llama3").pattern == "cl100k"
    with pytest.raises(ValueError, match="expected one of"):
        PreTokenizer("llama-4")
