"""What every chapter keeps to, whatever it teaches; read from the notebook without executing it."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from .notebook import METADATA, Notebook, merged_outputs, read, tags, text

LARGEST_FILE = 700_000  # bytes
LONGEST_MEDIAN = 10  # lines of a code cell


_HEADER = re.compile(r"\A# .+", re.MULTILINE)
_DURATION = re.compile(r"[Tt]akes about [^.]*\b(seconds?|minutes?)\b")
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|opt|work|mnt|usr|var)/\w|\b[A-Z]:\\\w")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_GLOBAL_RANDOM = re.compile(r"np\.random\.(?!default_rng|Generator)\w+")
_REMOTE_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*https?:|<img[^>]+https?:")
_MENTION = re.compile(r"(?<!\[)\b[Cc]hapter (\d{1,2})\b")
_LINK = re.compile(r"\]\(([^)\s]+\.ipynb)\)")
_TASK = re.compile(r"\*\*`(\w+)`\*\*")


# Weights move: a function that trains (a tokenizer's has none), an optimiser of the package, or an update by hand.
_TRAINS = re.compile(r"(?<!Tokenizer\.)\btrain\w*\(|\bAdamW\(|\.data\s*-=")


def trains(notebook: Notebook) -> bool:
    """Whether weights are trained in a chapter, as far as its code tells.

    >>> def chapter(source):
    ...     return {"cells": [{"cell_type": "code", "source": source}]}
    >>> trains(chapter("losses = train(model)")), trains(chapter("w.data -= rate * w.grad"))
    (True, True)
    >>> trains(chapter("made = Tokenizer.train(text, 512)"))
    False
    """
    return any(_TRAINS.search(text(cell["source"])) for cell in notebook["cells"] if cell["cell_type"] == "code")


def problems(path: Path) -> list[str]:
    """What is wrong with the chapter at `path`; an empty list if nothing is."""
    notebook = read(path)
    return [
        *_form(notebook, path),
        *_prose(notebook),
        *_links(notebook, path.parent),
        *_code(notebook),
        *_outputs(notebook),
        *_exercises(notebook, path),
    ]


def _form(notebook: Notebook, path: Path) -> Iterator[str]:
    if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name):
        yield f"the file name {path.name} is not of the form NN_topic.ipynb"
    if path.stat().st_size > LARGEST_FILE:
        yield f"the file has {path.stat().st_size:,} bytes, more than {LARGEST_FILE:,}: smaller or fewer figures"
    if notebook.get("metadata") != METADATA:
        yield "the metadata tell of a machine; write outputs with `python -m llm_from_scratch.book run`"


def _prose(notebook: Notebook) -> Iterator[str]:
    first = notebook["cells"][0] if notebook["cells"] else {"cell_type": "", "source": ""}
    header = text(first["source"])
    if first["cell_type"] != "markdown" or not _HEADER.match(header):
        yield "the first cell is not a Markdown cell that begins with '# title'"
    elif not _DURATION.search(header):
        yield "the first cell does not say how long the chapter takes ('takes about 20 seconds')"
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown" and _REMOTE_IMAGE.search(text(cell["source"])):
            yield f"cell {number}: an image from the network; figures are drawn by code"


def _links(notebook: Notebook, folder: Path) -> Iterator[str]:
    """A chapter that is named, and exists, can be gone to."""
    names = {int(chapter.name[:2]): chapter.name for chapter in folder.glob("[0-9][0-9]_*.ipynb")}
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] != "markdown":
            continue
        source = text(cell["source"])
        for mention in _MENTION.finditer(source):
            if int(mention[1]) in names:
                yield f"cell {number}: make a link of it: [{mention[0]}]({names[int(mention[1])]})"
        for link in _LINK.findall(source):
            if not (folder / link).exists():
                yield f"cell {number}: there is no {link} to go to"


def _code(notebook: Notebook) -> Iterator[str]:
    lengths = []
    runs = 0
    for number, cell in enumerate(notebook["cells"], start=1):
        source = text(cell["source"])
        if found := _MACHINE_PATH.search(source):
            yield f"cell {number}: a path of one machine: {found[0]!r}"
        if cell["cell_type"] != "code":
            continue
        lengths.append(sum(bool(line.strip()) for line in source.splitlines()))
        runs += 1
        if cell.get("execution_count") != runs:
            yield f"cell {number}: executed as number {cell.get('execution_count')}, not {runs}: run from the top"
        if found := _GLOBAL_RANDOM.search(source):
            yield f"cell {number}: global random state ({found[0]}); use np.random.default_rng"
        for tag in tags(cell):
            if not re.fullmatch(r"timing|sampled|tolerance=[0-9.e-]+", tag):
                yield f"cell {number}: unknown tag {tag!r}; known: timing, sampled, tolerance=0.05"
    if lengths and statistics.median(lengths) >= LONGEST_MEDIAN:
        yield f"the median code cell has {statistics.median(lengths):g} lines; keep it under {LONGEST_MEDIAN}"


def _outputs(notebook: Notebook) -> Iterator[str]:
    for number, cell in enumerate(notebook["cells"], start=1):
        for output in merged_outputs(cell):
            if output["output_type"] == "error" or output.get("name") == "stderr":
                yield f"cell {number}: the output holds an error or a warning"
            shown = text(output.get("text", output.get("data", {}).get("text/plain", "")))
            for pattern, what in ((_MACHINE_PATH, "a path of one machine"), (_ADDRESS, "a memory address")):
                if found := pattern.search(shown):
                    yield f"cell {number}: the output shows {what}: {found[0]!r}"


def _exercises(notebook: Notebook, path: Path) -> Iterator[str]:
    """Tasks are named **`like_this`** under the heading 'Exercises': all that exist, and no others."""
    page = "\n".join(text(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    heading, _, section = page.partition("\n## Exercises")
    if not section:
        yield "there is no section '## Exercises'"
        return
    named = set(_TASK.findall(section.partition("\n## ")[0]))
    solution = path.resolve().parent.parent / "exercises" / "solutions" / f"ch{path.stem}.py"
    if not solution.exists():
        yield f"there is no exercises/solutions/{solution.name}"
        return
    existing = _task_names(solution.read_text(encoding="utf-8"))
    if named - existing:
        yield f"the exercises name tasks that exercises/{solution.name} does not have: {sorted(named - existing)}"
    if existing - named:
        yield f"the exercises leave out {sorted(existing - named)}"


def _task_names(source: str) -> set[str]:
    """The functions under a `@task(...)`, read without running them."""
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return {f.name for f in functions if any(ast.unparse(d).startswith("task(") for d in f.decorator_list)}
