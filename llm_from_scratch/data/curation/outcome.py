"""One document through the rules, and what there is to tell about it: the work that processes share.

A worker keeps nothing between documents but which examples it has seen enough of.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .language import identify_language
from .pieces import words
from .records import Cursor, Record, Skipped, decoded
from .rule import Removed, Rule

EXAMPLES = 5  # of each rule and kind of example
SAMPLED = 400  # documents whose language is found out: a share is then known to about five of a hundred
UNSURE = "unsure"
_SHOWN = 240  # characters of an excerpt
_AROUND = 60  # of them, what stands before a change


@dataclass
class Outcome:
    """What came of a document. `line` is what is written of it, empty if nothing is.

    measures: `measured` of the text as it came (out of its HTML) and as it goes; passed: the rules that looked at it;
    changed: those that changed it, with the characters that each made more; keys: what the rules that remember other
    texts compare; examples: (rule, "changed" or "removed", order, what to show); language: order and code, of a
    document that is in the sample.
    """

    place: str
    origin: str
    cursor: Cursor
    size: int
    skipped: tuple[str, str] | None = None
    characters: int = 0
    measures: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    passed: list[str] = field(default_factory=list)
    changed: list[tuple[str, int]] = field(default_factory=list)
    removed: tuple[str, str] | None = None
    examples: list[tuple[str, str, int, dict[str, str]]] = field(default_factory=list)
    language: tuple[int, str] | None = None
    beginning: str = ""
    line: bytes = b""
    keys: list[Any] = field(default_factory=list)


class Treatment:
    """Applies rules in their order. extraction: the rule for HTML alone; remembering: rules whose `key` is wanted;
    languages: find them out, of a sample.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        extraction: Rule | None = None,
        remembering: Sequence[Any] = (),
        *,
        languages: bool = False,
    ) -> None:
        self.rules, self.extraction, self.remembering = tuple(rules), extraction, tuple(remembering)
        self.languages = languages
        self._enough: dict[tuple[str, str], list[int]] = {}

    def __call__(self, record: Record | Skipped) -> Outcome:
        """ValueError, naming document and rule, when a rule fails."""
        if isinstance(record, Skipped):
            why = (record.reason, record.detail)
            return Outcome(record.place, record.origin, record.cursor, record.size, skipped=why)
        outcome = Outcome(record.place, record.origin, record.cursor, len(record.data))
        try:
            found = decoded(record)
        except ImportError as error:
            raise ValueError(f"{record.place}: {error}") from error
        if isinstance(found, tuple):
            outcome.skipped = found
            return outcome
        text: str | None = found.text
        outcome.characters = len(found.text)
        if found.markup and self.extraction is not None:
            text = self._apply(self.extraction, found.text, outcome)
        if text is None:
            return outcome
        before = measured(text)
        if self.languages and (order := self.wanted("language", "sample", outcome.place, SAMPLED)) is not None:
            code, confidence = identify_language(text)
            outcome.language = order, code if confidence >= 0.5 else UNSURE
        came = text
        for rule in self.rules:
            text = self._apply(rule, text, outcome)
            if text is None:
                outcome.measures = (before, ())
                return outcome
        outcome.measures = (before, before if text is came else measured(text))
        outcome.beginning = excerpt(text)
        row = {**found.row, "text": text} if found.row is not None else {"text": text, "source": record.place}
        outcome.line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        outcome.keys = [rule.key(text) for rule in self.remembering]
        return outcome

    def keys_of(self, line: bytes) -> list[Any]:
        """What the remembering rules compare, of a line that was written."""
        text = json.loads(line)["text"]
        return [rule.key(text) for rule in self.remembering]

    def _apply(self, rule: Rule, text: str, outcome: Outcome) -> str | None:
        outcome.passed.append(rule.name)
        try:
            result = rule(text)
        except ImportError as error:
            raise ValueError(f"the rule {rule.name}: {error}. Or go on without it: --without {rule.name}") from error
        except Exception as error:
            raise ValueError(
                f"the rule {rule.name} failed on {outcome.place} ({type(error).__name__}: {error}): "
                f"go on without it (--without {rule.name}), or without that document"
            ) from error
        if isinstance(result, str) and result != text and not result.strip():
            result = Removed("nothing is left of it", text[:200])
        if isinstance(result, Removed):
            outcome.removed = (rule.name, result.reason)
            if (order := self.wanted(rule.name, "removed", outcome.place)) is not None:
                shown = {"reason": result.reason, "shown": clipped(result.shown), "beginning": excerpt(text)}
                outcome.examples.append((rule.name, "removed", order, {"place": outcome.place, **shown}))
            return None
        if result != text:
            outcome.changed.append((rule.name, len(result) - len(text)))
            if (order := self.wanted(rule.name, "changed", outcome.place)) is not None:
                pair = dict(zip(("before", "after"), difference(text, result)))
                outcome.examples.append((rule.name, "changed", order, {"place": outcome.place, **pair}))
        return result

    def wanted(self, name: str, kind: str, place: str, most: int = EXAMPLES) -> int | None:
        """The order of an example among those of its rule, unless enough come before it.

        The order is a digest of the place: the examples that are kept are spread over the whole corpus, and the same
        however the work was shared out.
        """
        order = int.from_bytes(hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=6).digest(), "big")
        enough = self._enough.setdefault((name, kind), [])
        if len(enough) == most and order >= -enough[0]:
            return None
        (heapq.heappush if len(enough) < most else heapq.heappushpop)(enough, -order)
        return order


def measured(text: str) -> tuple[int, ...]:
    """Characters, words, lines, characters that are no white space, bytes, bytes after compression.

    >>> measured("a rose is a rose")[:4]
    (16, 5, 1, 12)
    """
    found = words(text)
    data = text.encode("utf-8", "replace")
    lines = text.count("\n") + 1
    return len(text), len(found), lines, sum(map(len, found)), len(data), len(zlib.compress(data, 1))


def excerpt(text: str) -> str:
    """The beginning of a text.

    >>> excerpt("to be")
    'to be'
    """
    return clipped(text[: 2 * _SHOWN].strip())


def clipped(text: str) -> str:
    """At most some two hundred characters in eight lines, with a sign where more were."""
    part = "\n".join(text[:_SHOWN].split("\n", 8)[:8])
    return text if len(text) == len(part) else part + " …"


def difference(before: str, after: str) -> tuple[str, str]:
    """Of two texts, the stretch between what they have in common at their beginnings and ends, with a bit around.

    >>> difference("write to me@home.org, now", "write to <email>, now")
    ('write to me@home.org, now', 'write to <email>, now')
    """
    begin = common(before, after)
    end = common(before[begin:][::-1], after[begin:][::-1])
    start = max(0, begin - _AROUND)
    sign = "… " if start else ""
    return tuple(  # type: ignore[return-value]
        sign + clipped(text[start : len(text) - end + min(end, _AROUND)]) for text in (before, after)
    )


def common(first: str, second: str) -> int:
    """How many characters two texts have in common at their beginning, by bisection: comparing slices is quick."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
