"""What learners' code can do to the grader, through the real child: one task fails, the other does not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from grading_sandbox import (
    GOOD_DOUBLE,
    GOOD_TRIPLE,
    HEAD,
    first_failure,
    grade_double,
    grade_file,
    make_exercises,
    write_learner,
)

from llm_from_scratch.grading import runner

# body of `double`, what the learner must read
FAILING = {
    "returns nothing": ("2 * x", "y is None. | is there a `return`"),
    "returns a list": ("return (2 * x).tolist()", "y must be a numpy array, not a list"),
    "returns its input": ("return x", "this is x itself"),
    "exits": ("import sys; sys.exit(0)", "exit() ends the whole program"),
    "interrupts": ("raise KeyboardInterrupt", "raises KeyboardInterrupt itself"),
    "recursion": ("return double(x)", "RecursionError"),
    "asks the keyboard": ("return x * int(input())", "the grader has no keyboard"),
    "spelling": ("return 2 * y", "line 3, in double:  return 2 * y"),
    "too much at once": ("return np.zeros(10**13) + x", "far more memory than the task needs"),
    "replaces numpy.allclose": ("np.allclose = lambda *a: True; return x * 2", "replaces numpy.allclose"),
    "replaces a comparison": (
        "import llm_from_scratch.grading.assertions as a; a.check_close = lambda *b: None; return x * 2",
        "replaces llm_from_scratch.grading.assertions.check_close",
    ),
    "replaces the call": (
        "import llm_from_scratch.grading.attempt as a; a.Attempt.__call__ = lambda *b: 1; return x * 2",
        "replaces llm_from_scratch.grading.attempt.Attempt.__call__",
    ),
    "replaces the checks": (
        "import sys; sys.modules['the_checks'].check_close = lambda *b: None; return x",
        "KeyError: 'the_checks'",
    ),
    "raises the recursion limit": (
        "import sys; sys.setrecursionlimit(9999); return 2 * x",
        "only moves the wall",
    ),
    "prints for ever": ("while True: print('x' * 1000)", "prints without end"),
    "catches everything": ("try: raise SystemExit\nfinally: return None", "y is None"),
}


@pytest.mark.parametrize("name", FAILING)
def test_failure_costs_one_task_and_is_explained(tmp_path, name):
    body, words = FAILING[name]
    double, triple, report = grade_double(tmp_path, body)
    assert double.status == "failed" and double.points == 0
    assert words in first_failure(double)
    assert triple.status == "passed" and triple.points == 3
    assert not report.passed


STOPPED = {
    "endless loop": ("while True: pass", {"seconds": 0.5}, "stopped after 0.5 seconds"),
    "eats memory": (
        "keep = []\nwhile True: keep.append(np.ones(2_000_000))",
        {"memory": 0.4},
        "GB of memory; the limit is 0.4 GB",
    ),
    "ends the process": ("import os; os._exit(0)", {}, "ended the whole process (exit code 0)"),
    "crashes": ("import ctypes; ctypes.string_at(0)", {}, "Python itself crashed"),
    "floods the real output": ("import os\nwhile True: os.write(1, b'x' * 65536)", {}, "after printing"),
    "closes the channel": ("import os; os.closerange(3, 256); return 2 * x", {}, "closed files that it did not open"),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPPED)
def test_a_child_brought_down_costs_one_task(tmp_path, name):
    body, limits, words = STOPPED[name]
    double, triple, _ = grade_double(tmp_path, body, **limits)
    assert double.status == "failed" and words in double.stopped
    assert triple.status == "passed"


def test_checks_before_the_endless_loop_are_kept(tmp_path):
    double, _, _ = grade_double(tmp_path, "while x.dtype == np.float32: pass\nreturn 2 * x", seconds=0.5)
    assert [(c.name, c.status) for c in double.checks] == [
        ("doubles", "passed"), ("keeps_float32", "failed"), ("inputs_unchanged", "skipped"),
    ]  # fmt: skip
    assert double.stopped and double.status == "failed"


def test_changed_input_is_seen_and_does_not_disturb_the_other_checks(tmp_path):
    double, _, _ = grade_double(tmp_path, "x *= 2; return x")
    assert [(c.name, c.passed) for c in double.checks] == [
        ("doubles", True), ("keeps_float32", True), ("inputs_unchanged", False),
    ]  # fmt: skip
    assert "the argument `x`" in first_failure(double)


def test_not_started_is_no_failure_but_no_pass_either(tmp_path):
    double, triple, report = grade_double(tmp_path, 'raise NotImplementedError("double")')
    assert (double.status, double.points) == ("not started", 0)
    assert triple.status == "passed", "triple is graded with the worked double"
    assert not report.passed


def test_prints_are_shown_and_cannot_forge_results(tmp_path):
    forged = '{"event": "check", "task": "double", "check": {"name": "doubles", "about": "", "status": "passed"}}'
    double, _, _ = grade_double(tmp_path, f"print('''{forged}'''); print('caf\\u00e9 \\ud800'); return x")
    assert double.status == "failed"
    assert "café" in double.output and '"event"' in double.output


def test_a_renamed_function_is_named(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    file = tmp_path / "ch99_doubling.py"
    file.write_text(GOOD_DOUBLE.replace("double", "double_it") + GOOD_TRIPLE, encoding="utf-8")
    double, triple = grade_file(chapter, file).tasks
    assert "has no function called double. | it has double_it: was it renamed?" in first_failure(double)
    assert triple.status == "passed"


UNLOADABLE = {
    "syntax": (
        "def double(x):\n    return 2 *\n",
        "ch99_doubling.py, line 2: SyntaxError: invalid syntax\n    return 2 *\n",
    ),
    "indentation": ("def double(x):\nreturn 2\n", "line 2: IndentationError"),
    "import": ("import nonsense_that_is_missing\n", "line 1, in <module>:  import nonsense_that_is_missing"),
    "exit": ("import sys\nsys.exit()\n", "SystemExit"),
    "tampering": ("import numpy\nnumpy.abs = None\n", "replaces numpy.abs"),
    "crash": ("import os\nos._exit(3)\n", "was being loaded: the code ended the whole process (exit code 3)"),
    "loop": ("while True: pass\n", "was being loaded: stopped after 1 seconds"),
}


@pytest.mark.parametrize("name", UNLOADABLE)
def test_a_file_that_cannot_be_loaded(tmp_path, monkeypatch, name):
    monkeypatch.setattr(runner, "LOADING_SECONDS", 1.0 if name == "loop" else 30.0)
    source, words = UNLOADABLE[name]
    chapter = make_exercises(tmp_path / "exercises")
    file = tmp_path / "ch99_doubling.py"
    file.write_text(source, encoding="utf-8")
    report = grade_file(chapter, file)
    assert words in report.unloadable
    assert not report.passed and all(task.points == 0 for task in report.tasks)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"name = 'caf\xe9'\n", "is not saved as UTF-8: line 1 holds the byte 0xe9 (as Latin-1: 'é')"),
        (GOOD_DOUBLE.encode("utf-16"), "is saved as UTF-16, not as UTF-8"),
        (GOOD_DOUBLE.encode("utf-16-le"), "holds a null byte in line 1: it is saved as UTF-16"),
        (GOOD_DOUBLE.encode("utf-32"), "is saved as UTF-32"),
        (b"# coding: klingon\n", "unknown encoding: klingon"),
    ],
)
def test_bytes_that_are_no_text(tmp_path, data, words):
    chapter = make_exercises(tmp_path / "exercises")
    file = tmp_path / "ch99_doubling.py"
    file.write_bytes(data + GOOD_DOUBLE.encode())
    report = grade_file(chapter, file)
    assert words in report.unloadable and "save the file as UTF-8" in report.cause


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"# coding: latin-1\nname = 'caf\xe9'\n"])
def test_encodings_that_python_reads_are_fine(tmp_path, start):
    chapter = make_exercises(tmp_path / "exercises")
    file = tmp_path / "ch99_doubling.py"
    file.write_bytes(start + (HEAD + GOOD_DOUBLE + GOOD_TRIPLE).encode())
    assert grade_file(chapter, file).passed


def test_threads_and_library_named_files_do_no_harm(tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')", encoding="utf-8")
    (tmp_path / "my_helper.py").write_text("two = 2", encoding="utf-8")
    head = "import numpy as np, threading, time, my_helper\n"
    head += "threading.Thread(target=time.sleep, args=(60,)).start()\n"
    double, triple, report = grade_double(tmp_path, "return my_helper.two * x", head=head)
    assert report.passed and double.points == 2 and triple.points == 3


def test_the_same_seed_gives_the_same_inputs(tmp_path):
    double, _, _ = grade_double(tmp_path, "print(x[0]); return 2 * x")
    again = grade_file(make_exercises(tmp_path / "again"), tmp_path / "ch99_doubling.py").tasks[0]
    assert double.output == again.output and len(double.output.splitlines()) == 3


def test_checks_that_cannot_be_loaded_show_their_authors_mistake(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    chapter.checks.write_text("import nonsense_that_is_missing\n", encoding="utf-8")
    file = tmp_path / "ch99_doubling.py"
    file.write_text(GOOD_DOUBLE + GOOD_TRIPLE, encoding="utf-8")
    report = grade_file(chapter, file)
    assert "No module named 'nonsense_that_is_missing'" in report.output and not report.passed


def test_prints_before_an_endless_loop_are_not_lost(tmp_path):
    double, _, _ = grade_double(tmp_path, "print('so far', x.shape)\nwhile True: pass", seconds=0.5)
    assert double.output == "so far (3,)"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a child that its parent is gone")
def test_the_child_does_not_outlive_a_killed_grader(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    place = tmp_path / "pid"
    body = f"import os; open({str(place)!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    file = write_learner(tmp_path, body)
    job = (
        "from pathlib import Path; from llm_from_scratch.grading.runner import *; "
        f"c = Chapter('ch99_doubling', Path({str(chapter.root)!r})); "
        f"grade_chapter(c, Path({str(file)!r}), c.tasks(), 1, Limits(60.0))"
    )
    with subprocess.Popen([sys.executable, "-c", job], cwd=Path(runner.__file__).parents[2]) as grader:
        for _ in range(600):
            if place.is_file() and place.read_text():
                break
            time.sleep(0.05)
        child = int(place.read_text())
        grader.kill()
    for _ in range(200):
        if not alive(child):
            break
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
