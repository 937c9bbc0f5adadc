"""Tasks and chapters, read from files that are not run."""

from __future__ import annotations

import pytest
from grading_sandbox import SOLUTION, make_exercises

from llm_from_scratch.grading.tasks import find_exercises, read_tasks, select_chapters


def test_tasks_are_read_without_running_the_file():
    tasks = read_tasks("raise SystemExit\n" + SOLUTION.replace('"""Chapter', '"""Chapter'))
    assert [(t.name, t.points, t.difficulty, t.uses) for t in tasks] == [
        ("double", 2, "easy", ()), ("triple", 3, "hard", ("double",)),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="difficulty must be one of"):
        read_tasks(SOLUTION.replace('"hard"', '"heavy"'))
    with pytest.raises(ValueError, match="hints must be a literal"):
        read_tasks(SOLUTION.replace('{"it is 2 x": "Once more."}', "dict()"))
    with pytest.raises(ValueError, match="needs a docstring"):
        read_tasks(SOLUTION.replace('"""Three times x, with the help of `double`."""', "pass"))


def test_exercises_are_found_beside_the_package_and_above_a_folder(tmp_path, monkeypatch):
    assert (find_exercises() / "checks").is_dir()
    monkeypatch.setattr("llm_from_scratch.grading.tasks.__file__", str(tmp_path / "a" / "b" / "c" / "tasks.py"))
    with pytest.raises(FileNotFoundError, match="part of the repository"):
        find_exercises(tmp_path)
    make_exercises(tmp_path / "exercises")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    assert find_exercises(tmp_path / "deep" / "down") == tmp_path / "exercises"


def test_chapters_by_any_of_their_names(tmp_path):
    known = [make_exercises(tmp_path)]
    for word in (
        "ch99",
        "99",
        "ch99_doubling",
        "99_doubling",
        "ch99_doubling.py",
        "exercises/ch99_doubling.py",
    ):
        assert select_chapters(known, [word]) == known
    assert select_chapters(known, []) == known
