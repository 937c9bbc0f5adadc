"""The exercises hold together: worked solutions and other right ones pass, wrong ones fail the check meant for them."""

from __future__ import annotations

import ast
import doctest
import re
from functools import lru_cache

import pytest

from llm_from_scratch.grading.generate import learner_source
from llm_from_scratch.grading.registry import collect
from llm_from_scratch.grading.runner import Limits, grade_chapter
from llm_from_scratch.grading.session import FIXED_SEED, run_task
from llm_from_scratch.grading.tasks import find_chapters, find_exercises
from llm_from_scratch.grading.wrongs import FEWEST_WRONGS, load, patched_source, read_wrongs, sweep

CHAPTERS = {chapter.name: chapter for chapter in find_chapters(find_exercises())}
TASKS = [(name, task.name) for name, chapter in CHAPTERS.items() for task in chapter.tasks()]
WRONGS = [
    (name, task, wrong)
    for name, chapter in CHAPTERS.items()
    for task, patches in read_wrongs(chapter).items()
    for wrong in patches
]


@lru_cache
def verdicts(chapter: str):
    return {(v.task, v.wrong): v for v in sweep(CHAPTERS[chapter], seed=FIXED_SEED)}


@lru_cache
def modules(chapter: str):
    files = CHAPTERS[chapter]
    return load(files.solution, "worked_" + chapter), load(files.checks, "checks_" + chapter)


def _functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def test_there_are_exercises():
    assert {"ch02_tokenizer", "ch04_backprop", "ch05_adam"} <= set(CHAPTERS)
    for folder in ("checks", "wrongs", "rights"):
        files = {path.stem for path in (find_exercises() / folder).glob("ch*.py")}
        assert files == set(CHAPTERS), f"{folder} and solutions belong together"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_learners_file_is_in_step_with_the_solution(chapter):
    files = CHAPTERS[chapter]
    written = files.learner_file.read_text(encoding="utf-8")
    assert written == learner_source(files.source(), chapter), "run: python -m llm_from_scratch.grading write"
    functions = _functions(written)
    for task in files.tasks():
        body = functions[task.name].body
        assert len(body) == 2 and isinstance(body[1], ast.Raise), f"{task.name} gives something away"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_three_to_six_tasks_with_enough_wrong_solutions(chapter):
    files, wrongs = CHAPTERS[chapter], read_wrongs(CHAPTERS[chapter])
    tasks = files.tasks()
    assert 3 <= len(tasks) <= 6
    assert list(wrongs) == [task.name for task in tasks]
    _, checks = modules(chapter)
    for task in tasks:
        assert len(wrongs[task.name]) >= FEWEST_WRONGS, task.name
        names = {check.name for check in collect(checks, task.name)}
        assert names, task.name
        assert {meant for _, _, meant in wrongs[task.name].values()} <= names, task.name
        assert set(task.uses) <= {t.name for t in tasks}
        assert len(task.hints) >= 3 and len(task.why) > 200, task.name


@pytest.mark.parametrize("chapter, name", TASKS)
def test_hints_are_titled_by_what_a_learner_sees(chapter, name):
    """The name of a failing check, an exception, or the message of the watchdog."""
    _, checks = modules(chapter)
    names = {check.name for check in collect(checks, name)}
    task = next(t for t in CHAPTERS[chapter].tasks() if t.name == name)
    for title in task.hints:
        assert title.split(":")[0] in names or re.match(r"\w+(Error|Warning)\b|stopped after", title), title


@pytest.mark.parametrize("chapter, name, wrong", WRONGS)
def test_a_wrong_solution_fails_the_check_meant_for_it(chapter, name, wrong):
    verdict = verdicts(chapter)[name, wrong]
    assert verdict.caught, f"{verdict.meant_check} let it pass; failing: {verdict.failing}"
    assert not any(result.status == "broken" for result in verdict.results), verdict.results


@pytest.mark.parametrize("chapter, name", TASKS)
def test_every_check_is_needed_by_some_wrong_solution(chapter, name):
    """A check that no wrong solution fails has not been seen to work."""
    _, checks = modules(chapter)
    failed = {check for (task, _), v in verdicts(chapter).items() if task == name for check in v.failing}
    assert {check.name for check in collect(checks, name)} <= failed


@pytest.mark.parametrize("chapter, name", TASKS)
def test_the_worked_solution_passes_with_many_seeds(chapter, name):
    worked, checks = modules(chapter)
    task = next(t for t in CHAPTERS[chapter].tasks() if t.name == name)
    for seed in (FIXED_SEED, 0, 1, 77, 123_456, 999_999):
        for result in run_task(task, checks, worked, worked, [seed], CHAPTERS[chapter].file_name):
            assert result.passed, (seed, result)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_examples_in_the_contracts_are_true(chapter):
    worked, _ = modules(chapter)
    finder = doctest.DocTestFinder(recurse=False)
    for task in CHAPTERS[chapter].tasks():
        (example,) = finder.find(vars(worked)[task.name], task.name, globs=dict(vars(worked)))
        assert example.examples, f"{task.name} has no worked example"
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_solutions_pass_and_learners_files_are_not_started_in_the_child(chapter):
    files = CHAPTERS[chapter]
    solved = grade_chapter(files, files.solution, files.tasks(), seed=31, limits=Limits())
    assert solved.passed, solved
    fresh = grade_chapter(files, files.learner_file, files.tasks(), seed=31, limits=Limits())
    assert [t.status for t in fresh.tasks] == ["not started"] * len(fresh.tasks)
    assert not fresh.unloadable and not fresh.passed


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_right_answers_that_look_nothing_like_the_worked_ones_pass(chapter):
    """A grader may not insist on one way."""
    files = CHAPTERS[chapter]
    worked, other = (_functions(path.read_text(encoding="utf-8")) for path in (files.solution, files.rights))
    for task in files.tasks():
        assert ast.dump(ast.Module(worked[task.name].body[1:], [])) != ast.dump(ast.Module(other[task.name].body, []))
    report = grade_chapter(files, files.rights, files.tasks(), seed=404, limits=Limits())
    failures = {task.task.name: [check for check in task.checks if not check.passed] for task in report.tasks}
    assert report.passed and not report.unloadable, failures


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_some_wrong_solutions_through_the_child(chapter, tmp_path):
    """The sweep runs in this process; here one wrong solution of every task takes the learner's way."""
    files, wrongs = CHAPTERS[chapter], read_wrongs(CHAPTERS[chapter])
    source, meant = files.source(), {}
    for task in reversed(files.tasks()):  # from the end, so that line numbers above stay true
        old, new, check = list(wrongs[task.name].values())[0]
        source = patched_source(source, task, old, new)
        meant[task.name] = check
    file = tmp_path / files.file_name
    file.write_text(source, encoding="utf-8")
    report = grade_chapter(files, file, files.tasks(), seed=31, limits=Limits())
    for task in report.tasks:
        assert task.status == "failed"
        assert meant[task.task.name] in [c.name for c in task.checks if c.status == "failed"]
