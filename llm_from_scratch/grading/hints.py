"""Which of a task's hints comes first: the one that is about what failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .session import CheckResult


def ranked_hints(titles: Sequence[str], failed: Sequence[CheckResult], checks: Sequence[str]) -> tuple[list[str], bool]:
    """The titles, best first, and whether the first is about a failure.

    A title begins with the name of a check, or with an exception or another message that a learner sees. One that
    names a check which did not fail is for another mistake, and comes last; between equals their own order stays.

    >>> titles = ["first_ids: one too many", "first_ids: one too few", "IndexError: list index out of range"]
    >>> known = ["first_ids", "other_ids"]
    >>> few = CheckResult("first_ids", "", "failed", "there is one id too few")
    >>> ranked_hints(titles, [few], known)[0][:2]
    ['first_ids: one too few', 'first_ids: one too many']
    >>> index = CheckResult("other_ids", "", "failed", "IndexError: index 3 is out of range")
    >>> ranked_hints(titles, [index], known)[0][0]
    'IndexError: list index out of range'
    >>> ranked_hints(titles, [CheckResult("other_ids", "", "failed", "expected 1, got 2")], known)[1]
    False
    >>> ranked_hints(["first_ids"], [few], known)[1]  # whatever failed in that check
    True
    >>> ranked_hints(titles, [], known)[0] == titles
    True
    """

    def fit(title: str) -> float:
        subject, _, rest = title.partition(":")
        about = _words(rest if subject in checks else title)
        best = 0.0
        for number, check in enumerate(failed):
            seen = _words(" ".join([check.message, check.cause, *check.mistakes]))
            shared = len(about & seen) / len(about) if about else 0.5
            if subject == check.name:  # what failed first is mended first; later checks often fail for the same reason
                best = max(best, 1.0 + shared if number == 0 else shared)
            elif subject not in checks and (
                shared >= ALIKE or subject.split()[0] in check.message.split(":")[0].split()
            ):
                best = max(best, 2.0 if number == 0 else 1.0)
        return best if best or subject not in checks or not failed else -1.0

    order = sorted(titles, key=fit, reverse=True)
    return order, bool(order) and fit(order[0]) >= FITS


FITS = 1.4  # the first check that failed, and something of what it said
ALIKE = 2 / 3  # of a title's words, seen in a message


_SAID_OF_ALL = {
    "wrong",
    "value",
    "values",
    "first",
    "expected",
    "got",
    "out",
    "the",
    "and",
    "are",
    "not",
    "with",
    "must",
}


def _words(text: str) -> set[str]:
    """The words that tell one failure from another."""
    return set(re.findall(r"[a-z0-9_]{3,}", text.lower())) - _SAID_OF_ALL
