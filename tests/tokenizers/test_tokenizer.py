"""What a user of `Tokenizer` relies on: training sources, special tokens, saving, decoding, the command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.cli import tokenizer as command
from llm_from_scratch.tokenizers import NAMES, PreTokenizer, Tokenizer

TEXT = "It was 2023, and they'll say it's the year of café models.\n\n  Indented   naïve 漢字 12345\n" * 4
CUSTOM = r"[A-Z]?[a-zé]+|\s+|(?m)^\d+$"


def test_training_is_the_same_from_a_text_files_and_an_iterator(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode("utf-8"))
    whole = Tokenizer.train(TEXT, 310)
    assert whole.vocab_size == 310 and len(whole.merges) == 54
    for source in (path, [path], iter([TEXT]), (text for text in [TEXT])):
        assert np.array_equal(Tokenizer.train(source, 310).merges, whole.merges)
    lines = Tokenizer.train(TEXT.splitlines(keepends=True), 310)
    assert lines.vocab_size == 310  # other words at the ends of lines, hence perhaps other merges


def test_files_are_read_in_pieces_and_keep_their_line_ends(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes(("é漢👍\r\n" * 300_000).encode("utf-8"))
    tokenizer = Tokenizer.train(path, 265)
    assert tokenizer.token_to_id(b"\r\n") is not None
    assert tokenizer.token_to_id("👍".encode()) is not None


def test_a_text_with_few_pairs_gives_a_smaller_vocabulary():
    tokenizer = Tokenizer.train("aaaa", 1000)
    assert tokenizer.vocabulary.keys() - {bytes([byte]) for byte in range(256)} == {b"aa", b"aaaa"}
    assert tokenizer.vocab_size == 258
    assert Tokenizer.train("aaaa", 1000, min_frequency=2).vocab_size == 257


def test_the_first_merge_is_the_most_frequent_pair():
    tokenizer = Tokenizer.train("ab ab ab cd cd", 257, pattern=r"\w+")
    assert tokenizer.id_to_bytes(256) == b"ab"


def test_ties_are_broken_by_the_rule_that_was_asked_for():
    words = ["ab", "cd", "ab", "cd"]
    assert Tokenizer.train(words, 257).id_to_bytes(256) == b"ab"
    assert Tokenizer.train(words, 257, ties="lexicographic").id_to_bytes(256) == b"cd"
    # By ids the byte 0x20 comes after every letter, as its character Ġ does; by bytes it comes first.
    assert Tokenizer.train([" x", "yz"], 257).id_to_bytes(256) == b"yz"
    assert Tokenizer.train([" x", "yz"], 257, ties="lexicographic").id_to_bytes(256) == b"yz"
    assert Tokenizer.train(["x ", "xa"], 257, pattern=r"\w\s|\w+").id_to_bytes(256) == b"xa"


def test_special_tokens_are_not_made_from_text_unless_asked():
    special = ["<|a|>", "<|a|><|b|>", "<|b|>"]
    tokenizer = Tokenizer.train(TEXT, 300, special_tokens=special)
    assert tokenizer.special_tokens == {"<|a|>": 0, "<|a|><|b|>": 1, "<|b|>": 2}
    text = "x<|a|><|b|><|b|>y"
    assert min(tokenizer.encode(text)) > 2
    marked = tokenizer.encode(text, allowed_special="all")
    assert [number for number in marked if number < 3] == [1, 2]  # the longest first
    assert [n for n in tokenizer.encode(text, allowed_special=["<|a|>"]) if n < 3] == [0]
    assert tokenizer.decode(marked) == text
    assert tokenizer.decode(marked, skip_special_tokens=True) == "xy"


def test_special_tokens_in_the_training_text_are_borders():
    text = "end<|endoftext|>start " * 50
    tokenizer = Tokenizer.train(text, 400, special_tokens=["<|endoftext|>"])
    assert not any(b"<" in token or b"|" in token for token in tokenizer.vocabulary if len(token) > 1)
    plain = Tokenizer.train(text, 400)
    assert any(b"endoftext" in token for token in plain.vocabulary)


def test_no_merge_spells_a_special_token_as_the_file_would_write_it(tmp_path):
    tokenizer = Tokenizer.train([" wo"] * 9, 400, special_tokens=["Ġwo"])  # in the file " wo" is "Ġwo", too
    assert tokenizer.token_to_id(b" wo") is None and tokenizer.token_to_id(b"wo") is not None
    assert len(tokenizer.encode(" wo")) == 2
    tokenizer.save(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).encode("Ġwo", allowed_special="all") == [0]


@pytest.mark.parametrize("pattern", [*NAMES, "llama3", "starcoder", CUSTOM])
@pytest.mark.parametrize("ties", ["tokenizers", "lexicographic"])
def test_saving_keeps_everything(tmp_path, pattern, ties):
    special = ["<s>", "</s>", "<pad>"]
    tokenizer = Tokenizer.train(TEXT, 340, pattern=pattern, special_tokens=special, ties=ties)
    tokenizer.save(tmp_path / "deep" / "er")
    again = Tokenizer.from_pretrained(tmp_path / "deep" / "er")
    assert again.pre_tokenizer.pattern == tokenizer.pre_tokenizer.pattern == PreTokenizer(pattern).pattern
    assert again.special_tokens == {"<s>": 0, "</s>": 1, "<pad>": 2}
    assert (again.bos_id, again.eos_id, again.pad_id, again.vocab_size) == (0, 1, 2, tokenizer.vocab_size)
    text = TEXT + "Other text: it's\n\n  9876 </s>\t!"
    assert again.encode(text, allowed_special="all") == tokenizer.encode(text, allowed_special="all")
    again.save(tmp_path / "twice")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "deep" / "er" / name).read_bytes()
    assert {path.name for path in (tmp_path / "twice").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}


def test_the_saved_file_is_what_tokenizers_writes():
    fixtures = Path(__file__).parent / "fixtures"
    theirs = json.loads((fixtures / "added" / "tokenizer.json").read_text(encoding="utf-8"))
    from llm_from_scratch.tokenizers.formats.tokenizer_json import to_json

    ours = to_json(Tokenizer.from_pretrained(fixtures / "added").parts)
    theirs["model"]["merges"] = [" ".join(pair) for pair in theirs["model"]["merges"]]
    assert ours["model"]["vocab"] == theirs["model"]["vocab"]
    assert ours["model"]["merges"] == theirs["model"]["merges"]
    assert ours["added_tokens"] == theirs["added_tokens"]
    assert ours["pre_tokenizer"] == theirs["pre_tokenizer"]
    assert ours.keys() == theirs.keys() and ours["model"].keys() == theirs["model"].keys()


def test_arrays_batches_and_helpers_agree():
    tokenizer = Tokenizer.train(TEXT, 320, special_tokens=["<|endoftext|>"])
    ids = tokenizer.encode(TEXT)
    array = tokenizer.encode_array(TEXT)
    assert array.dtype == np.int32 and array.tolist() == ids == tokenizer.encode_batch([TEXT, ""])[0]
    assert tokenizer.encode("") == [] and tokenizer.encode_array("").dtype == np.int32
    assert tokenizer.byte_lengths()[array].sum() == len(TEXT.encode())
    assert tokenizer.bytes_per_token(TEXT) == pytest.approx(len(TEXT.encode()) / len(ids))
    for number in range(tokenizer.vocab_size):
        assert tokenizer.token_to_id(tokenizer.id_to_token(number)) == number
    assert tokenizer.token_to_id("no such token") is None
    assert len(tokenizer) == 320 and "320" in repr(tokenizer)


def test_a_huge_word_is_encoded_quickly():
    tokenizer = Tokenizer.train("ab" * 5000 + " abba", 300)
    # Were the compiled version quadratic, a million letters would take hours. The twin is.
    word = "ab" * (1_000 if "numpy" in _backend() else 500_000)
    assert tokenizer.decode(tokenizer.encode(word)) == word


def _backend() -> str:
    from llm_from_scratch.kernels.dispatch import backend

    return backend()


# --- The command ---------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


@pytest.fixture
def trained(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    out = str(tmp_path / "out")
    assert run("train", "--data", str(tmp_path / "text.txt"), "--vocab-size", "320", "--out", out) == 0
    assert "320 tokens from" in capsys.readouterr().out
    return out


def test_the_command_encodes_and_decodes(trained, capsys):
    assert run("encode", "--tokenizer", trained, "--text", "the café models") == 0
    ids = capsys.readouterr().out.split()
    assert run("decode", "--tokenizer", trained, *ids) == 0
    assert capsys.readouterr().out == "the café models\n"
    assert run("encode", "--tokenizer", trained, "--text", "a<|endoftext|>", "--allow-special", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ids"][-1] == 0


def test_the_command_describes_a_tokenizer(trained, tmp_path, capsys):
    assert run("info", "--tokenizer", trained, "--file", str(tmp_path / "text.txt"), "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["vocab_size"] == 320 and described["pattern"] == "gpt2"
    assert described["bytes"] == len(TEXT.encode()) and 1 < described["bytes_per_token"] < 10


def test_the_command_is_told_words_that_are_tokens(trained, tmp_path):
    out = str(tmp_path / "told")
    words = ("--added-token", "who", "--added-token", " why")
    assert run("train", "--data", str(tmp_path / "text.txt"), "--vocab-size", "320", *words, "--out", out) == 0
    told = Tokenizer.from_pretrained(out)
    assert [told.id_to_token(number) for number in told.encode("who why")] == ["who", " why"]
    assert list(told.special_tokens) == ["<|endoftext|>"]


def test_the_command_reports_mistakes(trained, tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        run("train", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "x"))
    with pytest.raises(ValueError, match="vocab_size"):
        run("train", "--data", str(tmp_path / "text.txt"), "--vocab-size", "3", "--out", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="ids 0 to 319"):
        run("decode", "--tokenizer", trained, "320")


def test_the_command_trains_the_other_kind_and_compares(trained, tmp_path, capsys):
    out = str(tmp_path / "pieces")
    text = str(tmp_path / "text.txt")
    assert run("train", "--data", text, "--kind", "sentencepiece", "--vocab-size", "330", "--out", out) == 0
    assert "330 tokens from" in capsys.readouterr().out
    assert run("train", "--data", text, "--kind", "sentencepiece", "--character-coverage", "0.5", "--vocab-size", "330",
               "--keep-numbers", "--out", str(tmp_path / "half")) == 0  # fmt: skip
    half = Tokenizer.from_pretrained(tmp_path / "half")
    assert half.token_to_id("漢") is None and Tokenizer.from_pretrained(out).token_to_id("漢") is not None
    capsys.readouterr()
    (tmp_path / "lines.txt").write_text("the year\n\ncafé\n", encoding="utf-8")
    lines = str(tmp_path / "lines.txt")
    assert run("compare", f"bytes={trained}", f"pieces={out}", "--file", lines, "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["texts"] == ["the year", "café"]
    assert compared["tokenizers"]["pieces"]["tokens"][0][0].startswith("▁")
    assert "".join(compared["tokenizers"]["bytes"]["tokens"][1]) == "cafÃ©"
    assert compared["tokenizers"]["bytes"]["kind"] == "byte-level"
    assert run("compare", trained, out, "--text", "café") == 0
    assert f"  {out}: " in capsys.readouterr().out
