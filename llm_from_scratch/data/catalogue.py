"""The data sets that the open models of 2023 were made of: origin, size, schema, licence, and who was trained on them.

The table stands in `catalogue.json` beside this file. A field that is not certain is named in `doubtful`. Dates are
those of the release; where the review of the year that the selection follows (Clémentine Fourrier's "2023, year of open
LLMs") says otherwise, both are given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..files.strict_json import strict_json

KINDS = ("pretraining", "instructions", "dialogues", "preferences", "ratings", "rankings")


@dataclass(frozen=True)
class DataSet:
    """One data set.

    kind:     one of KINDS
    schema:   what a row holds
    trained:  models that were trained on it
    doubtful: the fields that are not certain
    """

    name: str
    kind: str
    date: str
    origin: str
    size: str
    schema: str
    licence: str
    trained: str
    source: str
    doubtful: tuple[str, ...] = ()

    def told(self, field: str) -> str:
        """A field as it is shown: with a question mark where it is not certain."""
        return f"{getattr(self, field)}{' (?)' if field in self.doubtful else ''}"


def data_sets(kind: str | None = None) -> list[DataSet]:
    """All data sets, or those of a kind. ValueError for a kind that there is not.

    >>> [each.name for each in data_sets("rankings")]
    ['Nectar']
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}: expected one of {', '.join(KINDS)}")
    names = {field.name for field in fields(DataSet)}
    rows = strict_json(Path(__file__).with_suffix(".json").read_bytes())
    made = [DataSet(**{**row, "doubtful": tuple(row["doubtful"])}) for row in rows if set(row) == names]
    if len(made) < len(rows):
        raise ValueError(f"catalogue.json: a row has other fields than {sorted(names)}")
    return [each for each in made if kind is None or each.kind == kind]


def find_data_set(name: str) -> DataSet:
    """The data set whose name begins like this, whatever the case. ValueError naming those there are.

    >>> find_data_set("helpsteer").size
    '37,120'
    """
    known = data_sets()
    found = [each for each in known if each.name.lower() == name.lower()]
    found = found or [each for each in known if each.name.lower().startswith(name.lower())]
    if not found:
        raise ValueError(f"there is no data set {name!r}: expected one of {', '.join(each.name for each in known)}")
    return found[0]
