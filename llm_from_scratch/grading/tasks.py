"""What a chapter's exercise consists of, read from the worked solutions without running them.

A task is a function decorated with `@task(...)` in `exercises/solutions/chNN_topic.py`. Everything here works
on the syntax tree: the grader's own process never executes an exercise, and the learner's file can be cut
from the source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True)
class Task:
    """One graded function and what its author says about it."""

    name: str
    points: int
    difficulty: str
    minutes: int
    hints: Mapping[str, str]
    why: str
    uses: tuple[str, ...] = ()
    seconds: float = 10.0
    memory_gb: float = 1.0
    first_line: int = field(default=0, compare=False)  # of the decorator, counted from 1
    def_line: int = field(default=0, compare=False)
    body_line: int = field(default=0, compare=False)  # first line after the docstring
    last_line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"{self.name}: difficulty must be one of {DIFFICULTIES}, got {self.difficulty!r}")
        if not (isinstance(self.points, int) and self.points > 0):
            raise ValueError(f"{self.name}: points must be a positive integer, got {self.points!r}")
        if not (self.minutes > 0 and self.seconds > 0 and self.memory_gb > 0):
            raise ValueError(f"{self.name}: minutes, seconds and memory_gb must be positive")
        if not self.hints or not self.why.strip():
            raise ValueError(f"{self.name}: a task needs at least one hint and a paragraph on why it is so")


def task(
    *,
    points: int,
    difficulty: str,
    minutes: int,
    hints: Mapping[str, str],
    why: str,
    uses: Sequence[str] = (),
    seconds: float = 10.0,
    memory_gb: float = 1.0,
) -> Callable[[Function], Function]:
    """Mark a worked solution as a graded task; the function itself is returned unchanged.

    `hints` maps the error a learner sees to the advice, gentlest first. `uses` names other tasks of the
    chapter that this one calls: it is graded with their worked versions, so that one mistake costs one task.
    `seconds` is the wall-clock limit of all its checks together, `memory_gb` that of the process's resident
    memory. All values are literals, because they are read from the syntax tree.

    >>> @task(points=1, difficulty="easy", minutes=5, hints={"returns None": "return it"}, why="Because.")
    ... def double(x):
    ...     return 2 * x
    >>> double(21)
    42
    """

    def mark(function: Function) -> Function:
        Task(function.__name__, points, difficulty, minutes, dict(hints), why, tuple(uses), seconds, memory_gb)
        return function

    return mark


def read_tasks(source: str, where: str = "solution") -> list[Task]:
    """The tasks of a worked solution, in the order in which they are written.

    >>> text = '''
    ... @task(points=2, difficulty="easy", minutes=5, hints={"wrong": "look"}, why="So.")
    ... def double(x):
    ...     \"\"\"Twice x.\"\"\"
    ...     return 2 * x
    ... '''
    >>> [(t.name, t.points, t.def_line, t.body_line, t.last_line) for t in read_tasks(text)]
    [('double', 2, 3, 5, 5)]
    """
    tasks: list[Task] = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if not (isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "task"):
                continue
            if ast.get_docstring(node) is None:
                raise ValueError(f"{where}: {node.name} needs a docstring, which is the learner's contract")
            settings = {}
            for keyword in decorator.keywords:
                try:
                    settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
                except ValueError as error:
                    raise ValueError(f"{where}: {node.name}: {keyword.arg} must be a literal") from error
            settings["uses"] = tuple(settings.get("uses", ()))
            tasks.append(
                Task(
                    name=node.name,
                    first_line=decorator.lineno,
                    def_line=node.lineno,
                    body_line=(node.body[0].end_lineno or 0) + 1,
                    last_line=node.end_lineno or 0,
                    **settings,
                )
            )
    return tasks


@dataclass(frozen=True)
class Chapter:
    """The files of one chapter's exercise, for instance `ch04_backprop`."""

    name: str
    root: Path  # the exercises folder

    @property
    def file_name(self) -> str:
        """The name that its file has in each of the folders."""
        return self.name + ".py"

    @property
    def learner_file(self) -> Path:
        """What a learner fills in."""
        return self.root / self.file_name

    @property
    def solution(self) -> Path:
        """The worked solutions, from which the learner's file is cut."""
        return self.root / "solutions" / self.file_name

    @property
    def checks(self) -> Path:
        """What an answer is held to."""
        return self.root / "checks" / self.file_name

    @property
    def wrongs(self) -> Path:
        """Wrong solutions, each with the check that has to refuse it."""
        return self.root / "wrongs" / self.file_name

    @property
    def rights(self) -> Path:
        """Answers unlike the worked ones, laid out as a learner's file, that the checks have to accept."""
        return self.root / "rights" / self.file_name

    def source(self) -> str:
        """The text of the worked solutions."""
        return self.solution.read_text(encoding="utf-8")

    def tasks(self) -> list[Task]:
        """The tasks, in the order of the worked solutions."""
        return read_tasks(self.source(), str(self.solution))


def find_exercises(start: Path | None = None) -> Path:
    """The repository's `exercises` folder: beside the package, or above the current folder (or `start`)."""
    here = (start or Path.cwd()).resolve()
    beside_package = Path(__file__).resolve().parents[2]
    for folder in (beside_package, here, *here.parents):
        for candidate in (folder / "exercises", folder):
            if (candidate / "checks").is_dir() and (candidate / "solutions").is_dir():
                return candidate
    raise FileNotFoundError(
        "The exercises are part of the repository, not of the installed package, and were not found.\n"
        "Clone the repository and install it with `pip install -e .`, or run this command inside the clone."
    )


def find_chapters(root: Path) -> list[Chapter]:
    """Every chapter that has a worked solution, in order."""
    return [Chapter(path.stem, root) for path in sorted((root / "solutions").glob("ch[0-9][0-9]_*.py"))]


def select_chapters(chapters: Sequence[Chapter], wanted: Sequence[str]) -> list[Chapter]:
    """The chapters meant by words such as `ch04`, `4`, `04_backprop` or `ch04_backprop.py`.

    >>> known = [Chapter("ch02_tokenizer", Path()), Chapter("ch04_backprop", Path())]
    >>> [chapter.name for chapter in select_chapters(known, ["4", "ch02"])]
    ['ch02_tokenizer', 'ch04_backprop']
    >>> select_chapters(known, ["ch09"])
    Traceback (most recent call last):
    ValueError: There is no exercise called 'ch09'. Known: ch02_tokenizer, ch04_backprop.
    """
    chosen: set[str] = set()
    for word in wanted:
        match = re.fullmatch(r"(?:ch)?(\d{1,2})(_\w+)?(?:\.py)?", Path(word).name)
        found = []
        if match:
            begin = f"ch{int(match[1]):02d}{match[2] or '_'}"
            found = [c for c in chapters if c.name == begin or not match[2] and c.name.startswith(begin)]
        if not found:
            known = ", ".join(c.name for c in chapters) or "none"
            raise ValueError(f"There is no exercise called {word!r}. Known: {known}.")
        chosen.update(c.name for c in found)
    return [c for c in chapters if c.name in chosen or not wanted]
