"""Files as people have them, for every reader alike: how their rows are wrapped, and what is wrong in which line."""

from __future__ import annotations

import gzip
import json

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data.rows import read_rows

BOM = b"\xef\xbb\xbf"
TEXT = "a\u2028b\x85c\u2029d é"  # what some take for ends of lines
ROWS = {
    "read_dialogues": {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": TEXT},
                                         {"from": "gpt", "value": TEXT}]},
    "read_preferences": {"prompt": TEXT, "chosen": TEXT, "rejected": "b"},
    "read_rankings": {"prompt": "Q", "answers": [TEXT, "b"], "ranks": [1, 2]},
    "read_ratings": {"prompt": "Q", "response": TEXT, "helpfulness": 1, "correctness": 2, "coherence": 3,
                     "complexity": 4, "verbosity": 0},
}  # fmt: skip
SAYS = {
    "read_dialogues": lambda found: found[-1]["content"],
    "read_preferences": lambda found: found["chosen"][0]["content"],
    "read_rankings": lambda found: found["answers"],
    "read_ratings": lambda found: found["response"],
}
each = pytest.mark.parametrize("reader", ROWS)


def spelt(value, **how):
    return json.dumps(value, ensure_ascii=False, **how).encode("utf-8")


def lines(row, end=b"\n"):
    return (spelt(row) + end) * 2


WRAPPINGS = {  # of two equal rows
    "lines": lines,
    "lines of Windows": lambda row: lines(row, b"\r\n"),
    "lines without the last end": lambda row: lines(row)[:-1],
    "lines apart": lambda row: b"\n \r\n" + lines(row, b"\n\n\t\n"),
    "lines behind a byte order mark": lambda row: BOM + lines(row, b"\r\n"),
    "lines, zipped": lambda row: gzip.compress(lines(row)),
    "lines in escapes": lambda row: (json.dumps(row).encode() + b"\n") * 2,
    "a list": lambda row: spelt([row, row]),
    "a list behind a byte order mark": lambda row: BOM + spelt([row, row]),
    "a list over many lines": lambda row: spelt([row, row], indent=2).replace(b"\n", b"\r\n"),
    "a list, a row a line": lambda row: b"[\n" + spelt(row) + b",\n" + spelt(row) + b"\n]\n",
    "an object around": lambda row: spelt({"version": 2, "data": [row, row]}),
    "an object around, zipped behind a byte order mark": lambda row: gzip.compress(BOM + spelt({"rows": [row, row]})),
}
LISTED = [name for name in WRAPPINGS if not name.startswith("lines")]


@each
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_row_is_the_same_however_it_is_wrapped(tmp_path, reader, wrapping):
    row, file = ROWS[reader], tmp_path / "rows"
    file.write_bytes(WRAPPINGS[wrapping](row))
    assert [found for _, found in read_rows(file)] == [row, row]
    expected = {"lines apart": ["line 3", "line 6"], **dict.fromkeys(LISTED, ["item 1", "item 2"])}
    assert [place for place, _ in read_rows(file)] == expected.get(wrapping, ["line 1", "line 2"])
    first, second = getattr(lfs.data, reader)(file)
    assert first == second and TEXT in SAYS[reader](first)


@each
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda row: lines(row, b",\r\n"), "line 1: not JSON, column .*take away the comma at its end"),
        (lambda row: lines(row) + spelt(row) + b",", "line 3: not JSON, column .*take away the comma at its end"),
        (lambda row: lines(row) + b",\n", "line 3: not JSON, column 1: .*take away the comma at its end"),
        (lambda row: b"[" + lines(row, b",\r\n") + b"]", "line 3, column .*take away the comma before the ']'"),
        (lambda row: b"[\n" + lines(row) + b"]", "not JSON, line 3, column 1: Expecting ',' delimiter"),
        (lambda row: lines(row) + BOM + spelt(row), "line 3: not JSON, column 1: Unexpected UTF-8 BOM"),
        (lambda row: lines(row) + b"\0" * 9, "line 3: not JSON, column 1"),
        (lambda row: lines(row) + spelt(row)[:-1], "line 3: not JSON, .*it ends too early"),
        (lambda row: lines(row) + spelt(row)[:-20] + b"\xe9" + spelt(row)[-20:], "line 3: byte [0-9]+ is not UTF-8"),
        (lambda row: lines(row) + b"{}", "line 3: a row with the keys .. is no"),
        (lambda row: lines(row) + b"null", "line 3: a row with a NoneType is no"),
        (lambda row: spelt(row) + b"\r" + spelt(row), "not JSON, line 1, column [0-9]+: Extra data"),
        (lambda row: spelt([row, [], row]), "item 2: a row with a list is no"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, reader, broken, message):
    file = tmp_path / "rows"
    file.write_bytes(broken(ROWS[reader]))
    with pytest.raises(ValueError, match=message) as error:
        getattr(lfs.data, reader)(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
