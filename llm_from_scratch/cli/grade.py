"""`python -m llm_from_scratch grade`: checks a learner's exercises and explains what is wrong.

The learner's code runs in child processes only; this command finds the files, prints the reports and keeps
the score.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ..grading.folders import learner_folder
from ..grading.generate import start_learner
from ..grading.report import chapter_lines, to_json, total_line
from ..grading.runner import Limits, grade_chapter
from ..grading.session import FIXED_SEED
from ..grading.tasks import Chapter, Task, find_chapters, find_exercises, select_chapters

HELP = "check the exercises you solved, and say what is wrong with them"
EPILOG = """
Begin with:   python -m llm_from_scratch grade --start mine      copies the exercises into the folder `mine`
Then solve and run, as often as you like:
              python -m llm_from_scratch grade ch04 --dir mine
              python -m llm_from_scratch grade ch04 --dir mine --task softmax_vjp --hint
The exit code is 0 if everything asked for passes, 1 if something does not, 2 if the question made no sense.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on a parser made by the caller."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("chapters", nargs="*", metavar="CHAPTER", help="such as ch02; all that are there if none is named")
    add(
        "--dir",
        type=Path,
        metavar="FOLDER",
        help="the folder with your files (default: the current folder or its `exercises` if it holds chapter "
        "files, else the repository's)",
    )
    add(
        "--start",
        type=Path,
        metavar="FOLDER",
        help="copy the chapters' files there to begin with; files that exist are never overwritten",
    )
    add("--task", action="append", metavar="NAME", help="grade only this task (may be repeated)")
    add(
        "--hint",
        action="count",
        default=0,
        help="show the first hint of each task that does not pass; give it twice for two, and so on",
    )
    add(
        "--solution",
        action="store_true",
        help="instead of grading, show the worked solution of the tasks named by --task, and why it is so",
    )
    add("--seed", type=int, metavar="N", help="repeat a run with the fresh seed that it printed")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="wall-clock limit of each task (default: each task's own, mostly 10)",
    )
    add(
        "--memory",
        type=float,
        metavar="GB",
        help="limit on resident memory (default: each task's own, mostly 1)",
    )
    add("--json", type=Path, metavar="FILE", help="also write the result to this file, as JSON")


# Characters that move the cursor or clear the screen, which a learner's output may hold
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in b"\n\t"}


def say(text: str = "") -> None:
    """Print, whatever characters the terminal knows: a learner's output may hold any."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.translate(_CONTROLS)
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    try:
        _validate(args)
        root = find_exercises()
        known = find_chapters(root)
        chapters = select_chapters(known, args.chapters)
        if args.start is not None:
            return _start(chapters, args.start)
        wanted = _select_tasks(chapters, args.task)
        if args.solution:
            return _show_solutions(wanted, args.task)
        return _grade(args, root, known, wanted)
    except (ValueError, OSError) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2


def _validate(args: argparse.Namespace) -> None:
    if args.seed is not None and args.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {args.seed}.")
    if args.seconds is not None and not 0 < args.seconds < 1e6:
        raise ValueError(f"--seconds must be positive, got {args.seconds}.")
    if args.memory is not None and not 0.1 <= args.memory < 1e6:
        raise ValueError(f"--memory must be at least 0.1 (GB), got {args.memory}.")
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ValueError(f"--json: there is no folder {args.json.resolve().parent} to write into.")


def _start(chapters: list[Chapter], folder: Path) -> int:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--start: {folder} is a file; name a folder.")
    words = {
        "copied": "copied",
        "already there": "already there, untouched since it was copied",
        "kept": "NOT copied: a file of that name exists, and your work is never overwritten",
    }
    happened = start_learner(chapters, folder)
    for name, what in happened:
        say(f"{folder / name}: {words[what]}")
    say(f"\nOpen a file, write a function, then: python -m llm_from_scratch grade --dir {folder}")
    return 1 if any(what == "kept" for _, what in happened) else 0


def _select_tasks(chapters: list[Chapter], names: list[str] | None) -> list[tuple[Chapter, list[Task]]]:
    wanted = [(c, [t for t in c.tasks() if not names or t.name in names]) for c in chapters]
    found = {t.name for _, tasks in wanted for t in tasks}
    for name in names or []:
        if name not in found:
            known = ", ".join(t.name for c in chapters for t in c.tasks())
            raise ValueError(f"There is no task called {name!r}. Known: {known}.")
    return [(chapter, tasks) for chapter, tasks in wanted if tasks]


def _show_solutions(wanted: list[tuple[Chapter, list[Task]]], names: list[str] | None) -> int:
    if not names:
        raise ValueError("--solution shows one task: name it with --task.")
    for chapter, tasks in wanted:
        lines = chapter.source().splitlines()
        for task in tasks:
            say(f"# {chapter.name}, {task.name}")
            say("\n".join(lines[task.def_line - 1 : task.last_line]))
            say("\n# Why it is so:\n" + inspect.cleandoc(task.why) + "\n")
    return 0


def _grade(args: argparse.Namespace, root: Path, known: list[Chapter], wanted: list[tuple[Chapter, list[Task]]]) -> int:
    folder = learner_folder(args.dir, Path.cwd(), root, known)
    missing = [chapter for chapter, _ in wanted if not (folder / chapter.file_name).is_file()]
    if missing and (args.chapters or args.task or len(missing) == len(wanted)):
        names = ", ".join(chapter.file_name for chapter in missing)
        raise FileNotFoundError(
            f"{folder} has no {names}. `python -m llm_from_scratch grade --start {folder}` puts the exercises there."
        )
    seed = args.seed if args.seed is not None else secrets.randbelow(1_000_000)
    say(f"Grading the files in {folder.resolve()}")
    say(f"Inputs come from seed {FIXED_SEED} and from a fresh one: --seed {seed} repeats this run.")
    limits = Limits(args.seconds, args.memory)
    reports = []
    with _clearing_up_when_ended():
        for chapter, tasks in wanted:
            if chapter not in missing:
                report = grade_chapter(chapter, folder / chapter.file_name, tasks, seed, limits)
                reports.append(report)
                say("\n".join(chapter_lines(report, args.hint)))
    say("\n" + total_line(reports))
    if missing:
        say(f"Not there, so not graded: {', '.join(chapter.file_name for chapter in missing)}.")
    passed = all(report.passed for report in reports)
    if not passed and not args.hint:
        say("Stuck? --hint shows the first step of advice; --task NAME looks at one task alone.")
    if args.json is not None:
        text = json.dumps(to_json(reports, folder.resolve(), seed), indent=1) + "\n"
        args.json.write_text(text, encoding="utf-8")
    return 0 if passed else 1


@contextlib.contextmanager
def _clearing_up_when_ended() -> Iterator[None]:
    """Within the block a request to end (SIGTERM, a closed terminal) leaves no process and no folder behind."""
    if threading.current_thread() is not threading.main_thread():  # only there can it be caught
        yield
        return

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), leave) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


if __name__ == "__main__":  # usable without the dispatcher
    own_parser = argparse.ArgumentParser(prog="grade", description=HELP)
    add_arguments(own_parser)
    sys.exit(run(own_parser.parse_args()))
