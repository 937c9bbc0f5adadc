"""Which hint comes first."""

from __future__ import annotations

from llm_from_scratch.grading.hints import ranked_hints
from llm_from_scratch.grading.session import CheckResult


def test_hints_for_another_mistake_come_last():
    failed = [CheckResult("second", "", "failed", "expected 1, got 2")]
    titles, fits = ranked_hints(["first: a", "ValueError: b", "second: c"], failed, ["first", "second"])
    assert titles == ["second: c", "ValueError: b", "first: a"] and fits
    assert not ranked_hints(["first: a", "ValueError: b"], failed, ["first", "second"])[1]
