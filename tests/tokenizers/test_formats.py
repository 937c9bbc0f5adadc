"""Rank files and the styles of tokenizer.json, against tiktoken and tokenizers, frozen by make_file_fixtures.py."""

from __future__ import annotations

import base64
import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.pre_tokenizer import PreTokenizer

FIXTURES = Path(__file__).parent / "fixtures"
RANKS = FIXTURES / "ranks"
EXPECTED = json.loads((RANKS / "expected.json").read_text(encoding="utf-8"))
STYLES = json.loads((FIXTURES / "styles.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in EXPECTED["ids"] if name != "xgen"])
def test_rank_files_give_the_ids_of_tiktoken(tmp_path, name):
    tokenizer = Tokenizer.from_pretrained(RANKS / f"{name}.tiktoken")
    tokenizer.save(tmp_path)
    for reader in (tokenizer, Tokenizer.from_pretrained(tmp_path)):
        for text, ids in zip(EXPECTED["texts"], EXPECTED["ids"][name], strict=True):
            if name == "qwen" and unicodedata.normalize("NFC", text) != text:
                continue  # Qwen normalises before it asks tiktoken
            assert reader.encode(text) == ids, text
            assert reader.decode(ids) == text


def test_qwen_normalises_and_has_208_special_tokens():
    tokenizer = Tokenizer.from_pretrained(RANKS / "qwen.tiktoken")
    count = len((RANKS / "qwen.tiktoken").read_bytes().splitlines())
    assert tokenizer.encode("cafe\u0301") == tokenizer.encode("caf\u00e9")
    assert tokenizer.vocab_size == count + 208
    assert tokenizer.special_tokens["<|endoftext|>"] == count == tokenizer.eos_id
    assert tokenizer.special_tokens["<|im_end|>"] == count + 2
    assert tokenizer.id_to_token(count + 207) == "<|extra_204|>"


def test_openai_files_leave_an_id_free():
    tokenizer = Tokenizer.from_pretrained(RANKS / "cl100k_base.tiktoken")
    count = len((RANKS / "cl100k_base.tiktoken").read_bytes().splitlines())
    assert tokenizer.special_tokens["<|endoftext|>"] == count + 1
    assert tokenizer.special_tokens["<|endofprompt|>"] == count + 20
    with pytest.raises(ValueError, match=f"id {count} is a gap"):
        tokenizer.decode([count])


@pytest.fixture
def xgen(tmp_path):
    shutil.copy(RANKS / "r50k_base.tiktoken", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XgenTokenizer"}', encoding="utf-8")
    return Tokenizer.from_pretrained(tmp_path)


def test_xgen_adds_runs_of_spaces_and_special_tokens(xgen, tmp_path):
    texts = [*EXPECTED["texts"], "<fim_pad>a"]
    xgen.save(tmp_path / "saved")
    for reader in (xgen, Tokenizer.from_pretrained(tmp_path / "saved")):
        for text, ids in zip(texts, EXPECTED["ids"]["xgen"], strict=True):
            assert reader.encode(text, allowed_special="all") == ids, text
    assert xgen.vocab_size == 51200 and xgen.id_to_token(51199) == "<mask_1>"
    first = len((RANKS / "r50k_base.tiktoken").read_bytes().splitlines())
    assert xgen.eos_id == xgen.bos_id == first and xgen.id_to_bytes(first + 1) == b" " * 31
    # Of GPT-2's 50,257 tokens follow 30 runs of spaces, 8 of tabs, 24 names, and masks for the rest.
    assert len(xgen.special_tokens) == 51200 - first - 38


@pytest.mark.parametrize("style", STYLES["styles"])
def test_styles_of_tokenizer_json_give_the_ids_of_tokenizers(tmp_path, style):
    case = STYLES["styles"][style]
    (tmp_path / "tokenizer.json").write_text(json.dumps(case["file"]), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    tokenizer.save(tmp_path / "again")
    for reader in (tokenizer, Tokenizer.from_pretrained(tmp_path / "again")):
        for text, ids in zip(STYLES["texts"], case["ids"], strict=True):
            assert reader.encode(text, allowed_special="all", add_special_tokens=True) == ids, text
            pieces = [text[at : at + 2] for at in range(0, len(text), 2)]
            plain = reader.encode(text, allowed_special="all")
            assert list(reader.encode_iter(pieces, allowed_special="all")) == plain, text


def test_a_prefix_space_streams_as_it_encodes(monkeypatch):
    from llm_from_scratch.tokenizers import streams

    described = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
    words = PreTokenizer.from_json(described)
    assert words.words("it is2 me") == [" it", " is", "2", " me"] and words.words(" it") == [" it"]
    trained = Tokenizer.train("it is2 me and it was2 you " * 9, 280)
    tokenizer = Tokenizer({number: token for token, number in trained.vocabulary.items()}, trained.merges, (), words)
    monkeypatch.setattr(streams, "SMALL", 4)
    text = "it is2me and2 it was2you, it's me2 and you" * 3
    assert list(tokenizer.encode_iter(text[at : at + 3] for at in range(0, len(text), 3))) == tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode("it")) == " it"


# --- Damaged rank files --------------------------------------------------------------------------------------


def line(token: bytes, rank: object) -> bytes:
    return base64.b64encode(token) + f" {rank}".encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, b"!!! 256"], r"line 257: b'!!!' is not base64"),
        (lambda lines: [*lines, b"YWI 256"], r"line 257: b'YWI' is not base64"),
        (lambda lines: [*lines, b"YWI="], "line 257: expected a token in base64 and its rank"),
        (lambda lines: [*lines, b"YWI= x"], "line 257: expected a token in base64 and its rank"),
        (lambda lines: [*lines, b"YWI= -1"], "line 257: expected a token"),
        (lambda lines: [*lines, line(b"ab", 257)], "rank 256 is missing, though there are ranks up to 257"),
        (lambda lines: [*lines, line(b"ab", 10**30)], "line 257: expected a token"),
        (lambda lines: [*lines, line(b"ab", 5)], "line 257: rank 5 was given on line 6"),
        (lambda lines: [*lines, line(b"a", 256)], "line 257: the token b'a' stands twice"),
        (lambda lines: [*lines[:-1], line(b"ab", 255)], "the byte 0xff has no rank"),
        (lambda lines: lines[:3] + lines[4:], "rank 3 is missing"),
        (lambda lines: [*lines, line(b"a" * 9999, 256)], "line 257: a token of 9,999 bytes"),
        (lambda lines: [b"\xff\xfe\x00"], "line 1: expected a token"),
        (lambda lines: [], "holds no ranks"),
    ],
)
def test_a_damaged_rank_file_is_refused(tmp_path, change, message):
    lines = [line(bytes([byte]), byte) for byte in range(256)]
    path = tmp_path / "qwen.tiktoken"
    path.write_bytes(b"\n".join(lines) + b"\n\n")
    assert Tokenizer.from_pretrained(tmp_path).encode("ab") == [97, 98]
    path.write_bytes(b"\n".join(change(lines)))
    with pytest.raises(ValueError, match=message) as caught:
        Tokenizer.from_pretrained(tmp_path)
    assert str(path) in str(caught.value)


def test_rank_files_of_unknown_name_and_several_are_refused(tmp_path):
    (tmp_path / "mine.tiktoken").write_bytes((RANKS / "qwen.tiktoken").read_bytes())
    with pytest.raises(ValueError, match="none is known for 'mine'; rename it to what it is, one of qwen.tiktoken"):
        Tokenizer.from_pretrained(tmp_path)
    shutil.copy(RANKS / "qwen.tiktoken", tmp_path)
    with pytest.raises(ValueError, match=r"2 rank files: name one of \['mine.tiktoken', 'qwen.tiktoken'\]"):
        Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "mine.tiktoken").unlink()
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XgenTokenizer"}', encoding="utf-8")
    with pytest.raises(ValueError, match="XGen's tokenizer stands on GPT-2's ranks"):
        Tokenizer.from_pretrained(tmp_path)
