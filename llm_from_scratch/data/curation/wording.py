"""The sentences of reports and of what went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def summary(report: Mapping[str, Any]) -> str:
    """In a sentence or two: which rules did most, and what could not be read."""
    removing = sorted((rule for rule in report["rules"] if rule["removed"]), key=lambda rule: -rule["removed"])
    changing = sorted((rule for rule in report["rules"] if rule["changed"]), key=lambda rule: -rule["changed"])
    parts = []
    if removing:
        most = removing[0]
        parts.append(f"{most['name']} removed most, {counted(most['removed'], 'document')}, {usual_reason(most)}.")
    else:
        parts.append("No document was removed.")
    if removing and 2 * removing[0]["removed"] > report["documents"]["read"]:
        name = removing[0]["name"]
        parts.append(f"If that is too much: --without {name}, or another setting of it (--rules lists them).")
    if changing:
        parts.append(f"{changing[0]['name']} changed most, {counted(changing[0]['changed'], 'document')}.")
    if report["skipped"]:
        parts.append(f"Skipped, because they could not be read: {_skipped(report)}.")
    return " ".join(parts)


def _skipped(numbers: Mapping[str, Any]) -> str:
    return ", ".join(f"{entry['count']:,} {reason}" for reason, entry in numbers["skipped"].items())


def usual_reason(rule: Mapping[str, Any]) -> str:
    """What a rule removed documents for most often, with an example if there is one among those that are kept."""
    kind = max(rule["reasons"].items(), key=lambda item: item[1]["count"])[0]
    for example in rule["examples"]["removed"]:
        if reason_kind(example["reason"]) == kind:
            return f"most often for such a reason: {example['reason']} ({example['place']})"
    return f"most often for: {kind}"


def reason_kind(reason: str) -> str:
    """A reason without its numbers, by which reasons are counted.

    >>> reason_kind("12 words, fewer than 50")
    '… words, fewer than …'
    """
    return re.sub(r"\d[\d.,]*", "…", reason)


def typed(value: Any) -> str:
    """A setting as `--set` takes it.

    >>> typed(True), typed([1, 2]), typed(0.5)
    ('on', '1,2', '0.5')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def counted(number: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "document"), counted(1200, "document")
    ('1 document', '1,200 documents')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """Per cent, without ever saying all or nothing where it is not.

    >>> share(1, 3), share(9999, 10000), share(1, 10000), share(0, 5)
    ('33 %', '99.9 %', '0.1 %', '0 %')
    """
    if not part or part >= whole:
        return "0 %" if not part else "100 %"
    per_cent = min(99.9, max(0.1, 100 * part / whole))
    return f"{per_cent:.0f} %" if 1 <= per_cent < 99 else f"{per_cent:.1f} %"


def changed_identity(key: str, old: Any, new: Any) -> str:
    """In which way a setting of a cleaning that was stopped differs from now."""
    if key == "files":
        changed = sorted({row[0] for row in [*old, *new] if row not in old or row not in new})
        return f"other files than there are now (another size, time or name: {', '.join(changed[:3])})"
    if key == "rules":
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        return f"other rules or settings ({', '.join(changed) or 'in another order'})"
    if key == "languages":  # they are found out for the report
        return "a --report, now without" if old else "no --report, now with one"
    return f"{key} {old}, now {new}"


def unreadable(names: Sequence[str], numbers: Mapping[str, Any]) -> str:
    """Why there was not one document."""
    if not numbers["skipped"]:
        return f"there is no text in {', '.join(names)}"
    reasons = [
        f"{entry['count']:,} {reason} (such as {entry['examples'][0]['place']}: {entry['examples'][0]['detail']})"
        for reason, entry in numbers["skipped"].items()
    ]
    return f"there is nothing that could be read in {', '.join(names)}: {'; '.join(reasons)}"


def nothing_left(numbers: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Which rule removed everything, and how it is loosened."""
    removed = sorted(
        ((rule["removed"], name) for name, rule in numbers["rules"].items() if rule["removed"]), reverse=True
    )
    count, name = removed[0]
    others = ", ".join(f"{name} {count:,}" for count, name in removed[1:])
    now = ", ".join(f"{key}={typed(value)}" for key, value in settings[name].items())
    read = counted(numbers["documents"]["read"], "document")
    besides = f" (and {_skipped(numbers)} could not be read)" if numbers["skipped"] else ""
    return (
        f"nothing is left of {read}{besides}, so nothing was written: the rule {name} removed {count:,} of them"
        f"{f' ({others})' if others else ''}, {usual_reason(numbers['rules'][name])}. "
        f"Go on without it (--without {name})" + (f", or loosen it (--set {name}.NAME=VALUE; now {now})" if now else "")
    )
