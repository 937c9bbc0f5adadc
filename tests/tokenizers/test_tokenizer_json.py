"""Damaged files of a checkpoint directory: whatever is wrong, one ValueError that names the file."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from llm_from_scratch.tokenizers import Tokenizer

FIXTURES = Path(__file__).parent / "fixtures"
STYLES = json.loads((FIXTURES / "styles.json").read_text(encoding="utf-8"))["styles"]
VALUES: list[Any] = [None, True, -1, 10**30, "x", [[]], {}, {"type": []}]
TOKEN = {"content": "<x>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
SETTINGS = {
    "tokenizer_class": "LlamaTokenizer",
    "bos_token": "<s>",
    "eos_token": TOKEN,
    "additional_special_tokens": ["<y>", TOKEN],
    "add_bos_token": True,
    "add_eos_token": False,
    "add_prefix_space": False,
    "legacy": True,
    "added_tokens_decoder": {"1000": TOKEN},
}
SPECIAL_MAP = {"bos_token": "<s>", "eos_token": TOKEN, "additional_special_tokens": ["<y>"]}


def unigram() -> dict[str, Any]:
    content = copy.deepcopy(STYLES["llama3"]["file"])
    content["model"] = {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [["<unk>", 0.0], ["▁a", -1.0]]}
    content["added_tokens"] = [{"id": 0, **TOKEN, "content": "<unk>"}, {"id": 9, **TOKEN}]
    steps = [{"type": "NFKC"}, {"type": "Strip"}, {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}]
    content["normalizer"] = {"type": "Sequence", "normalizers": [*steps, {"type": "Prepend", "prepend": "a"}]}
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    content["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Metaspace", "replacement": "▁"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]}  # fmt: skip
    piece = {"SpecialToken": {"id": "<unk>", "type_id": 0}}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [piece, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<unk>": {"id": "<unk>", "ids": [0], "tokens": ["<unk>"]}},
    }
    return content


def llama(tmp: Path) -> dict[str, Any]:
    Tokenizer.from_pretrained(FIXTURES / "sentencepiece" / "llama.model").save(tmp / "llama")
    return json.loads((tmp / "llama" / "tokenizer.json").read_text(encoding="utf-8"))


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, of long lists and objects the first three entries."""
    keys = (
        list(content) if isinstance(content, dict) else list(range(len(content))) if isinstance(content, list) else []
    )
    return [
        path,
        *(place for key in keys[: 12 if len(keys) < 20 else 2] for place in places(content[key], (*path, key))),
    ]


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.copy(content)
    made[path[0]] = put(content[path[0]], path[1:], value)
    return made


def read(directory: Path) -> bool:
    """Can it be read and used? Any error but a ValueError that names the place fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = Tokenizer.from_pretrained(directory)
    except ValueError as error:
        assert str(directory) in str(error), error
        return False
    try:
        tokenizer.decode(tokenizer.encode("a b<s> é", allowed_special="all", add_special_tokens=True))
    except ValueError as error:
        assert "the text needs" in str(error), error
    return True


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
@pytest.mark.parametrize("raw", ["[]", "5", '"x"', "null", "[" * 100_000, '{"a":' * 100_000, "{", "", "\ufeff{}"])
def test_a_file_that_is_no_object_is_refused_by_name(tmp_path, name, raw):
    (tmp_path / "tokenizer.json").write_text(json.dumps(STYLES["neox"]["file"]), encoding="utf-8")
    assert read(tmp_path)
    (tmp_path / name).write_text(raw, encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("style", ["smollm", "unigram", "llama"])
def test_a_wrong_value_anywhere_in_tokenizer_json_is_at_most_a_value_error(tmp_path, style):
    made = {"unigram": unigram, "llama": lambda: llama(tmp_path)}.get(style, lambda: STYLES[style]["file"])()
    refused = 0
    for path in places(made):
        for value in VALUES:
            (tmp_path / "tokenizer.json").write_text(json.dumps(put(made, path, value)), encoding="utf-8")
            refused += not read(tmp_path)
    assert refused > 100


@pytest.mark.parametrize("kind", ["json", "pair", "model", "ranks"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", SETTINGS),
        ("special_tokens_map.json", SPECIAL_MAP),
        ("added_tokens.json", {"<x>": 1000, "<y>": 1001}),
    ],
)
def test_a_wrong_value_beside_a_tokenizer_is_at_most_a_value_error(tmp_path, kind, name, content):
    if kind == "json":
        (tmp_path / "tokenizer.json").write_text(json.dumps(STYLES["neox"]["file"]), encoding="utf-8")
    elif kind == "pair":
        for part in ("vocab.json", "merges.txt"):
            shutil.copy(FIXTURES / "gpt2_pair" / part, tmp_path)
    elif kind == "model":
        shutil.copy(FIXTURES / "sentencepiece" / "llama.model", tmp_path / "tokenizer.model")
    else:
        shutil.copy(FIXTURES / "ranks" / "qwen.tiktoken", tmp_path)
    (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    assert read(tmp_path)
    refused = 0
    for path in places(content):
        for value in VALUES:
            (tmp_path / name).write_text(json.dumps(put(content, path, value)), encoding="utf-8")
            refused += not read(tmp_path)
    assert refused >= 10
