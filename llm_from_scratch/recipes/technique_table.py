"""Which technique goes with which family: found out by trying each on a miniature of the family's first release."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..adapters.adapted import Adapted, active_names
from ..adapters.places import functions, kind_of
from ..checkpoints import build
from ..families import Family, all_families
from .miniature import miniature
from .techniques import TECHNIQUES, put_on

_SMALL = {"rank": 2, "size": 2, "length": 2}


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of it. answer: "yes", "some" (where layers of some kinds have no such place), "named" (targets have to
    be named, since the usual ones do not exist) or "no"; why: the refusal, or the kinds that are left out.
    """

    answer: str
    why: str = ""


def small_model(family: Family) -> Any:
    """A miniature of a family's first release."""
    config = miniature(next(iter(family.sizes), family.model_types[0]), layers=2, width=32, context=32, vocabulary=64)
    return build(config.pop("model_type"), **config)


def trial(family: Family, technique: str) -> Trial:
    """Put a technique on a miniature of the family."""
    settings = {name: value for name, value in _SMALL.items() if name in TECHNIQUES[technique].settings}
    model = small_model(family)
    try:
        put_on(model, technique, **settings)
    except ValueError as error:
        if technique.endswith(("lora", "dora")):
            put_on(small_model(family), technique, **settings, targets="all-linear")
            return Trial("named", str(error))
        return Trial("no", str(error))
    left_out = _without(model, technique) if active_names(model) else {}
    return Trial("some", ", ".join(left_out)) if left_out else Trial("yes")


def _without(model: Any, technique: str) -> dict[str, None]:
    """The kinds of mixers in which nothing was put, if any."""
    if technique == "pfeiffer" or technique == "prompt":
        return {}
    found: dict[str, None] = {}
    for path, function in functions(model).items():
        if path.rpartition(".")[2].startswith("feed_forward"):
            continue
        inside = isinstance(function, Adapted) or any(isinstance(m, Adapted) for _, m in function.named_modules())
        keeps = technique.endswith("prefix") and hasattr(function.spec, "key_value_heads")
        if not (inside or keeps):
            found[kind_of(function)] = None
    return found


def trials() -> dict[str, dict[str, Trial]]:
    """{family: {technique: what came of it}}, for every family there is and every technique but full training."""
    names = [name for name in TECHNIQUES if name != "full"]
    return {name: {t: trial(family, t) for t in names} for name, family in all_families().items()}


def technique_table() -> str:
    """The trials as a table, and below it every refusal in its own words."""
    found = trials()
    names = list(next(iter(found.values())))
    width = max(map(len, found)) + 2
    lines = [" " * width + "  ".join(names)]
    for family, tried in found.items():
        cells = [tried[name].answer.ljust(len(name)) for name in names]
        lines.append(f"{family:{width}}" + "  ".join(cells).rstrip())
    notes: dict[str, list[str]] = {}
    for family, tried in found.items():
        for name, one in tried.items():
            if one.answer != "yes":
                what = f"not in its {one.why} layers" if one.answer == "some" else one.why
                notes.setdefault(f"{one.answer}: {what}", []).append(f"{family} ({name})")
    told = [f"{', '.join(who)}\n    {what}" for what, who in notes.items()]
    return "\n".join([*lines, "", *told])
