"""evaluate: tables, JSON, pictures, interruption, comparison; and mistakes, each in one line."""

import json
from pathlib import Path

import pytest

from llm_from_scratch import cli

MODEL = str(Path(__file__).parents[2] / "chapters" / "tales_model")
QUICK = ["--model", MODEL, "--items", "6", "--threads", "1"]


def evaluate(*options):
    return cli.main(["evaluate", *map(str, options)])


def test_a_table_files_and_again_from_what_was_kept(tmp_path, capsys):
    options = [*QUICK, "--task", "agreement", "--task", "needle:30", "--out", tmp_path, "--contamination", "tales:3"]
    assert evaluate(*options) == 0
    out = capsys.readouterr().out
    assert "agreement" in out and "needle:30" in out and "choices alone" in out and "contaminated" in out
    assert {p.name for p in tmp_path.iterdir()} == {"scores.jsonl", "results.json", "results.png"}
    scores = (tmp_path / "scores.jsonl").read_bytes()
    assert evaluate(*options) == 0
    assert (tmp_path / "scores.jsonl").read_bytes() == scores and capsys.readouterr().out == out


def test_json_and_a_file_of_items(tmp_path, capsys):
    rows = [{"question": "Is it?", "choices": ["yes", "no"], "answer": k % 2} for k in range(4)]
    path = tmp_path / "exam.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert evaluate(*QUICK, "--task", path, "--shots", 1, "--limit", 3, "--json", "--plot", tmp_path / "a.png") == 0
    told = json.loads(capsys.readouterr().out)["outcomes"][0]
    assert told["task"] == "exam" and told["count"] == 3 and told["settings"]["shots"] == 1
    assert (tmp_path / "a.png").exists()


def test_perplexity_and_comparison(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("The red kite flew over the hill. " * 40, encoding="utf-8")
    for name, limit in (("a", "6"), ("b", "4")):
        extra = ["--task", "perplexity", "--data", text, "--context", "64", "--out", tmp_path / name]
        assert evaluate("--model", MODEL, "--task", "arithmetic", "--items", limit, "--threads", "1", *extra) == 0
    assert "perplexity per word" in capsys.readouterr().out
    assert evaluate("compare", tmp_path / "a", tmp_path / "b", "--json") == 0
    told = json.loads(capsys.readouterr().out)["comparisons"]
    assert [one["value"] for one in told] == [0.0, 0.0] and told[0]["missing"] == 2 and told[0]["count"] == 4
    assert evaluate("compare", tmp_path / "a", tmp_path / "b") == 0
    out = capsys.readouterr().out
    assert "2 items that only one of them was asked" in out and "no difference that chance could not make" in out


def test_tasks_are_listed_and_written(tmp_path, capsys):
    assert evaluate("tasks") == 0
    assert "HellaSwag" in capsys.readouterr().out
    assert evaluate("tasks", "--json") == 0
    assert "induction" in json.loads(capsys.readouterr().out)
    path = tmp_path / "items.jsonl"
    assert evaluate("--task", "induction", "--items", "5", "--save-items", path) == 0
    assert len(path.read_text().splitlines()) == 5
    assert evaluate(*QUICK, "--task", path) == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "name at least one --task"),
        (["--task", "agreement"], "name a --model"),
        (["--model", MODEL, "--task", "reading"], "there is no task and no file 'reading'"),
        (["--model", "nowhere", "--task", "agreement"], "there is no model nowhere"),
        (["--model", MODEL, "--task", "perplexity"], "needs --data"),
        (["--model", MODEL, "--task", "agreement", "--limit", "0"], "a limit of items"),
        (["--model", MODEL, "--task", "agreement", "--task", "agreement"], "a task was named twice"),
        (["--model", MODEL, "--task", "needle:900", "--items", "1"], "the model's context is 512"),
        (["compare", "a"], "compare takes two directories"),
        (["compare", "a", "b"], "there are no results in a"),
        (["--task", "agreement", "--task", "needle", "--save-items", "x"], "writes the items of one task"),
    ],
)
def test_mistakes_are_told_in_one_line(options, message, capsys):
    assert evaluate(*options) == 2
    err = capsys.readouterr().err.strip()
    assert message in err.splitlines()[-1] and "Traceback" not in err


def test_items_without_an_answer_are_named_before_a_model_is_loaded(tmp_path, capsys):
    path = tmp_path / "exam.jsonl"
    path.write_text('{"context": "a", "choices": ["b", "c"], "answer": null}\n', encoding="utf-8")
    assert evaluate("--model", "nowhere", "--task", path) == 2
    assert "exam.jsonl, item 1: has no right answer" in capsys.readouterr().err
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"turns": ["Hi"]}\n', encoding="utf-8")
    assert evaluate("--model", MODEL, "--task", talk) == 2
    assert "--against" in capsys.readouterr().err
