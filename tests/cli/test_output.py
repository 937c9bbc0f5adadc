"""What is printed, under encodings that do not know all of it and to readers that go away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import llm_from_scratch

ROOT = str(Path(llm_from_scratch.__file__).parents[1])


def command(*words, environment=None, **more):
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHONUTF8", "LC_", "LANG"))
    }
    return subprocess.run(
        [sys.executable, "-m", "llm_from_scratch", *words],
        env={**inherited, "PYTHONPATH": ROOT, **(environment or {})},
        capture_output="stdout" not in more,
        timeout=300,
        **more,
    )


ENCODINGS = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environment", ENCODINGS, ids=["cp1252", "ascii", "C"])
@pytest.mark.parametrize("words", [["--help"], ["zoo"], ["train", "--help"], ["quickstart", "--out", "nowhere/ü"]])
def test_whatever_the_terminal_knows(environment, words, tmp_path):
    if words[0] == "quickstart":
        (tmp_path / "nowhere").write_text("a file", encoding="utf-8")
    done = command(*words, environment=environment, cwd=tmp_path)
    assert b"Traceback" not in done.stderr and b"Error" not in done.stderr, done.stderr
    assert done.returncode == (2 if words[0] == "quickstart" else 0)
    assert len(done.stdout if done.returncode == 0 else done.stderr) > 20


@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is another error there")
@pytest.mark.parametrize("words", [["--help"], ["zoo"], ["zoo", "--help"]])
def test_a_reader_that_has_gone(words):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = command(*words, stdout=pipe, stderr=subprocess.PIPE)
    assert done.stderr == b"" and done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_behind_the_output():
    with open("/dev/full", "wb") as full:
        done = command("zoo", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"No space left" in done.stderr
