"""Nothing of an evaluation set is missed, in whatever rows it comes."""

import json

import pytest

from llm_from_scratch.data.curation.evaluation_texts import read_evaluation_texts


def test_all_text_of_a_row(tmp_path):
    rows = [{"question": "why?", "choices": {"text": ["a", "b"], "label": [1, None]}, "id": 5}, ["loose"], "text"]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "b.txt").write_text("one<|endoftext|>two", encoding="utf-8")
    found = read_evaluation_texts([tmp_path / "a.jsonl", tmp_path / "b.txt"])
    assert list(found.values()) == ["why?\na\nb", "loose", "text", "one", "two"]
    assert list(found)[0] == f"{tmp_path / 'a.jsonl'}, line 1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": }', "line 1: not JSON"),
        ("a.bin", b"\0", "binary"),
        ("a.txt", b"caf\xe9", "byte 0xe9 at offset 3"),
        ("a.txt", b"", "is empty"),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_evaluation_texts([tmp_path / name])
