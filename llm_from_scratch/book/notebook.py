"""Notebooks as plain data: read, tidied so that a diff shows what changed, written. No notebook is executed here.

Tidied means: nothing of the machine that ran it (kernel version, timings, widget state), one stream of text instead of
many pieces, and cell ids that stay. The file is JSON, so reading and comparing need nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ..files.atomic import write_text

Notebook = dict[str, Any]
Cell = dict[str, Any]

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def text(value: Any) -> str:
    """A source or an output, which the format stores as a string or as a list of lines.

    >>> text(["a\\n", "b"])
    'a\\nb'
    """
    return value if isinstance(value, str) else "".join(value)


def read(path: Path) -> Notebook:
    """The notebook at `path`; ValueError if it is none, or of another version of the format than 4."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a notebook: {error}") from error
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"{path} is not a notebook of format 4")
    return notebook


def write(path: Path, notebook: Notebook) -> None:
    """Write the tidied notebook in one step: the old file stays until the new one is complete."""
    write_text(path, json.dumps(tidy(notebook), ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def tidy(notebook: Notebook) -> Notebook:
    """The notebook without anything that differs between two runs of the same code on two machines.

    >>> run = {"nbformat": 4, "cells": [{"cell_type": "code", "source": "print(1)", "execution_count": 1,
    ...     "metadata": {"execution": {"start": "12:00"}, "tags": ["timing"]},
    ...     "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"},
    ...                 {"output_type": "stream", "name": "stdout", "text": "\\\\n"}]}]}
    >>> cell = tidy(run)["cells"][0]
    >>> cell["metadata"], cell["outputs"]
    ({'tags': ['timing']}, [{'output_type': 'stream', 'name': 'stdout', 'text': ['1\\\\n']}])
    """
    taken: set[str] = set()
    cells = [_tidy_cell(cell, taken) for cell in notebook["cells"]]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _tidy_cell(cell: Cell, taken: set[str]) -> Cell:
    source = text(cell["source"])
    tidied: Cell = {
        "cell_type": cell["cell_type"],
        "id": _identity(cell, source, taken),
        "metadata": {"tags": sorted(tags(cell))} if tags(cell) else {},
        "source": source.splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        tidied["execution_count"] = cell.get("execution_count")
        tidied["outputs"] = [_tidy_output(output) for output in merged_outputs(cell)]
    return tidied


def _identity(cell: Cell, source: str, taken: set[str]) -> str:
    """The cell's own id, else one from its text; never one that an earlier cell has."""
    wanted = cell.get("id") or hashlib.sha256(source.encode()).hexdigest()[:8]
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    taken.add(name)
    return name


def tags(cell: Cell) -> set[str]:
    """The cell's tags, which say how its output is compared (see `compare.py`)."""
    return set(cell.get("metadata", {}).get("tags", ()))


def merged_outputs(cell: Cell) -> list[Cell]:
    """The outputs of a cell, pieces of the same stream joined: where a stream is cut depends on the moment."""
    merged: list[Cell] = []
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream" and merged and merged[-1].get("name") == output["name"]:
            merged[-1] = {**merged[-1], "text": text(merged[-1]["text"]) + text(output["text"])}
        else:
            merged.append(dict(output))
    return merged


def _tidy_output(output: Cell) -> Cell:
    tidied = {key: value for key, value in output.items() if key not in ("metadata", "data", "transient")}
    if "text" in tidied:
        tidied["text"] = text(tidied["text"]).splitlines(keepends=True)
    if "data" in output:
        tidied["metadata"] = {}
        tidied["data"] = {kind: _tidy_data(kind, value) for kind, value in output["data"].items()}
    return tidied


def _tidy_data(kind: str, value: Any) -> Any:
    if kind.startswith("image/") and kind != "image/svg+xml":
        return text(value).strip() + "\n"
    return text(value).splitlines(keepends=True) if kind.startswith("text/") else value


# --- The authoring form: Markdown in which every ```python block is a code cell ------------------------------------

_FENCE = re.compile(r"^```python([^\n]*)\n(.*?)^```[ \t]*\n?", re.MULTILINE | re.DOTALL)


def from_markdown(source: str) -> Notebook:
    """A notebook, not yet executed, from Markdown: each ```python block becomes a code cell, the rest is prose.

    Words after ```python are the cell's tags. Other fences stay in the prose.

    >>> made = from_markdown("# Title\\n\\n```python timing tolerance=0.1\\nprint(1)\\n```\\nafter\\n")
    >>> [(cell["cell_type"], cell["source"]) for cell in made["cells"]]
    [('markdown', ['# Title']), ('code', ['print(1)']), ('markdown', ['after'])]
    >>> made["cells"][1]["metadata"]
    {'tags': ['timing', 'tolerance=0.1']}
    """
    cells: list[Cell] = []

    def prose(part: str) -> None:
        if part.strip():
            cells.append({"cell_type": "markdown", "metadata": {}, "source": part.strip("\n")})

    end = 0
    for match in _FENCE.finditer(source):
        prose(source[end : match.start()])
        code: Cell = {"cell_type": "code", "source": match[2].rstrip("\n"), "execution_count": None, "outputs": []}
        cells.append({**code, "metadata": {"tags": match[1].split()}})
        end = match.end()
    prose(source[end:])
    return tidy({"nbformat": 4, "cells": cells})


def to_markdown(notebook: Notebook) -> str:
    """The notebook's text in the authoring form, outputs left out: for reviewing and rewriting.

    >>> to_markdown(from_markdown("# Title\\n\\n```python timing\\nprint(1)\\n```\\n"))
    '# Title\\n\\n```python timing\\nprint(1)\\n```\\n'
    """
    parts = []
    for cell in notebook["cells"]:
        source = text(cell["source"]).strip("\n")
        if cell["cell_type"] == "code":
            source = f"```python {' '.join(sorted(tags(cell)))}".rstrip() + f"\n{source}\n```"
        parts.append(source + "\n")
    return "\n".join(parts)
