"""`train --explain STEP`: the run of a directory, put together again and replayed up to a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints import from_pretrained
from ..files.strict_json import read_json_object
from ..recipes.batching import batches
from ..recipes.recipe import build_model, prepared_corpus
from ..training.forensics import explain
from ..training.forensics_page import page
from ._run_files import RUN, read_run
from ._session import aim_of
from ._telling import Say


def explain_run(directory: Path, step: int, say: Say) -> dict[str, Any]:
    """What is found of a step of the run in `directory`, shown as a page; the same as data. Nothing is changed."""
    if not (directory / RUN).is_file():
        raise ValueError(f"there is no run in {directory}: --out names the directory that a run of train wrote to")
    if "command" in (stored := read_json_object(directory / RUN)):
        raise ValueError(
            f"{directory} holds a run of {stored['command']}: --explain replays those of train and quickstart alone, "
            "whose text and model follow from run.json"
        )
    recipe, settings, _ = read_run(directory)
    corpus = prepared_corpus(recipe, directory / "data")
    model = build_model(recipe, corpus.tokenizer)
    objective, identity = aim_of(recipe, model, directory)
    found = explain(
        model,
        batches(recipe, corpus),
        settings,
        step,
        directory=directory,
        objective=objective,
        identity=identity,
        open_model=from_pretrained,
        decode=corpus.tokenizer.decode,
    )
    say(page(found))
    return found.to_json()
