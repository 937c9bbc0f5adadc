"""What kind of data a file holds, and one shape from another."""

import itertools
import json

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import assistant as world
from llm_from_scratch.data.tuning_files import KINDS, convert, kind_of


def put(folder, *rows):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "rows.jsonl"


SAID = {
    "instruction": "Q",
    "completions": [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": 2}],
}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"instruction": "Q", "output": "A"}, "dialogues"),
        (
            {"prompt": "Q", "chosen": "a", "rejected": "b", "messages": [{"role": "user", "content": "Q"}]},
            "preferences",
        ),
        ({"prompt": "Q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}, "rankings"),
        (next(world.ratings(0)), "ratings"),
        (SAID, "rankings"),
    ],
)
def test_the_kind_is_known_by_the_rows(tmp_path, row, kind):
    assert kind_of(put(tmp_path, row, row)) == kind
    assert kind_of(put(tmp_path, {"instruction": "x", "output": ""}, row)) == kind  # a wrong row in front


def test_what_is_of_no_kind(tmp_path):
    with pytest.raises(ValueError, match="rows with the keys .'a'. are of no known shape. Known: HelpSteer"):
        kind_of(put(tmp_path, {"a": 1}))
    (tmp_path / "empty.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="empty.json holds no rows"):
        kind_of(tmp_path / "empty.json")
    with pytest.raises(ValueError, match="item 1: Alpaca: what the assistant says is empty"):
        kind_of(put(tmp_path, {"instruction": "Q", "output": ""}))


def test_converted_and_read_again(tmp_path):
    sources = {
        "dialogues": [
            [*t.messages, {"role": "assistant", "content": t.answer}] for t in itertools.islice(world.tasks(1), 9)
        ],
        "preferences": list(itertools.islice(world.preferences(1), 9)),
        "rankings": list(itertools.islice(world.rankings(1), 9)),
        "ratings": list(itertools.islice(world.ratings(1), 9)),
    }
    readers = {kind: getattr(lfs.data, f"read_{kind}") for kind in KINDS}
    for kind, rows in sources.items():
        assert convert(put(tmp_path, *rows), tmp_path / "out.jsonl") == (kind, 9)
        assert readers[kind](tmp_path / "out.jsonl") == rows
    assert convert(put(tmp_path, SAID), tmp_path / "out.jsonl", kind="preferences") == ("preferences", 1)
    assert readers["preferences"](tmp_path / "out.jsonl")[0]["chosen"][0]["content"] == "b"
    with pytest.raises(ValueError, match="kind must be one of"):
        convert(put(tmp_path, SAID), tmp_path / "out.jsonl", kind="pairs")
    before = (tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(ValueError, match="line 2"):
        convert(
            put(tmp_path, {"prompt": "Q", "response": "A"}, {"prompt": "Q", "response": ""}), tmp_path / "out.jsonl"
        )
    assert (tmp_path / "out.jsonl").read_bytes() == before
