"""Wrong solutions, caught and missed."""

from __future__ import annotations

from grading_sandbox import make_exercises

from llm_from_scratch.grading.wrongs import sweep


def test_the_sweep_tells_caught_from_missed(tmp_path):
    verdicts = list(sweep(make_exercises(tmp_path)))
    assert [(v.wrong, v.caught) for v in verdicts] == [
        ("identity", True),
        ("twice only", True),
        ("missed", False),
    ]
    assert "likely cause: this is x itself." in verdicts[0].message
