"""The same merges and ids as the libraries `tokenizers` and `tiktoken`, frozen by make_fixtures.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.byte_level import to_characters

FIXTURES = Path(__file__).parent / "fixtures"


def read(name: str):
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


TEXTS = read("texts.json")
CASES = read("parity.json")


def written_merges(tokenizer: Tokenizer) -> list[str]:
    return [
        f"{to_characters(tokenizer.id_to_bytes(left))} {to_characters(tokenizer.id_to_bytes(right))}"
        for left, right, _ in tokenizer.merges.tolist()
    ]


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {
        name: Tokenizer.train(
            TEXTS["training"],
            case["vocab_size"],
            pattern=case["pattern"],
            special_tokens=case["special_tokens"],
            min_frequency=case["min_frequency"],
        )
        for name, case in CASES.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_training_learns_the_merges_of_tokenizers(trained, name):
    case = CASES[name]
    assert written_merges(trained[name]) == case["merges"]
    assert trained[name].merges[:, 2].tolist() == case["ids_of_merged"]


@pytest.mark.parametrize("case", read("runs.json"))
def test_long_runs_are_merged_as_tokenizers_does(case):
    assert written_merges(Tokenizer.train(case["text"], 380)) == case["merges"]


@pytest.mark.parametrize("name", CASES)
def test_encoding_gives_the_ids_of_tokenizers(trained, name):
    nasty = TEXTS["nasty"][:-1]
    assert [trained[name].encode(text) for text in nasty] == CASES[name]["tokenizers"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "tiktoken" in case])
def test_encoding_gives_the_ids_of_tiktoken(trained, name):
    for text, expected in zip(TEXTS["nasty"][:-1], CASES[name]["tiktoken"], strict=True):
        assert trained[name].encode(text) == expected, text


@pytest.mark.parametrize("name", CASES)
def test_decoding_gives_back_every_nasty_text(trained, name):
    for text in TEXTS["nasty"] + TEXTS["special"]:
        assert trained[name].decode(trained[name].encode(text)) == text


def test_a_file_of_tokenizers_with_added_tokens_gives_its_ids():
    tokenizer = Tokenizer.from_pretrained(FIXTURES / "added")
    expected = read("added/expected.json")
    for text, ids in zip(TEXTS["nasty"] + TEXTS["special"], expected["ids"], strict=True):
        assert tokenizer.encode(text, allowed_special="all") == ids, text
    assert tokenizer.vocab_size == expected["size"]


def test_added_tokens_survive_saving(tmp_path):
    tokenizer = Tokenizer.from_pretrained(FIXTURES / "added")
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    for text, ids in zip(TEXTS["nasty"] + TEXTS["special"], read("added/expected.json")["ids"], strict=True):
        assert again.encode(text, allowed_special="all") == ids


@pytest.mark.parametrize("path", ["gpt2_pair", "gpt2_pair/vocab.json"])
def test_gpt2_vocab_and_merges_are_read(path):
    tokenizer = Tokenizer.from_pretrained(FIXTURES / path)
    assert [tokenizer.encode(text) for text in TEXTS["nasty"][:-1]] == read("gpt2_pair/expected.json")["ids"]
    assert tokenizer.special_tokens == {"<|endoftext|>": 0}
    assert tokenizer.eos_id == 0


def test_ignore_merges_template_and_normalizer_of_a_file_are_followed(tmp_path):
    tokenizer = Tokenizer.from_pretrained(FIXTURES / "whole_words" / "tokenizer.json")
    expected = read("whole_words/expected.json")["ids"]
    tokenizer.save(tmp_path)
    for reader in (tokenizer, Tokenizer.from_pretrained(tmp_path)):
        for text, ids in zip(TEXTS["nasty"], expected, strict=True):
            assert reader.encode(text, allowed_special="all", add_special_tokens=True) == ids, text
    assert tokenizer.token_to_id("Ġdone") in tokenizer.encode("we are done")
