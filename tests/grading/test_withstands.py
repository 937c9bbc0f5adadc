"""How the grader withstands work that changes, by accident or on purpose, what judges it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from grading_sandbox import CHECKS, HEAD, first_failure, grade_double, grade_file, make_exercises, write_learner

from llm_from_scratch.grading import runner
from llm_from_scratch.grading.processes import MARK

posix = pytest.mark.skipif(os.name != "posix", reason="forks, sessions and signals of POSIX")
A = "import llm_from_scratch.grading.assertions as a; "
S = "import llm_from_scratch.grading.session as s; "
POSES = "the answer must be plain data"
WRITTEN = "something else than the checks wrote into the grader's own channel"

# ruff: noqa: E501
# body of a `double` that is wrong or does what it may not, what must be read; it never passes
CAUGHT = {
    "np.seterr": ("np.seterr(all='ignore'); return 2 * x", "switches warnings off for the rest of the program (np.seterr)"),
    "warnings.simplefilter": ("import warnings; warnings.simplefilter('ignore'); return 2 * x", "(warnings.simplefilter"),
    "new code in a comparison": (A + "a.check_close.__code__ = (lambda *b: None).__code__; return x", "check_close"),
    "new code in numpy": ("np.allclose.__wrapped__.__code__ = (lambda *b: 1).__code__; return x", "numpy.allclose"),
    "new defaults": (A + "a.check_close.__defaults__ = ({},); return x", "replaces llm_from_scratch"),
    "a builtin": ("import builtins; builtins.abs = lambda v: 0; return x", "replaces builtins.abs"),
    "vars": ("import builtins; builtins.vars = lambda *v: {}; return x", "replaces builtins.vars"),
    "deepcopy": ("import copy; copy.deepcopy = lambda v: v; return x", "replaces copy.deepcopy"),
    "numpy as a whole": ("import sys; sys.modules['numpy'] = sys; return x", "replaces numpy"),
    "no grader": ("import sys; del sys.modules['llm_from_scratch.grading.guard']; return x", "replaces llm_from_scratch"),
    "the guard": (
        "import llm_from_scratch.grading.guard as g; g.Guard.restore = lambda s: ''; np.abs = None; return x",
        "replaces numpy.abs",
    ),
    "run_check": (S + "s.run_check = lambda c, *a: s.CheckResult(c.name, '', 'passed'); return x", "session.run_check"),
    "results that passed": (S + "s.CheckResult.passed = True; return x", "CheckResult.passed"),
    "the checks' own words": ("from llm_from_scratch.grading import CheckBroken as B; raise B('x')", "raises CheckBroken itself"),
    "imports the checks": ("import the_checks; return 2 * x", "No module named 'the_checks'"),
    "imports the solution": ("import sys; return sys.modules['the_worked'].double(x)", "KeyError: 'the_worked'"),
    "a subclass of arrays": ("class A(np.ndarray): __array_function__ = 1\nreturn (2 * x).view(A)", POSES),
    "a matrix": ("return np.asmatrix(2 * x)", "it is a matrix"),
    "a masked array": ("return np.ma.masked_array(2 * x, mask=True)", "it is a MaskedArray"),
    "an array of objects": ("class E: __eq__ = lambda *a: True\nreturn np.array([E()] * x.size)", "dtype object"),
    "poses as an array": ("class E: __array__ = lambda *a, **k: 2 * x\nreturn E()", "it is an E"),
    "equal to everything": ("class E: __eq__ = lambda *a: True\nreturn E()", POSES),
    "a number with its own minus": ("class F(float): __sub__ = lambda *a: 0.0\nreturn F(1)", POSES),
    "a generator": ("yield 2 * x", "not a generator. | a `yield` makes the function a generator"),
    "a coroutine": ("async def f(): return 2 * x\nreturn f()", "not a coroutine. | `async def` makes a coroutine"),
    "the function itself": ("return double", "not the function double. | call it"),
    "an exception without words": ("class E(Exception): __str__ = None\nraise E()", "(its text fails: TypeError)"),
    "a list in itself": ("l = []; l.append(l); return l", "RecursionError"),
    "another stdout": ("import sys; sys.stdout = open('x', 'w'); return x", "this is x itself"),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUGHT)
def test_never_passes_and_is_explained(tmp_path, name):
    body, words = CAUGHT[name]
    double, triple, _ = grade_double(tmp_path, body)
    assert double.status == "failed" and words in first_failure(double)
    assert triple.status == "passed"


ENDED = {
    "writes into the channel": ("import os\nfor n in range(3, 40):\n  try: os.write(n, b'{}\\n')\n  except OSError: pass", WRITTEN),
    "half a line": ("import os\nfor n in range(3, 40):\n  try: os.write(n, b'z')\n  except OSError: pass", WRITTEN),
    "closes it and goes on": ("import os; os.closerange(3, 256)\nwhile True: pass", "closed files that it did not open"),
    "turns it elsewhere": ("import os\nfor n in range(3, 40):\n  try: os.dup2(1, n)\n  except OSError: pass", "ended the whole process"),
    "silences the writer": ("import llm_from_scratch.grading.channel as c; c.Writer.send = print", "ended the whole process"),
    "kills itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the process was killed"),
    "forks on and on": (
        "import os, time\nfor i in range(40):\n  if os.fork() == 0: time.sleep(20); os._exit(0)\ntime.sleep(9)",
        "when it had started",
    ),
    "memory of a child": (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = b\"1\" * 1500000000; input()'], stdin=-1)",
        "GB of memory",
    ),
}  # fmt: skip


@posix
@pytest.mark.parametrize("name", ENDED)
def test_ends_the_task_alone(tmp_path, name):
    body, words = ENDED[name]
    double, triple, _ = grade_double(tmp_path, body + "\nreturn 2 * x", seconds=20.0)
    assert double.status == "failed" and words in double.stopped
    assert triple.status == "passed"


HARMLESS = {
    "a copy of the process": "import os; os.fork(); return 2 * x",
    "another folder": "import os; os.chdir('/'); return 2 * x",
    "no folder": "import shutil; shutil.rmtree('..', ignore_errors=True); return 2 * x",
    "no environment": "import os; os.environ.clear(); return 2 * x",
    "closed output": "import sys; sys.stdout.close(); print('hm'); return 2 * x",
    "a trace": "import sys; sys.settrace(lambda *a: None); return 2 * x",
    "threads": "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); return 2 * x",
    "numpy's own seed": "np.random.seed(0); return 2 * x",
    "warnings off for one line": "with np.errstate(all='ignore'): return 2 * x",
}


@posix
@pytest.mark.parametrize("name", HARMLESS)
def test_harms_nobody(tmp_path, name):
    double, triple, report = grade_double(tmp_path, HARMLESS[name])
    assert report.passed and [len(t.checks) for t in report.tasks] == [3, 2], "every check is reported once"


def test_warnings_switched_off_at_the_top_of_the_file_are_on_in_the_checks(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    wanted = 'import warnings\n\n@check("double")\ndef no_warning(double):\n    """no overflow"""\n'
    wanted += (
        '    with warnings.catch_warnings():\n        warnings.simplefilter("error")\n        double(np.ones(2))\n'
    )
    chapter.checks.write_text(CHECKS + wanted, encoding="utf-8")
    head = HEAD + "import warnings\nnp.seterr(all='ignore')\nwarnings.simplefilter('ignore')\n"
    file = write_learner(tmp_path, "np.exp(np.full(1, 1e4)); return 2 * x", head=head)
    double = grade_file(chapter, file).tasks[0]
    assert [c.name for c in double.checks if not c.passed] == ["no_warning"]
    assert "overflow encountered in exp" in first_failure(double)


def test_an_answer_that_changes_with_the_next_call(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    twice = '\n@check("double")\ndef twice(double):\n    """two calls"""\n    double(np.ones(3)), double(np.zeros(3))\n'
    chapter.checks.write_text(CHECKS + twice, encoding="utf-8")
    file = write_learner(
        tmp_path, "B[:] = 0; B[: len(x)] += 2 * x; return B[: len(x)]", head=HEAD + "B = np.zeros(3)\n"
    )
    double = grade_file(chapter, file).tasks[0]
    twice = next(c for c in double.checks if c.name == "twice")
    assert "the answer of an earlier call was changed by this one" in twice.message


@posix
@pytest.mark.parametrize("environment", ["None", "{}"])
def test_daemons_do_not_outlive_the_grader(tmp_path, environment):
    place = tmp_path / "pid"
    start = f"subprocess.Popen(['sleep', '60'], start_new_session=True, env={environment})"
    body = f"import os, subprocess\nif os.fork() == 0:\n    os.setsid()\n    p = {start}\n"
    body += f"    open({str(place)!r}, 'w').write(str(p.pid))\n    os._exit(0)\nos.wait(); return 2 * x"
    _, _, report = grade_double(tmp_path, body)
    assert report.passed and ended(int(place.read_text()))


@posix
def test_nor_do_they_where_the_grader_is_slow_to_look(tmp_path, monkeypatch):
    def late(mark, child):
        psutil.wait_procs([child], timeout=2)
        return end_all(mark, child)

    end_all = runner.end_all
    monkeypatch.setattr(runner, "end_all", late)
    test_daemons_do_not_outlive_the_grader(tmp_path, "{}")


@posix
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_grader_that_is_ended_leaves_nothing_behind(tmp_path, how):
    chapter = make_exercises(tmp_path / "exercises")
    place, temporary = tmp_path / "pid", tmp_path / "tmp"
    temporary.mkdir()
    file = write_learner(tmp_path, f"import os; open({str(place)!r}, 'w').write(str(os.getpid()))\nwhile True: pass")
    code = "import sys; from pathlib import Path; from llm_from_scratch.cli import grade, main; "
    code += f"grade.find_exercises = lambda: Path({str(chapter.root)!r}); "
    code += f"sys.exit(main(['grade', '--dir', {str(file.parent)!r}, '--seconds', '60']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(runner.__file__).parents[2], env=dict(os.environ, TMPDIR=str(temporary)),
        stdout=subprocess.DEVNULL,
    ) as grader:  # fmt: skip
        assert until(lambda: place.is_file() and place.read_text())
        grader.send_signal(how)
    assert ended(int(place.read_text()))
    assert until(lambda: not list(temporary.iterdir()))


@pytest.mark.parametrize("name", ["json", "random", "typing", "numpy", "re", "secrets"])
def test_files_named_like_libraries_in_the_current_folder(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')", encoding="utf-8")
    root = str(Path(runner.__file__).parents[2])
    answer = subprocess.run(
        [sys.executable, "-m", "llm_from_scratch", "grade", "--start", "mine"],
        cwd=tmp_path, env=dict(os.environ, PYTHONPATH=root), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0 and "copied" in answer.stdout, answer.stderr


def test_a_wrong_signature_names_the_call_and_no_line_of_the_checks(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    file = tmp_path / "ch99_doubling.py"
    file.write_text(HEAD + "def double(x, y):\n    return x\n\ndef triple(x):\n    return x\n", encoding="utf-8")
    double = grade_file(chapter, file).tasks[0]
    assert "missing 1 required positional argument: 'y'" in double.checks[0].message
    assert "in the call double(<float64 (3,)>)" in double.checks[0].message and "line" not in double.checks[0].message
    assert "keep the function's parameters" in double.checks[0].cause


def test_an_answer_that_the_check_cannot_use_is_not_blamed_on_a_line(tmp_path):
    chapter = make_exercises(tmp_path / "exercises")
    more = '\n@check("double")\ndef first(double):\n    """the first"""\n    double(np.ones(3))[0]\n'
    chapter.checks.write_text(CHECKS + more, encoding="utf-8")
    double = grade_file(chapter, write_learner(tmp_path, "2 * x")).tasks[0]
    first = next(c for c in double.checks if c.name == "first")
    assert "the check cannot use the answer, None: TypeError" in first.message and "line" not in first.message
    assert "`return`" in first.cause


def ended(pid: int) -> bool:
    return until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def until(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_the_mark_is_not_in_this_process():
    assert MARK not in os.environ
