"""The learner's file, cut from the worked solution."""

from __future__ import annotations

import ast

from grading_sandbox import SOLUTION, make_exercises

from llm_from_scratch.grading.generate import learner_source, write_learner_file


def test_the_learners_file_has_contracts_but_no_solutions():
    text = learner_source(SOLUTION.lstrip(), "ch99_doubling")
    names = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert list(names) == ["given", "double", "triple"]
    assert "return x\n" in text and "2 * given" not in text and "x + double" not in text
    assert "@task" not in text and "llm_from_scratch.grading import" not in text and "By two" not in text
    assert ">>> double(np.array([1.0]))" in text
    assert "# Task 2 of 2: hard, about 5 minutes, 3 points\ndef triple(" in text


def test_writing_the_learners_file_is_repeatable(tmp_path):
    chapter = make_exercises(tmp_path)
    assert write_learner_file(chapter) is True
    assert write_learner_file(chapter) is False
