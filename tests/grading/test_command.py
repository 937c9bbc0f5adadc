"""The command a learner types: which folder, which tasks, what is printed, what is written, the exit code."""

from __future__ import annotations

import argparse
import json

import pytest
from grading_sandbox import GOOD_DOUBLE, GOOD_TRIPLE, HEAD, make_exercises, write_learner

from llm_from_scratch.cli import grade


@pytest.fixture
def exercises(tmp_path, monkeypatch):
    chapter = make_exercises(tmp_path / "clone" / "exercises")
    monkeypatch.setattr(grade, "find_exercises", lambda: chapter.root)
    monkeypatch.chdir(tmp_path)
    return chapter


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    grade.add_arguments(parser)
    return grade.run(parser.parse_args(list(arguments)))


def test_start_copies_and_never_overwrites(exercises, tmp_path, capsys):
    assert run("--start", "mine") == 0
    file = tmp_path / "mine" / "ch99_doubling.py"
    assert 'raise NotImplementedError("double")' in file.read_text(encoding="utf-8")
    assert run("--start", "mine") == 0
    assert "already there" in capsys.readouterr().out
    file.write_text("my work", encoding="utf-8")
    assert run("--start", "mine") == 1
    assert "NOT copied" in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == "my work"


def test_start_into_a_file_is_refused(exercises, tmp_path, capsys):
    (tmp_path / "mine").write_text("a file", encoding="utf-8")
    assert run("--start", "mine") == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_untouched_files_are_not_started(exercises, tmp_path, capsys):
    run("--start", "mine")
    assert run("--dir", "mine") == 1
    out = capsys.readouterr().out
    assert out.count(" not started ") >= 2 and "FAIL" not in out
    assert "Total: 0 of 5 points; tasks: 2 not started." in out


def test_a_pass_a_failure_and_json(exercises, tmp_path, capsys):
    write_learner(tmp_path, "print('here I am')\nreturn x")
    assert run("--seed", "5", "--json", "out.json") == 1
    out = capsys.readouterr().out
    assert str(tmp_path) in out.splitlines()[0]
    assert "--seed 5 repeats this run" in out
    assert "FAIL   doubles: agrees with x + x" in out
    assert "likely cause: this is x itself." in out
    assert "| here I am" in out
    assert "Total: 3 of 5 points; tasks: 1 passed, 1 failed." in out
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (written["points"], written["out_of"], written["passed"], written["seed"]) == (3, 5, False, 5)
    tasks = written["chapters"][0]["tasks"]
    assert [(t["task"], t["status"]) for t in tasks] == [("double", "failed"), ("triple", "passed")]
    assert tasks[0]["checks"][0]["message"].startswith("y[0]: expected ")


def test_everything_asked_for_passes(exercises, tmp_path):
    write_learner(tmp_path, "return x")
    assert run("--task", "triple") == 0
    assert run() == 1
    (tmp_path / "ch99_doubling.py").write_text(HEAD + GOOD_DOUBLE + GOOD_TRIPLE, encoding="utf-8")
    assert run("99") == 0


def test_failure_only_on_the_fresh_seed_names_it(exercises, tmp_path, capsys):
    # the first call has the fixed seed, the second the fresh one
    write_learner(tmp_path, "double.n = getattr(double, 'n', 0) + 1; return x * (2 if double.n == 1 else 3)")
    assert run("--seed", "123") == 1
    out = capsys.readouterr().out
    assert "(with the inputs of seed 123)" in out and "every value is 1.5 times the right one" in out


def test_hints_unfold_step_by_step(exercises, tmp_path, capsys):
    write_learner(tmp_path, "return x")
    run("--hint")
    one = capsys.readouterr().out
    assert 'these very answers come of a known mistake: "identity".' in one
    assert "2 * given(x)" not in one, "a mistake is named, the worked solution is not shown"
    assert "1. it is x" in one and "Multiply." in one and "2. it is 3 x" in one and "By two." not in one
    run("--hint", "--hint")
    assert "By two." in capsys.readouterr().out


def test_a_hint_titled_by_the_error_unfolds_at_once(exercises, tmp_path, capsys):
    text = exercises.source().replace('"it is 3 x"', '"ValueError: cannot reshape array"')
    exercises.solution.write_text(text, encoding="utf-8")
    write_learner(tmp_path, "return x.reshape(2)")
    run("--hint")
    assert "ValueError: cannot reshape array\n         By two." in capsys.readouterr().out


def test_solution_is_shown_with_its_reason(exercises, capsys):
    assert run("--solution", "--task", "double") == 0
    out = capsys.readouterr().out
    assert "return 2 * given(x)" in out and "Two halves." in out
    assert run("--solution") == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["ch07"], "no exercise called 'ch07'. Known: ch99_doubling"),
        (["--task", "quadruple"], "no task called 'quadruple'. Known: double, triple"),
        (["--dir", "nowhere"], "no folder nowhere"),
        (["--dir", "."], "has no ch99_doubling.py"),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--seconds", "0"], "--seconds must be positive"),
        (["--seconds", "nan"], "--seconds must be positive"),
        (["--memory", "0"], "--memory must be at least"),
        (["--json", "nowhere/out.json"], "there is no folder"),
    ],
)
def test_questions_that_make_no_sense(exercises, capsys, arguments, words):
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err


def test_the_folder_that_is_graded(exercises, tmp_path, monkeypatch, capsys):
    file = write_learner(tmp_path, "return 2 * x")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    run("--start", "exercises")
    run()
    assert f"Grading the files in {tmp_path / 'sub' / 'exercises'}" in capsys.readouterr().out
    assert run("--dir", str(file.parent)) == 0
    # nothing here: the repository's own folder, once its learner's file exists
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    (exercises.root / "ch99_doubling.py").write_text(HEAD + GOOD_DOUBLE + GOOD_TRIPLE, encoding="utf-8")
    assert run() == 0


def test_output_that_the_terminal_cannot_show(exercises, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(grade.sys.stdout, "_encoding", "ascii", raising=False)
    write_learner(tmp_path, "print('\\u0159\\ud800'); return x")
    assert run() == 1
    assert "Your code printed" in capsys.readouterr().out


def test_every_failure_is_told_and_part_of_the_points_given(exercises, tmp_path, capsys):
    write_learner(tmp_path, "return 2.0 * x.astype(float)")
    assert run() == 1
    out = capsys.readouterr().out
    assert "1.3 of 2 points" in out and "Total: 4.3 of 5 points" in out
    write_learner(tmp_path, "return x")
    run()
    out = capsys.readouterr().out
    assert "0 of 2 points" in out, "leaving the inputs alone is no answer"
    assert "FAIL   doubles" in out and "FAIL   keeps_float32" in out and "y[0]: expected 2, got 1" in out
    write_learner(tmp_path, "return x.nonsense")
    run()
    assert capsys.readouterr().out.count("the same as in") == 0  # the calls differ, and are told
    write_learner(tmp_path, "import os; os._exit(3)")
    run()
    out = capsys.readouterr().out
    assert "FAIL   doubles" in out and "skipped keeps_float32" in out


def test_output_cannot_move_the_cursor(exercises, tmp_path, capsys):
    write_learner(tmp_path, "print('\\x1b[2Jall is well'); raise ValueError('\\x1b[1A')")
    assert run() == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b[2Jall is well" in out
