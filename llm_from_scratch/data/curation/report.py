"""The report of a cleaning: `report.json` with its numbers, and `report.html`, one file, to be looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files.atomic import write_json, write_text
from .chain import Chain, settings_of
from .page import page
from .reading import Inputs, as_text

PAGE, NUMBERS = "report.html", "report.json"


def complete(numbers: Mapping[str, Any], inputs: Inputs, chain: Chain) -> dict[str, Any]:
    """The numbers of a cleaning (`Tally`), with what the rules were and what was read.

    Rules become a list, in their order, and the sample of languages becomes counts.
    """
    languages: dict[str, dict[str, int]] = {}
    for _, code, kept in numbers["languages"]:
        counts = languages.setdefault(code, {"read": 0, "kept": 0})
        counts["read"] += 1
        counts["kept"] += kept
    rules = [
        {"name": rule.name, "does": rule.does, "settings": settings_of(rule), **numbers["rules"][rule.name]}
        for rule in chain.rules
    ]
    about = {"inputs": [as_text(name) for name in inputs.names], "split": inputs.split, "longest": inputs.longest}
    return {**about, **numbers, "rules": rules, "languages": languages}


def write_report(directory: str | os.PathLike[str], report: Mapping[str, Any]) -> Path:
    """Write what `complete` made into a directory; the page's path."""
    directory = Path(directory)
    write_json(directory / NUMBERS, report)
    write_text(directory / PAGE, page(report))
    return directory / PAGE
