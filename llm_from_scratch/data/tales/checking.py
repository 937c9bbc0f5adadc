"""Does a tale hold together? A small parser that works on any text, told by `telling` or written by a model.

`reading` knows the lexicon (`words`) and the conventions of the tales (`telling`), not the plots: a new story
passes when its people, pronouns, kinds, things and places agree with what it said before. It reads facts,
not style: a tale can pass every check and still be dull.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .reading import FAIL, NOT_APPLICABLE, PASS, Reader

CHECKS = ("words", "hero", "names", "kinds", "pronouns", "colours", "things", "return", "places", "ending", "form")


@dataclasses.dataclass(frozen=True)
class Report:
    """`results` maps each name in CHECKS to pass, fail or not applicable; `reasons` says why it failed."""

    results: dict[str, str]
    reasons: tuple[str, ...]

    @property
    def consistent(self) -> bool:
        """No check failed."""
        return FAIL not in self.results.values()

    @property
    def score(self) -> float:
        """Share of the applicable checks that passed, 0 to 1."""
        outcomes = [outcome for outcome in self.results.values() if outcome != NOT_APPLICABLE]
        return outcomes.count(PASS) / len(outcomes)


def consistency(text: str) -> Report:
    """Check one tale.

    >>> report = consistency("Once there was a fox named Tom. She lost her hat.")
    >>> report.results["pronouns"], report.consistent
    ('fail', False)
    >>> report.reasons[0]
    'hero: Tom is forgotten before the end'

    A text without an introduced hero fails everything that hangs on one; an empty text fails every check.
    """
    if not isinstance(text, str):
        raise TypeError(f"consistency takes the text of one tale, got {type(text).__name__}")
    reader = Reader(text)
    if not reader.tokens:
        return Report(dict.fromkeys(CHECKS, FAIL), ("the text is empty",))
    methods = {name: getattr(reader, "comes_back" if name == "return" else name) for name in CHECKS}
    results = {name: method() for name, method in methods.items()}
    return Report(results, tuple(reader.reasons))


check_tale = consistency


def consistency_score(texts: Iterable[str]) -> float:
    """Share of the texts in which no check failed, 0 to 1; 0 for no texts. One contradiction spoils a tale.

    >>> consistency_score(["", "word"])
    0.0
    """
    reports = [consistency(text) for text in texts]
    return sum(report.consistent for report in reports) / len(reports) if reports else 0.0


def summary(texts: Iterable[str]) -> dict[str, float]:
    """For each check the share of texts that pass among those it applies to, and "consistent" over all.

    A check that applied to no text is left out.
    """
    reports = [consistency(text) for text in texts]
    shares = {}
    for name in CHECKS:
        outcomes = [r.results[name] for r in reports if r.results[name] != NOT_APPLICABLE]
        if outcomes:
            shares[name] = outcomes.count(PASS) / len(outcomes)
    shares["consistent"] = sum(report.consistent for report in reports) / len(reports) if reports else 0.0
    return shares
