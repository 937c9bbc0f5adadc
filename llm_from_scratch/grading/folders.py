"""Decides which folder of learner's files is graded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .tasks import Chapter


def learner_folder(chosen: Path | None, here: Path, root: Path, chapters: Sequence[Chapter]) -> Path:
    """The folder named by the learner; else the current one, or its `exercises`, if chapter files are there;
    else the repository's own."""
    if chosen is not None:
        if not chosen.is_dir():
            raise FileNotFoundError(
                f"There is no folder {chosen}. `python -m llm_from_scratch grade --start {chosen}` makes it, "
                "with the chapters' files in it."
            )
        return chosen
    for folder in (here, here / "exercises"):
        if any((folder / chapter.file_name).is_file() for chapter in chapters):
            return folder
    return root
