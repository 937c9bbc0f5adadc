"""Counts what came of the documents, in numbers that JSON holds, so that a cleaning that was stopped goes on counting.

Everything is a sum or the least of what was seen: the same at the end however the work was shared out.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from .outcome import EXAMPLES, SAMPLED, Outcome
from .wording import reason_kind

# Six steps a decade, and steps of a half character or a tenth: edges that a reader can read.
_DECADES = [round(base * 10**decade) for decade in range(7) for base in (1, 1.5, 2.2, 3.3, 4.7, 6.8)]
EDGES: dict[str, list[float]] = {
    "words": sorted(set(_DECADES)),
    "characters per word": [round(0.25 * step, 2) for step in range(8, 41)],
    "words per line": sorted({edge for edge in _DECADES if edge <= 1000}),
    "compression": [round(0.2 * step, 1) for step in range(3, 41)],
}
_MOST = 100  # sources, and kinds of reasons, that are told apart
OTHERS = "(others)"


class Tally:
    """The numbers of a cleaning; `numbers` is all there is of it, and JSON.

    rules: their names, in order.
    """

    def __init__(self, rules: Sequence[str], numbers: dict[str, Any] | None = None) -> None:
        self.numbers: dict[str, Any] = numbers or {
            "documents": {"read": 0, "kept": 0},
            "characters": {"read": 0, "kept": 0},
            "bytes_read": 0,
            "skipped": {},
            "rules": {
                name: {"seen": 0, "removed": 0, "removed_characters": 0, "changed": 0, "added_characters": 0,
                       "reasons": {}, "examples": {"removed": [], "changed": []}}
                for name in rules
            },
            "sources": {},
            "languages": [],
            "histograms": {
                name: {"edges": edges, "before": [0] * (len(edges) + 1), "after": [0] * (len(edges) + 1)}
                for name, edges in EDGES.items()
            },
        }  # fmt: skip

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        numbers = self.numbers
        numbers["bytes_read"] += outcome.size
        source = _entry(numbers["sources"], outcome.origin, {"read": 0, "kept": 0, "skipped": 0, "characters": 0,
                                                             "characters_kept": 0})  # fmt: skip
        if outcome.skipped is not None:
            reason, detail = outcome.skipped
            source["skipped"] += 1
            skipped = _entry(numbers["skipped"], reason, {"count": 0, "bytes": 0, "examples": []})
            skipped["count"] += 1
            skipped["bytes"] += outcome.size
            if len(skipped["examples"]) < EXAMPLES:
                skipped["examples"].append({"place": outcome.place, "detail": detail})
            return
        numbers["documents"]["read"] += 1
        numbers["characters"]["read"] += outcome.characters
        source["read"] += 1
        source["characters"] += outcome.characters
        left = self._rules(outcome)
        if outcome.language is not None:
            bisect.insort(numbers["languages"], [*outcome.language, outcome.removed is None])
            del numbers["languages"][SAMPLED:]
        if outcome.measures is not None:
            self._measures("before", outcome.measures[0])
        if outcome.removed is None:
            numbers["documents"]["kept"] += 1
            numbers["characters"]["kept"] += left
            source["kept"] += 1
            source["characters_kept"] += left
            if outcome.measures is not None:
                self._measures("after", outcome.measures[1])

    def _rules(self, outcome: Outcome) -> int:
        """Counts for each rule; the characters that are left after the last one that the document reached."""
        left = outcome.characters
        changed = dict(outcome.changed)
        for name in outcome.passed:
            rule = self.numbers["rules"][name]
            rule["seen"] += 1
            if name in changed:
                rule["changed"] += 1
                rule["added_characters"] += changed[name]
                left += changed[name]
            if outcome.removed is not None and outcome.removed[0] == name:
                rule["removed"] += 1
                rule["removed_characters"] += left
                reasons = _entry(rule["reasons"], reason_kind(outcome.removed[1]), {"count": 0})
                reasons["count"] += 1
        for name, kind, order, shown in outcome.examples:
            examples = self.numbers["rules"][name]["examples"][kind]
            bisect.insort(examples, {"order": order, **shown}, key=lambda example: example["order"])
            del examples[EXAMPLES:]
        return left

    def _measures(self, when: str, measures: tuple[int, ...]) -> None:
        _, words, lines, letters, size, compressed = measures
        values = {
            "words": words,
            "characters per word": letters / max(1, words),
            "words per line": words / lines,
            "compression": size / compressed,
        }
        for name, value in values.items():
            histogram = self.numbers["histograms"][name]
            histogram[when][bisect.bisect_right(histogram["edges"], value)] += 1


def _entry(table: dict[str, Any], key: str, new: dict[str, Any]) -> dict[str, Any]:
    """The entry of a key; of keys beyond the first hundred, one for all."""
    if key not in table and len(table) >= _MOST:
        key = OTHERS
    return table.setdefault(key, new)
