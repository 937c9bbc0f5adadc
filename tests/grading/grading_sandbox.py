"""A made-up chapter of two tasks, so that the grader is tested without any real exercise."""

from __future__ import annotations

import textwrap
from pathlib import Path

from llm_from_scratch.grading.runner import ChapterReport, Limits, TaskReport, grade_chapter
from llm_from_scratch.grading.tasks import Chapter

SOLUTION = '''
"""Chapter 99 exercises: doubling and tripling."""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import task


def given(x):
    """A helper that the learner gets as it is."""
    return x


@task(points=2, difficulty="easy", minutes=5, hints={"it is x": "Multiply.", "it is 3 x": "By two."},
      why="Two halves.")
def double(x: np.ndarray) -> np.ndarray:
    """Twice x.

    >>> double(np.array([1.0]))
    array([2.])
    """
    return 2 * given(x)


@task(
    points=3,
    difficulty="hard",
    minutes=5,
    uses=("double",),
    hints={"it is 2 x": "Once more."},
    why="Three thirds.",
)
def triple(x: np.ndarray) -> np.ndarray:
    """Three times x, with the help of `double`."""
    return x + double(x)
'''

CHECKS = '''
"""Checks of the made-up chapter."""
import numpy as np
from llm_from_scratch.grading import check, check_close, inputs_stay_unchanged

@check("double")
def doubles(double, rng):
    """agrees with x + x"""
    x = rng.normal(size=3)
    check_close("y", double(x), x + x, 1e-9, {"this is x itself": x})

@check("double")
def keeps_float32(double):
    """float32 in, float32 out"""
    x = np.array([1, 2], np.float32)
    check_close("y", double(x), x + x, 1e-6)

@check("triple")
def triples(triple, rng):
    """agrees with x + x + x"""
    x = rng.normal(size=3)
    check_close("y", triple(x), x + x + x, 1e-9)

inputs_stay_unchanged("double", "triple")
'''

WRONGS = """
WRONGS = {
    "double": {"identity": ("2 * given(x)", "x", "doubles")},
    "triple": {
        "twice only": ("x + double(x)", "double(x)", "triples"),
        "missed": ("x + double(x)", "double(x)", "nothing"),
    },
}
"""

HEAD = "import numpy as np\n"
GOOD_DOUBLE = "def double(x):\n    return x + x\n"
GOOD_TRIPLE = "def triple(x):\n    return x + double(x)\n"


def make_exercises(folder: Path) -> Chapter:
    """An `exercises` folder that holds the made-up chapter only."""
    for name, text in (("solutions", SOLUTION), ("checks", CHECKS), ("wrongs", WRONGS)):
        (folder / name).mkdir(parents=True)
        (folder / name / "ch99_doubling.py").write_text(text.lstrip(), encoding="utf-8")
    return Chapter("ch99_doubling", folder)


def write_learner(folder: Path, body: str, rest: str = GOOD_TRIPLE, head: str = HEAD) -> Path:
    """A learner's file whose `double` has this body."""
    file = folder / "ch99_doubling.py"
    code = "def double(x):\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"
    file.write_text(head + code + rest, encoding="utf-8")
    return file


def grade_file(chapter: Chapter, file: Path, seconds: float | None = 5.0, memory: float | None = None) -> ChapterReport:
    return grade_chapter(chapter, file, chapter.tasks(), seed=7, limits=Limits(seconds, memory))


def grade_double(folder: Path, body: str, **more: object) -> tuple[TaskReport, TaskReport, ChapterReport]:
    """Grade a `double` of this body beside a correct `triple`."""
    chapter = make_exercises(folder / "exercises")
    head = str(more.pop("head", HEAD))
    report = grade_file(chapter, write_learner(folder, body, head=head), **more)  # type: ignore[arg-type]
    return report.tasks[0], report.tasks[1], report


def first_failure(task: TaskReport) -> str:
    """Message and cause of the first failing check."""
    check = next(c for c in task.checks if not c.passed)
    return f"{check.message} | {check.cause}"
