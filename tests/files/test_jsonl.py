from __future__ import annotations

import pytest

from llm_from_scratch.files.jsonl import read_jsonl, write_jsonl


def test_round_trip_with_awkward_text(tmp_path):
    rows = [{"text": "line\nbreak \u2028 and \u0085 é 🦊"}, [1, 2.5, None], "x", {}]
    write_jsonl(tmp_path / "a", rows)
    assert list(read_jsonl(tmp_path / "a")) == rows
    assert (tmp_path / "a").read_bytes().count(b"\n") == len(rows)


def test_blank_lines_and_windows_line_ends(tmp_path):
    (tmp_path / "a").write_bytes(b'{"a": 1}\r\n\r\n  \n[2]')
    assert list(read_jsonl(tmp_path / "a")) == [{"a": 1}, [2]]


@pytest.mark.parametrize("line", [b"{", b"NaN", b'{"a": Infinity}', b'"\xff"', b"[" * 100_000])
def test_bad_lines_are_named(tmp_path, line):
    (tmp_path / "a").write_bytes(b"{}\n\n" + line + b"\n")
    rows = read_jsonl(tmp_path / "a")
    assert next(rows) == {}
    with pytest.raises(ValueError, match="a, line 3: not a line of JSON"):
        next(rows)


def test_what_json_cannot_express_writes_nothing(tmp_path):
    for bad, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            write_jsonl(tmp_path / "a", [{}, {"x": bad}])
    assert list(tmp_path.iterdir()) == []
