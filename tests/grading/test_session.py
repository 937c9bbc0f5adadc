"""The checks of a task, run one after the other."""

from __future__ import annotations

from grading_sandbox import make_exercises

from llm_from_scratch.grading.runner import FIXED_SEED
from llm_from_scratch.grading.session import run_task
from llm_from_scratch.grading.wrongs import load


def test_a_task_without_checks_does_not_pass(tmp_path):
    chapter = make_exercises(tmp_path)
    worked, checks = load(chapter.solution, "w"), load(chapter.checks, "c")
    checks.CHECKS = [c for c in checks.CHECKS if c.task != "double"]
    results = list(run_task(chapter.tasks()[0], checks, worked, worked, [FIXED_SEED], chapter.file_name))
    assert [r.status for r in results] == ["broken"]
