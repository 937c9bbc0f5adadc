"""The runner: turns, contenders that fail or are absent, threads, the cases of a run. No speed is asserted here."""

import json
import os
from pathlib import Path

import pytest

from llm_from_scratch.bench import growth, kinds, runner
from llm_from_scratch.bench.case import Case
from llm_from_scratch.bench.report import table
from llm_from_scratch.bench.runner import bench, cores_for, on_cores
from llm_from_scratch.cli import main

CORES = cores_for(None)


def play(monkeypatch, folder, source):
    """Let children find the case "c" of this source: names of contenders and what prepares them."""
    (folder / "sitecustomize.py").write_text(
        "import os, time\n"
        "from llm_from_scratch.bench import cases as module\n"
        "from llm_from_scratch.bench.case import Case, Seconds, saying\n"
        f"{source}\n"
        "module.cases = lambda threads, text=None: {'c': case}\n",
        encoding="utf-8",
    )
    root = str(Path(runner.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), root]))


@pytest.mark.parametrize("when", ["preparing", "working", "dying"])
def test_a_contender_that_fails_is_left_out_and_the_others_are_measured(monkeypatch, tmp_path, when):
    play(
        monkeypatch,
        tmp_path,
        "def failing():\n"
        "    left = [4]\n"
        "    def work():\n"
        "        left[0] -= 1\n"
        f"        if {when!r} == 'dying' and left[0] == 0: os._exit(9)\n"
        f"        if {when!r} == 'working' and left[0] == 0: raise KeyError('median')\n"
        f"    if {when!r} == 'preparing': raise OSError('no such file\\nand more')\n"
        "    return work\n"
        "case = Case('t', {'ours': failing, 'good': lambda: int})",
    )
    result = runner.run_case("c", Case("t", {"ours": int, "good": int}), threads=1, rounds=3, seconds=0.001)
    why = result["contenders"]["ours"]["absent"]
    expected = {"preparing": "OSError: no such file", "working": "KeyError: 'median'", "dying": "ended with code 9"}
    assert why.endswith(expected[when]) or expected[when] in why and "\n" not in why
    assert result["contenders"]["good"]["median"] > 0 and "left out" in table(result)


def test_memory_of_the_compiler_is_not_that_of_the_work(monkeypatch, tmp_path):
    """A process that had to compile begins anew, and finds everything in the cache."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "compiled"))
    play(
        monkeypatch,
        tmp_path,
        "import numpy as np\n"
        "def looking():\n"
        "    from llm_from_scratch.kernels import optimizers\n"
        "    again = os.environ.get('LLM_FROM_SCRATCH_BENCH_AGAIN')\n"
        "    return saying(lambda: optimizers.within(np.zeros(9), 1.0), again=again)\n"
        "case = Case('t', {'ours': looking})",
    )
    for again in ("1", None):
        result = runner.run_case("c", Case("t", {"ours": int}), threads=1, rounds=1, seconds=0.001)
        assert result["contenders"]["ours"]["again"] == again


def test_one_that_does_not_answer_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "PATIENCE", 0.2)
    play(monkeypatch, tmp_path, "case = Case('t', {'ours': lambda: time.sleep(3600)})")
    result = runner.run_case("c", Case("t", {"ours": int}), threads=1, rounds=1, seconds=0.001)
    assert result["contenders"]["ours"]["absent"] == "no answer in 0 s"


def test_what_a_work_says_of_itself_and_works_beside_are_kept(monkeypatch, tmp_path):
    source = (
        "case = Case('t', {'ours': lambda: saying(lambda: Seconds(3.5), bytes=12)}, 7.0, 'x', {'read': lambda: int})"
    )
    play(monkeypatch, tmp_path, source)
    case = Case("t", {"ours": int}, 7.0, "x", {"read": int})
    result = runner.run_case("c", case, threads=1, rounds=2, seconds=0.001)
    ours = result["contenders"]["ours"]
    assert (ours["median"], ours["rounds"], ours["bytes"], ours["rate"]) == (3.5, [3.5, 3.5], 12, 2.0)
    assert list(result["contenders"]) == ["ours"] and result["beside"]["read"]["median"] < 1
    assert "numpy" in ours["kind"] and "blas" in ours["kind"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to cores")
def test_a_child_is_told_of_no_more_cores_than_its_threads(monkeypatch, tmp_path):
    source = "case = Case('t', {'ours': lambda: saying(lambda: 0, cores=len(os.sched_getaffinity(0)))})"
    play(monkeypatch, tmp_path, source)
    before = os.sched_getaffinity(0)
    result = runner.run_case("c", Case("t", {"ours": int}), threads=1, rounds=1, seconds=0.001)
    assert result["contenders"]["ours"]["cores"] == 1 and os.sched_getaffinity(0) == before
    with on_cores(CORES):
        assert os.sched_getaffinity(0) == before


def test_every_child_plays_the_kind_that_the_command_is_told(monkeypatch, tmp_path, planted):
    monkeypatch.setattr(kinds, "environment", lambda kind: {kinds.VARIABLE: kind} if kind else {})
    source = f"case = Case('t', {{'ours': lambda: saying(lambda: 0, plays=os.environ['{kinds.VARIABLE}'])}})"
    play(monkeypatch, tmp_path, source)
    monkeypatch.setattr(runner, "cases", lambda threads, text=None: {"c": Case("t", {"ours": int})})
    file = tmp_path / "numbers.json"
    assert main(["bench", "c", "--quick", "--seconds", "0.001", "--as", "avx2", "--json", str(file)]) == 0
    measured = json.loads(file.read_text(encoding="utf-8"))
    assert measured["kind"] == measured["cases"]["c"]["contenders"]["ours"]["plays"] == "avx2"
    heard = []
    monkeypatch.setattr(growth, "run_case", lambda *case, **how: heard.append(how["kind"]) or planted(*case, **how))
    assert main(["bench", "--growth", "--quick", "--as", "avx"]) == 0
    assert set(heard) == {"avx"}


@pytest.mark.parametrize("threads", [0, -1, CORES + 1, True, 1.0])
def test_numbers_of_threads_that_cannot_be_are_refused_with_how_many_there_are(threads):
    with pytest.raises(ValueError, match=f"from 1 to the {CORES} cores of this machine, got {threads}"):
        bench(["adamw"], threads=threads)


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_rounds_and_seconds_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="at least 1"):
        bench(["adamw"], **settings)


def test_an_unknown_case_lists_those_there_are():
    with pytest.raises(ValueError, match="no case named step-999: choose from .*step-128.*bpe-encode"):
        bench(["adamw", "step-999"])


def test_without_names_the_cases_of_the_table_are_measured(monkeypatch):
    asked = []

    def run_case(name, case, *, threads, **settings):
        asked.append((name, threads))
        return {"title": name, "unit": "", "threads": threads, "contenders": {"ours": {"absent": "-"}}, "beside": {}}

    monkeypatch.setattr(runner, "run_case", run_case)
    monkeypatch.setattr(runner, "judged", lambda results: [])
    measured = bench(show=lambda line: None)
    assert list(measured["cases"]) == [
        name if n == CORES or (name, CORES) not in asked else f"{name}@{n}" for name, n in asked
    ]
    assert {("attention-256", 1), ("attention-256", CORES), ("bpe-train-100", 1), ("adamw", CORES)} <= set(asked)
    everything = {name for name, _ in asked}
    assert "merge-ties" not in everything and everything > {"read-bandwidth", "product-peak", "first-step-cold"}
    kept = []
    bench(["adamw", "import"], show=lambda line: None, keep=lambda so_far: kept.append(list(so_far["cases"])))
    assert kept == [["adamw"], ["adamw", "import"]]
    asked.clear()
    bench(quick=True, threads=1, show=lambda line: None)
    assert everything - {name for name, _ in asked} == {"bpe-train-100", "first-step-cold"}
    assert {n for _, n in asked} == {1}
