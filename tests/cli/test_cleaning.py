"""The command `data clean`, as it is typed."""

import json
import os
import random

import pytest

from llm_from_scratch.cli import main

PROSE = "The river rose in the night, and by morning it had reached the steps of the church and stood there. " * 3


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("resiliparse")
    place = tmp_path / "pages"
    place.mkdir()
    letters = "aeioubdklmnrst"
    for number, subject in enumerate(["bridge", "garden", "winter", "letter"]):
        rng = random.Random(number)
        words = " ".join("".join(rng.choices(letters, k=5)) for _ in range(60)) + " and that is the end"
        page = f"<!doctype html><nav>Home</nav><p>{words}. Write to {subject}@example.org.</p><script>x()</script>"
        (place / f"{subject}.html").write_text(page, encoding="utf-8")
    (place / "again.txt").write_text(" ".join((place / "again.txt").name for _ in range(3)), encoding="utf-8")
    (place / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    return place


def clean(*words):
    return main(["data", "clean", *map(str, words)])


def test_a_folder_of_pages(folder, tmp_path, capsys):
    out, report = tmp_path / "clean.jsonl", tmp_path / "report"
    assert clean(folder, out, "--report", report) == 0
    printed = capsys.readouterr()
    assert "  gopher " in printed.out and "1 removed" in printed.out and "80 % of the documents" in printed.out
    assert f"written to {out}; look at {report / 'report.html'}" in printed.out
    assert "skipped, binary: 1, such as" in printed.err and "picture.png: byte 0x00 at offset 8" in printed.err
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["source"] for row in rows] == sorted(
        str(folder / name) for name in os.listdir(folder) if "html" in name
    )
    assert all("|||EMAIL_ADDRESS|||" in row["text"] and "Home" not in row["text"] for row in rows)
    assert sorted(os.listdir(report)) == ["report.html", "report.json"]
    first = {path.name: path.read_bytes() for path in report.iterdir()}
    assert clean(folder, out, "--report", report, "--json") == 0  # again: the same, and over what was there
    assert json.loads(capsys.readouterr().out) == json.loads(first["report.json"])
    assert {path.name: path.read_bytes() for path in report.iterdir()} == first


def test_rules_are_listed_as_they_would_be(capsys):
    assert clean("--rules", "--without", "personal,near", "--with", "c4", "--set", "gopher.least_words=7") == 0
    out = capsys.readouterr().out
    assert "  on   c4 " in out and "  off  personal " in out and "  off  near " in out
    assert "least_words=7   (default 50)" in out and "refinedweb   html, normalise" in out
    assert clean("--rules", "--json") == 0
    rules = {rule["name"]: rule for rule in json.loads(capsys.readouterr().out)}
    assert rules["gopher"]["on"] and not rules["c4"]["on"] and rules["near"]["settings"]["threshold"] == 0.8


def test_settings_reach_the_rules(tmp_path, capsys):
    source, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": PROSE, "id": 1}) + "\n" + json.dumps({"text": "To be"}), encoding="utf-8")
    assert clean(source, out, "--preset", "light") == 0
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()][1] == {"text": "To be"}
    assert clean(source, out, "--without", "repetition") == 0
    (row,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert row == {"text": PROSE.strip(), "id": 1} or row == {"text": PROSE, "id": 1}
    evaluation = tmp_path / "evaluation.jsonl"
    evaluation.write_text(json.dumps({"question": PROSE[:95]}), encoding="utf-8")
    assert clean(source, out, "--preset", "light", "--evaluation", evaluation) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["text"] == "To be"


def test_evaluation_texts_that_are_too_short_are_named(tmp_path, capsys):
    items = tmp_path / "items.jsonl"
    items.write_text('{"q": "What walks on four legs in the morning and on two at noon?"}\n{"q": "2 + 2?"}\n', "utf-8")
    (tmp_path / "in.txt").write_text(PROSE, encoding="utf-8")
    assert clean(tmp_path / "in.txt", tmp_path / "out.jsonl", "--preset", "light", "--evaluation", items) == 0
    told = capsys.readouterr().err
    assert f"1 evaluation text too short to be looked for (fewer than 8 words): {items}, line 2" in told


def test_a_corpus_filtered_away(tmp_path, capsys):
    source, out, report = tmp_path / "a.txt", tmp_path / "out.jsonl", tmp_path / "report"
    source.write_text("To be, or not to be", encoding="utf-8")
    assert clean(source, out, "--report", report) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: nothing is left of 1 document,") and "the rule gopher removed 1" in message
    assert "--without gopher" in message and "least_words=50" in message and "report.html shows" in message
    assert not out.exists() and "fewer than 50" in (report / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "name what to clean and the file to write"),
        (["nowhere", "out.jsonl"], "nowhere does not exist"),
        (["tales:3", "out.jsonl", "--without", "gofer"], "there is no rule 'gofer': expected one of html"),
        (["tales:3", "out.jsonl", "--set", "gopher.least_words=many"], "expected a whole number"),
        (["tales:3", "out.jsonl", "--set", "gopher.least_words=-1"], "the rule gopher: least_words is -1"),
        (["tales:3", "out.jsonl", "--set", "gopher=1"], "a setting is written rule.name=value"),
        (["tales:3", "out.jsonl", "--set", "c4.braces=on"], "the rule c4 is off: switch it on (--with c4)"),
        (["tales:3", "out.jsonl", "--with", "quality"], "add --set quality.classifier=FILE"),
        (["tales:3", "out.jsonl", "--workers", "0"], "at least 1, got 0"),
        (["tales:3", "."], "is a directory"),
        (["tales:3", "out.jsonl", "--report", "file"], "file is a file: name a directory"),
        (["tales:3", "out.jsonl", "--preset", "light", "--without", "html,normalise,exact,near"], "no rule is left"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert clean(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]
