"""Tokenizers from GGUF metadata, against ids that llama.cpp gave (smollm2_tokens.json; its source is named there)."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.files.download import ARTIFACTS, cache_directory
from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.byte_level import to_characters
from llm_from_scratch.tokenizers.gguf import tokenizer_from_gguf_metadata

HERE = Path(__file__).parent / "fixtures"
REDUCED = json.loads((HERE / "smollm2_reduced.json").read_text(encoding="utf-8"))
REAL = cache_directory() / ARTIFACTS["smollm2"].filename


@pytest.fixture
def metadata():
    made = dict(REDUCED["metadata"])
    made["tokenizer.ggml.token_type"] = np.array(made["tokenizer.ggml.token_type"], np.int32)
    return made


def assert_frozen(tokenizer, cases):
    for kind, allowed in (("special", "all"), ("plain", ())):
        assert len(cases[kind]) == 18
        for case in cases[kind]:
            assert tokenizer.encode(case["text"], allowed_special=allowed) == case["ids"], (kind, case["text"])
            assert tokenizer.decode(case["ids"]) == case["text"]


def test_ids_equal_llama_cpp(metadata):
    tokenizer = tokenizer_from_gguf_metadata(metadata)
    assert tokenizer.pre_tokenizer.name == "digits"
    assert_frozen(tokenizer, REDUCED)


def test_from_a_file(metadata, tmp_path):
    write_gguf(tmp_path / "words.gguf", metadata, {})
    tokenizer = Tokenizer.from_pretrained(tmp_path / "words.gguf")
    assert_frozen(tokenizer, REDUCED)
    tokenizer.save(tmp_path / "saved")
    assert_frozen(Tokenizer.from_pretrained(tmp_path / "saved"), REDUCED)


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
    assert_frozen(tokenizer, json.loads((HERE / "smollm2_tokens.json").read_text(encoding="utf-8")))


# --- What a file leaves unsaid, and what it says oddly ----------------------------------------------------------------

BYTES = [to_characters(bytes([byte])) for byte in range(256)]


def byte_level(pre, *more, types=None, **settings):
    tokens = [*BYTES, "hi", *more]
    return tokenizer_from_gguf_metadata(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.merges": ["h i"],
            "tokenizer.ggml.token_type": np.array([1] * 257 + list(types or [3] * len(more)), np.int32),
            **{f"tokenizer.ggml.{key}": value for key, value in settings.items()},
        }
    )


@pytest.mark.parametrize(
    "pre, says, ids",
    [
        ("llama-bpe", {}, [257, 256]),
        ("llama3", {}, [257, 256]),
        ("llama-v3", {"add_eos_token": True}, [257, 256, 258]),
        ("llama-bpe", {"add_bos_token": False}, [256]),
        ("gpt-2", {}, [256]),
        ("qwen2", {}, [256]),
        ("gpt-2", {"add_bos_token": True}, [257, 256]),
    ],
)
def test_whether_a_text_begins_with_bos(pre, says, ids, tmp_path):
    tokenizer = byte_level(pre, "<|begin|>", "<|end_of_text|>", bos_token_id=257, eos_token_id=258, **says)
    assert tokenizer.encode("hi", add_special_tokens=True) == ids
    tokenizer.save(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).encode("hi", add_special_tokens=True) == ids
    library = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode("hi").ids == ids


@pytest.mark.parametrize("kind", [1, 3, 4, 5])
def test_what_ends_a_turn_is_special_whatever_its_type(kind):
    tokenizer = byte_level("qwen2", "<|im_end|>", "<|x|>", types=[kind, kind])
    assert tokenizer.special_tokens.get("<|im_end|>") == 257
    assert ("<|x|>" in tokenizer.special_tokens) == (kind == 3)
    assert len(tokenizer.encode("<|im_end|>")) > 1 and tokenizer.encode("<|im_end|>", allowed_special="all") == [257]


def test_empty_tokens_are_gaps():
    tokenizer = byte_level("qwen2", "", "", "<|x|>")
    assert tokenizer.encode("hi<|x|>", allowed_special="all") == [256, 259]
    with pytest.raises(ValueError, match="id 258 is a gap"):
        tokenizer.decode([258])


SENTENCEPIECE = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)),
                              "▁", "h", "i", "hi", "▁hi", "<|im_start|>", ""],
    "tokenizer.ggml.token_type": np.array([2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1, 4, 1], np.int32),
    "tokenizer.ggml.scores": np.array([0.0] * 259 + [-9, -8, -7, -2, -1, -1000, 0], np.float32),
}  # fmt: skip


def test_sentencepiece_without_ids_has_those_of_the_format():
    tokenizer = tokenizer_from_gguf_metadata(SENTENCEPIECE)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.roles["unk"]) == (1, 2, "<unk>")
    assert tokenizer.encode("hi", add_special_tokens=True) == [1, 263]


@pytest.mark.parametrize("text, pieces", [
    ("<|im_start|>hi", ["<|im_start|>", "▁hi"]),
    ("hi<|im_start|>hi", ["▁hi", "<|im_start|>", "▁hi"]),
    ("<|im_start|><|im_start|>", ["<|im_start|>", "<|im_start|>"]),
    ("<|im_start|> hi", ["<|im_start|>", "▁", "▁hi"]),
])  # fmt: skip
def test_a_user_defined_token_is_a_border(text, pieces, tmp_path):
    tokenizer = tokenizer_from_gguf_metadata(SENTENCEPIECE)
    ids = tokenizer.encode(text)
    assert [tokenizer.id_to_token(id) for id in ids] == pieces
    tokenizer.save(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).encode(text) == ids


@pytest.mark.parametrize(
    "change, message",
    [
        ({"token_type": np.array([2, 3], np.int32)}, "does not name a type for each of 266 tokens"),
        ({"token_type": np.full(266, 1.0)}, "does not name a type"),
        ({"token_type": np.full(266, 9)}, "token_type 9 of token '<unk>' is unknown"),
        ({"scores": None}, "does not give a score"),
        ({"scores": np.zeros(3, np.float32)}, "does not give a score"),
        ({"scores": np.full(266, np.nan, np.float32)}, "does not give a score"),
        ({"add_bos_token": 1}, "add_bos_token must be true or false, got 1"),
        ({"add_space_prefix": np.ones(1)}, "add_space_prefix must be true or false"),
        ({"model": np.ones(2)}, "is neither byte-level BPE"),
        ({"unknown_token_id": -1}, "unknown_token_id must be an id of the 266 tokens, not -1"),
        ({"tokens": [*SENTENCEPIECE["tokenizer.ggml.tokens"][:-1], "hi"]}, "'hi', stands twice"),
    ],
)
def test_sentencepiece_damage_is_named(change, message):
    metadata = {**SENTENCEPIECE, **{f"tokenizer.ggml.{key}": value for key, value in change.items()}}
    with pytest.raises(ValueError, match=message):
        tokenizer_from_gguf_metadata(metadata)
