"""Cuts the learner's file from the worked solution, so that contract and solution have one source.

Each task keeps its signature and docstring; decorator and body give way to a comment and
`NotImplementedError`. Functions that are no tasks are handed to the learner as they are.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

from .tasks import Chapter, read_tasks

HOW_TO_WORK = """
Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade {short}              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade {short} --hint       # one more step of advice for each --hint
"""


def learner_source(source: str, chapter: str) -> str:
    """The text of `exercises/chNN_topic.py`, from the text of the worked solution.

    >>> worked = '''\"\"\"Chapter 0: doubling.\"\"\"
    ...
    ... from llm_from_scratch.grading import task
    ...
    ...
    ... @task(points=2, difficulty="easy", minutes=5, hints={"wrong": "look"}, why="So.")
    ... def double(x):
    ...     \"\"\"Twice x.\"\"\"
    ...     return 2 * x
    ... '''
    >>> print(learner_source(worked, "ch00_double").split("\\n\\n\\n")[1])
    # Task 1 of 1: easy, about 5 minutes, 2 points
    def double(x):
        \"\"\"Twice x.\"\"\"
        raise NotImplementedError("double")
    """
    lines = source.splitlines()
    tasks = read_tasks(source, chapter)
    for number, task in reversed(list(enumerate(tasks, 1))):
        comment = (
            f"# Task {number} of {len(tasks)}: {task.difficulty}, about {task.minutes} minutes, "
            f"{task.points} point{'s' * (task.points != 1)}"
        )
        lines[task.body_line - 1 : task.last_line] = [f'    raise NotImplementedError("{task.name}")']
        lines[task.first_line - 1 : task.def_line - 1] = [comment]
    lines = [line for line in lines if not line.startswith("from llm_from_scratch.grading import")]
    text = "\n".join(lines).rstrip() + "\n"
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    text = _mark_unused_imports(text)
    opening, docstring, rest = text.split('"""', 2)
    docstring = docstring.rstrip() + "\n" + HOW_TO_WORK.format(short=chapter.split("_")[0])
    # The dropped import leaves three newlines where two belong.
    rest = rest.replace("annotations\n\n\n\n", "annotations\n\n\n")
    return f'{opening}"""{docstring}"""{rest}'


def _mark_unused_imports(text: str) -> str:
    """Tell the linter that modules only the solution used are there for the learner."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import) and not {a.asname or a.name for a in node.names} & used:
            lines[node.lineno - 1] += "  # noqa: F401"
    return "\n".join(lines) + "\n"


def write_learner_file(chapter: Chapter) -> bool:
    """Bring the learner's file in step with the worked solution; True if it had to be written."""
    text = learner_source(chapter.source(), chapter.name)
    path = chapter.learner_file
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


def start_learner(chapters: list[Chapter], folder: Path) -> list[tuple[str, str]]:
    """Copy the chapters' files into a learner's folder; never touches a file that exists.

    Returns (file name, what happened), what happened being "copied", "already there" (same text) or "kept".
    """
    folder.mkdir(parents=True, exist_ok=True)
    happened = []
    for chapter in chapters:
        text = learner_source(chapter.source(), chapter.name)
        target = folder / chapter.file_name
        try:
            # "x" refuses an existing file in the same step, dangling links included
            with open(target, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            happened.append((chapter.file_name, "copied"))
        except FileExistsError:
            same = os.path.isfile(target) and target.read_bytes() == text.encode("utf-8")
            happened.append((chapter.file_name, "already there" if same else "kept"))
    return happened
