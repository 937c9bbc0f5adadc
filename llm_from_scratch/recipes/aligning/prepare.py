"""From the settings of a run, as JSON holds them, to the run itself: model opened, data read, the method asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...data.encoding import find_template
from ...files.download import cache_directory
from ..beginning import open_model
from ..tuning import Tuning
from .method import Setup
from .sources import open_source
from .table import find_method


def resolved(method: str, *, model: str, data: str, template: str | None = None, **given: Any) -> dict[str, Any]:
    """All settings of a run, as `run.json` keeps them; ValueError or TypeError for what does not fit."""
    return {"method": method, "model": model, "data": data, "template": template, **find_method(method).resolved(given)}


def prepare_run(settings: Mapping[str, Any], say: Callable[[str], None] = print) -> Tuning:
    """Open everything and make the run."""
    return find_method(settings["method"]).prepare(open_setup(settings, say))


def open_setup(settings: Mapping[str, Any], say: Callable[[str], None] = print) -> Setup:
    """The model, the tokenizer and the data of a run, opened."""
    s = dict(settings)
    source = open_source(s["data"], **{name: s[name] for name in ("seed", "held_out", "noise", "kinds")})
    model, tokenizer = open_model(s["model"])
    return Setup(
        model,
        tokenizer,
        source,
        s,
        template=find_template(tokenizer, s["template"]),
        cache=cache_of(s["data"]),
        say=say,
    )


def cache_of(data: str) -> Path:
    """Where what the reference says of some data is kept: beside the file; of the tales in this user's cache."""
    return cache_directory() / "log-probabilities" if data == "tales" else Path(f"{data}.log-probabilities")
