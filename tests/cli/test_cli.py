from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

import llm_from_scratch
from llm_from_scratch import cli


def fake_command(monkeypatch, run, name="echo"):
    module = types.ModuleType(f"llm_from_scratch.cli.{name}")
    module.HELP = "say it again"
    module.add_arguments = lambda parser: parser.add_argument("word")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "commands", lambda: [name])


def fail(error):
    def run(args):
        raise error

    return run


def test_every_command_has_its_three_parts_and_help():
    import importlib

    for name in cli.commands():
        module = importlib.import_module(f"llm_from_scratch.cli.{name}")
        assert module.HELP == cli._help_line(name) and 10 < len(module.HELP) < 100
        assert callable(module.add_arguments) and callable(module.run)
        with pytest.raises(SystemExit) as end:
            cli.main([name, "--help"])
        assert end.value.code == 0


def test_every_action_of_a_command_has_help(capsys):
    import argparse
    import importlib

    asked = []
    for name in cli.commands():
        parser = argparse.ArgumentParser()
        importlib.import_module(f"llm_from_scratch.cli.{name}").add_arguments(parser)
        within = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        asked += [(name, word) for choices in within for word in choices]
    assert ("data", "clean") in asked
    for words in asked:
        with pytest.raises(SystemExit) as end:
            cli.main([*words, "--help"])
        assert end.value.code == 0
        assert " ".join(words) in capsys.readouterr().out


def test_overview_lists_commands_in_the_order_of_need(capsys):
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    found = [name for name in cli._ORDER if name in cli.commands()]
    places = [text.index(f"\n  {name} ") for name in found]
    assert places == sorted(places)
    assert cli.main(["--version"]) == 0
    assert llm_from_scratch.__version__ in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["trian"])
    assert end.value.code == 2 and "'trian'" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("expected 3, got 4"), TypeError("no"), OSError(28, "the disk is full")])
def test_mistakes_are_one_line_and_a_traceback_only_on_request(monkeypatch, capsys, error):
    fake_command(monkeypatch, fail(error))
    assert cli.main(["echo", "x"]) == 2
    err = capsys.readouterr().err
    assert err == f"error: {error}\n"
    with pytest.raises(type(error)):
        cli.main(["echo", "x", "--traceback"])


def test_ctrl_c_is_polite(monkeypatch, capsys):
    fake_command(monkeypatch, fail(KeyboardInterrupt()))
    assert cli.main(["echo", "x"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_bugs_are_not_hidden(monkeypatch):
    fake_command(monkeypatch, fail(KeyError("bug")))
    with pytest.raises(KeyError):
        cli.main(["echo", "x"])


def test_the_exit_code_is_the_commands(monkeypatch):
    fake_command(monkeypatch, lambda args: 7 if args.word == "seven" else None)
    assert cli.main(["echo", "seven"]) == 7 and cli.main(["echo", "x"]) == 0


def test_the_overview_imports_no_command_and_no_numpy():
    code = (
        "import sys, llm_from_scratch.cli as c; c.main([]); sys.exit('numpy' in sys.modules or 'numba' in sys.modules)"
    )
    root = Path(llm_from_scratch.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
