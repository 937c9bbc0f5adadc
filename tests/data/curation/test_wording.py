"""The sentences say what the numbers do."""

import pytest

from llm_from_scratch.data.curation.wording import changed_identity, share, summary, typed


def rule(name, removed=0, changed=0, reasons=()):
    return {
        "name": name,
        "removed": removed,
        "changed": changed,
        "reasons": {text: {"count": n} for text, n in reasons},
        "examples": {"removed": [{"place": "a", "reason": "3 few"}, {"place": "b", "reason": "40 too many"}]},
    }


def test_summary():
    report = {"documents": {"read": 10}, "skipped": {}, "rules": [rule("a"), rule("b")]}
    assert summary(report) == "No document was removed."
    report["rules"] = [rule("a", 2, 3, [("x", 2)]), rule("b", 6, 1, [("few", 1), ("… too many", 5)])]
    report["skipped"] = {"binary": {"count": 2}}
    assert summary(report) == (
        "b removed most, 6 documents, most often for such a reason: 40 too many (b). If that is too much: --without b, "
        "or another setting of it (--rules lists them). a changed most, 3 documents. "
        "Skipped, because they could not be read: 2 binary."
    )
    report["rules"][1]["removed"] = 5
    assert "too much" not in summary(report)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 2, "50 %"),
        (0, 0, "0 %"),
        (5, 5, "100 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 10**6, "0.1 %"),
        (995, 1000, "99.5 %"),
    ],
)
def test_shares_never_round_to_all_or_nothing(part, whole, text):
    assert share(part, whole) == text


def test_a_report_that_was_asked_for_or_not_is_named():
    assert changed_identity("languages", False, True) == "no --report, now with one"
    assert changed_identity("languages", True, False) == "a --report, now without"


def test_settings_and_changes():
    assert typed(False) == "off" and typed(["a", "b"]) == "a,b"
    assert changed_identity("split", "line", "document") == "split line, now document"
    assert changed_identity("rules", {"a": 1}, {"a": 1, "b": 2}) == "other rules or settings (b)"
    assert "another order" in changed_identity("rules", {"a": 1, "b": 2}, {"b": 2, "a": 1})
