"""The map of the year: one row a release, one sheet a model, differences between two, and who descends from whom.

Architecture comes from the specs (`design.py`, `scaling/bill.py`), the rest from `releases.py` and from the FACTS of
family files. A family appears by being there; a release without a family here stands in the tree alone. A choice that
neither paper nor file states (the UNPUBLISHED of a family file) carries a mark, wherever it is printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.lineage import Lineage, from_metadata, tree_of
from ..checkpoints.pretrained import spec as find_spec
from ..families import Family, all_families, find_release
from ..files.sharded import open_checkpoint
from ..models.decoder import Decoder
from ..scaling.bill import costs
from .design import choices, details
from .releases import RELEASES, Release, title_of

UNPUBLISHED_MARK = " *"


@dataclass(frozen=True)
class Row:
    """One release of the map. Values are words; None is "not publicly stated", and a mark at the end "not by them"."""

    title: str
    family: str
    sizes: tuple[str, ...]
    parameters: tuple[int, ...]
    design: dict[str, str]
    unpublished: dict[str, str]
    context: tuple[int, ...]
    release: Release


def all_releases() -> dict[str, Release]:
    """What is known of every release: `releases.py`, and the FACTS of family files for those it does not have."""
    found = dict(RELEASES)
    for family in all_families().values():
        for title, facts in family.facts.items():
            if title in found:
                raise ValueError(f"the family {family.name} has FACTS about {title}, which zoo/releases.py has too")
            found[title] = Release(**facts)
    return found


def rows() -> list[Row]:
    """The map: one row a release that has specs here, by its first month; where sizes differ, all their words."""
    releases = all_releases()
    found: dict[str, tuple[Family, list[str]]] = {}
    for family in all_families().values():
        for name in family.sizes or (family.model_types[0],):
            title = title_of(name, releases) or family.name
            found.setdefault(title, (family, []))[1].append(name)
    table = [_row(title, family, names, releases) for title, (family, names) in found.items()]
    return sorted(table, key=lambda row: (row.release.month or "9999", row.title))


def _row(title: str, family: Family, names: list[str], releases: Mapping[str, Release]) -> Row:
    specs = [find_spec(name) for name in names]
    words: dict[str, list[str]] = {}
    for spec in specs:
        for heading, word in choices(spec).items():
            words.setdefault(heading, []).append(word)
    return Row(
        title=title,
        family=family.name,
        sizes=tuple(names),
        parameters=tuple(Decoder(spec).parameter_count for spec in specs),
        design=_marked({heading: " or ".join(dict.fromkeys(found)) for heading, found in words.items()}, family),
        unpublished=dict(family.unpublished),
        context=tuple(sorted({spec.context_length for spec in specs})),
        release=releases.get(title, Release()),
    )


def _marked(words: Mapping[str, str], family: Family) -> dict[str, str]:
    return {heading: word + UNPUBLISHED_MARK * (heading in family.unpublished) for heading, word in words.items()}


def sheet(name: str | os.PathLike[str], *, length: int | None = None) -> dict[str, Any]:
    """One model in full, as numbers and words that JSON can hold: a released size, or a checkpoint directory.

    length: of the sequences that FLOPs and memory are counted for; default the model's context.

    >>> page = sheet("gpt2")
    >>> page["parameters"], page["parts"]["positions"], page["design"]["head"]
    (124439808, 786432, 'tied')
    >>> page = sheet("gopher-280b")
    >>> page["design"]["norm"], page["design"]["head"], page["unpublished"]["feed-forward"]
    ('RMSNorm', 'tied *', 'the activation is assumed')
    """
    spec = find_spec(name)
    releases = all_releases()
    released = not Path(name).is_dir()  # a directory's own config says all there is to know
    title = title_of(str(name), releases) if released else None
    family = find_release(name)[0] if released else None
    release = releases.get(title or "", Release())
    bill = costs(spec, length=length)
    tokens = release.tokens_of(str(name))
    facts: dict[str, Any] = {"release": title, "month": release.month, "licence": release.licence, "data": release.data}
    facts |= {"tokenizer": release.tokenizer, "training tokens": tokens, "source": release.source or None}
    return {
        "name": str(name),
        "facts": facts,
        "design": _marked(details(spec), family) if family else details(spec),
        "unpublished": dict(family.unpublished) if family else {},
        "length": spec.context_length if length is None else length,
        **asdict(bill),
        "forward_flops_per_token": bill.forward_flops_per_token,
        "training_flops": None if tokens is None else bill.training_flops(tokens),
        "lineage": None if released else _lineage_beside(Path(name)),
    }


def read_lineage(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """What a checkpoint says it was made from: the steps of `lineage.py`, the model itself last; [] if it says nothing.

    FileNotFoundError where there are no weights, ValueError when the record is damaged.
    """
    lineage = Lineage(from_metadata(open_checkpoint(directory).metadata))
    return list(lineage.steps) if lineage.known else []


def _lineage_beside(directory: Path) -> list[dict[str, Any]]:
    try:
        return read_lineage(directory)
    except FileNotFoundError:  # a config alone
        return []


def ancestry(directory: str | os.PathLike[str]) -> list[str]:
    """The lineage of a checkpoint drawn as a tree: the model itself first, below it what it was made from."""
    steps = read_lineage(directory)
    if not steps:
        return ["nothing recorded"]
    return tree_of((*steps[:-1], {"name": Path(directory).resolve().name, **steps[-1]}))


def difference(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> dict[str, tuple[str, str]]:
    """What changes from one model to another: {heading: (word of a, word of b)}, design first, then numbers.

    >>> difference("llama-7b", "llama-2-7b")["context"]
    ('2048', '4096')
    >>> difference("llama-7b", "llama-7b")
    {}
    """
    first, second = sheet(a), sheet(b)
    found = {}
    for heading in dict.fromkeys([*first["design"], *second["design"]]):
        pair = first["design"].get(heading, "none"), second["design"].get(heading, "none")
        if pair[0].removesuffix(UNPUBLISHED_MARK) != pair[1].removesuffix(UNPUBLISHED_MARK):
            found[heading] = pair
    numbers = {"parameters": "parameters", "memory per token (bytes)": "memory_before_windows"}
    if any(page["memory_before_windows"] != page["memory_per_token"] for page in (first, second)):
        numbers["… once windows are full"] = "memory_per_token"
    for heading, key in numbers.items():
        if first[key] != second[key]:
            found[heading] = (_number(first[key]), _number(second[key]))
    for heading in ("tokenizer", "training tokens", "month", "licence", "data"):
        pair = _number(first["facts"][heading]), _number(second["facts"][heading])
        if pair[0] != pair[1]:
            found[heading] = pair
    return found


def tree() -> list[str]:
    """Who descends from whom, a line a release; "weights" where training went on from the parent's weights.

    >>> lines = tree()
    >>> lines[0].startswith("GPT-2 "), any("Vicuna" in line and "weights" in line for line in lines)
    (True, True)
    """
    releases = all_releases()
    children: dict[str | None, list[str]] = {}
    for title, release in sorted(releases.items(), key=lambda item: (item[1].month or "9999", item[0])):
        parent = release.parents[0][0] if release.parents and release.parents[0][0] in releases else None
        children.setdefault(parent, []).append(title)
    lines: list[str] = []

    def draw(title: str, lead: str, branch: str) -> None:
        release = releases[title]
        how = [how for _, how in release.parents[:1] if how == "weights"]
        also = [f"also {parent}" for parent, _ in release.parents[1:]]
        remarks = "; ".join([*how, *also, *([release.note] if release.note else [])])
        lines.append(f"{lead}{branch}{title} ({release.month or '?'}){' · ' * bool(remarks)}{remarks}")
        below = {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        mine = children.get(title, [])
        for number, child in enumerate(mine):
            draw(child, lead + below, "└─ " if number == len(mine) - 1 else "├─ ")

    for root in children.get(None, []):
        draw(root, "", "")
    return lines


def _number(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
