"""Tokenizers from GGUF metadata, against ids that llama.cpp gave (smollm2_tokens.json; its source is named there)."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.files.download import ARTIFACTS, cache_directory
from llm_from_scratch.files.gguf import write_gguf
from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.gguf import tokenizer_from_gguf_metadata

HERE = Path(__file__).parent / "fixtures"
REDUCED = json.loads((HERE / "smollm2_reduced.json").read_text(encoding="utf-8"))
REAL = cache_directory() / ARTIFACTS["smollm2"].filename


@pytest.fixture
def metadata():
    made = dict(REDUCED["metadata"])
    made["tokenizer.ggml.token_type"] = np.array(made["tokenizer.ggml.token_type"], np.int32)
    return made


def _check(tokenizer, cases):
    for kind, allowed in (("special", "all"), ("plain", ())):
        assert len(cases[kind]) == 18
        for case in cases[kind]:
            assert tokenizer.encode(case["text"], allowed_special=allowed) == case["ids"], (kind, case["text"])
            assert tokenizer.decode(case["ids"]) == case["text"]


def test_ids_equal_llama_cpp(metadata):
    tokenizer = tokenizer_from_gguf_metadata(metadata)
    assert tokenizer.pre_tokenizer.name == "digits"
    _check(tokenizer, REDUCED)


def test_from_a_file(metadata, tmp_path):
    write_gguf(tmp_path / "words.gguf", metadata, {})
    tokenizer = Tokenizer.from_pretrained(tmp_path / "words.gguf")
    _check(tokenizer, REDUCED)
    tokenizer.save(tmp_path / "saved")
    _check(Tokenizer.from_pretrained(tmp_path / "saved"), REDUCED)


def test_special_tokens_and_roles(metadata):
    tokenizer = tokenizer_from_gguf_metadata(metadata)
    assert tokenizer.special_tokens["<|im_end|>"] == 2 == tokenizer.eos_id
    assert tokenizer.bos_id is None  # the file names <|im_start|>, and says that texts do not begin with it
    assert tokenizer.encode("a", add_special_tokens=True) == tokenizer.encode("a")
    tokenizer = tokenizer_from_gguf_metadata(
        {**metadata, "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
    )
    assert tokenizer.bos_id == 1 and tokenizer.encode("a", add_special_tokens=True) == [1, *tokenizer.encode("a"), 2]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": None}, "holds no tokenizer"),
        ({"model": "llama"}, "scores does not give a score to each"),
        ({"model": "bert"}, "'bert' is neither byte-level BPE"),
        ({"pre": "martian"}, "pre 'martian' is not supported; known: gpt-2"),
        ({"pre": None}, "pre None is not supported"),
        ({"tokens": None}, "no list of strings tokenizer.ggml.tokens"),
        ({"tokens": [1, 2]}, "no list of strings tokenizer.ggml.tokens"),
        ({"tokens": ["a", "b", "a"], "token_type": None}, "'a' stands twice"),
        ({"token_type": np.zeros(3, np.int32)}, "does not name a type for each"),
        ({"merges": ["h e", "h e"]}, "stands twice"),
        ({"merges": ["h e r"]}, "expected two tokens"),
        ({"merges": ["h Ωx"]}, "not in the vocabulary"),
    ],
)
def test_damage_is_named(metadata, change, message):
    for key, value in change.items():
        if value is None:
            del metadata["tokenizer.ggml." + key]
        else:
            metadata["tokenizer.ggml." + key] = value
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf_metadata(metadata)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real model (93 MB): python -m llm_from_scratch fetch smollm2")
def test_the_real_file():
    tokenizer = Tokenizer.from_pretrained(REAL)
    assert tokenizer.vocab_size == 49152
    _check(tokenizer, json.loads((HERE / "smollm2_tokens.json").read_text(encoding="utf-8")))
