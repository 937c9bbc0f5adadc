"""The command line: `python -m llm_from_scratch COMMAND …`.

Every module of this package is a command of its name; it has `HELP` (a line), `add_arguments(parser)` and
`run(args) -> exit code`. Only the chosen one is imported, so that `--help` is quick; the list of commands reads the
`HELP` lines from the sources without running them. Modules whose name begins with an underscore are no commands.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import _ranks

# The order in which a newcomer meets them; any others follow by name.
_ORDER = ("quickstart", "train", "generate", "chat", "zoo", "tokenizer", "data", "fetch", "grade", "bench")
_DESCRIPTION = "How the open large language models of 2023 are built, in plain NumPy."
_EPILOG = """\
begin with:
  python -m llm_from_scratch quickstart          train a small model in a few minutes and read its stories
  python -m llm_from_scratch COMMAND --help      what a command does, with examples
"""
USER_ERROR, INTERRUPTED = 2, 130


def commands() -> list[str]:
    """The names of all commands.

    >>> "train" in commands()
    True
    """
    names = {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
    return [name for name in _ORDER if name in names] + sorted(names - set(_ORDER))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 2 a mistake in the input, 130 interrupted with Ctrl-C.

    A mistake in the input (ValueError, TypeError, OSError, too large a number), or a model too big for the machine, is
    shown as one line; `--traceback` shows where it arose. What the terminal's encoding does
    not know is printed as a question mark.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has not
            stream.reconfigure(errors="replace")
    with _ranks.one_voice():
        code = _answered(arguments)
    _ranks.give_way(code)
    return code


def _answered(arguments: list[str]) -> int:
    """The exit code of a command whose errors have been shown."""
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # a reader that has gone, or a full disk, is noticed here and not at the very end
        return code
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        _discard_output()
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RecursionError) as error:
        if "--traceback" in arguments:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            _discard_output()
        return USER_ERROR


def _run(arguments: list[str]) -> int:
    names = commands()
    if not arguments or arguments[0] not in names:
        parser = _overview(names)
        if arguments and not arguments[0].startswith("-"):
            parser.error(f"there is no command {arguments[0]!r}; the commands are {', '.join(names)}")
        if parser.parse_args(arguments).version:
            from .. import __version__

            print(f"llm_from_scratch {__version__}")
        else:
            parser.print_help()
        return 0
    name = arguments[0]
    module = importlib.import_module(f"{__name__}.{name}")
    parser = _Parser(
        prog=f"python -m llm_from_scratch {name}",
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    shares = getattr(module, "RANKS", False)
    if shares:
        _ranks.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="on an error show where in the program it arose")
    args = parser.parse_args(arguments[1:])
    with _ranks.joined(name, args, shares) as exchange:
        return int((module.run(args, exchange) if shares else module.run(args)) or 0)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options, as for every other mistake in the input."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"error: {message} ({self.prog} --help shows what there is)\n")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({text})"
    return text


def _discard_output() -> None:
    """Let what is still to be written go nowhere: Python would try, and complain, once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _overview(names: list[str]) -> argparse.ArgumentParser:
    width = max(map(len, names), default=0)
    lines = "\n".join(f"  {name:<{width}}  {_help_line(name)}" for name in names)
    parser = _Parser(
        prog="python -m llm_from_scratch",
        usage="python -m llm_from_scratch COMMAND …",
        description=f"{_DESCRIPTION}\n\ncommands:\n{lines}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the version")
    return parser


def _help_line(name: str) -> str:
    """The string assigned to HELP in a command's source: importing all commands would take a second."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and target.id == "HELP":
            return str(ast.literal_eval(statement.value))  # type: ignore[attr-defined]
    return ""
