"""Commands under mpiexec: who speaks, what is refused, what is missing."""

import json
import subprocess
import sys

import pytest

from llm_from_scratch.cli import _session, main
from llm_from_scratch.parallel import RankExchange, run_ranks
from llm_from_scratch.recipes.recipe import Recipe
from llm_from_scratch.training import TrainingSettings
from llm_from_scratch.training.workers import available_cores


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")


@pytest.fixture
def first_of_two(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")


def test_a_command_for_one_process_says_so_once(first_of_two, capsys):
    assert main(["zoo"]) == 2
    assert (
        capsys.readouterr().err
        == "error: `zoo` is for one process: start it without mpiexec (it was started 2 times)\n"
    )


def test_other_ranks_are_silent(second_of_two, capsys):
    before = sys.stdout, sys.stderr
    assert main(["zoo"]) == 2
    with pytest.raises(SystemExit):
        main(["train", "--no-such-option"])
    assert (sys.stdout, sys.stderr) == before and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["train", "quickstart", "finetune", "align", "adapt"])
def test_help_says_how_to_start_several(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert f"mpiexec -n 2 python -m llm_from_scratch {command}" in said and "--rank-timeout" in said


@pytest.mark.parametrize("threads", [0, -1, available_cores() + 1])
def test_threads_are_at_least_one_and_at_most_the_cores(threads, tmp_path, capsys):
    assert main(["train", "--data", "tales", "--threads", str(threads), "--out", str(tmp_path / "run")]) == 2
    assert "threads" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf"])
def test_a_time_limit_is_a_number_above_0(seconds, tmp_path, capsys):
    assert main(["train", "--data", "tales", "--rank-timeout", seconds, "--out", str(tmp_path / "run")]) == 2
    assert "--rank-timeout" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_ranks_with_other_texts_are_named_before_anything_is_written(tmp_path):
    def train(end):
        recipe = Recipe(data=f"tales:{40 + end.rank}", layers=1, width=16, heads=2, vocabulary=300, context=32)
        plan = _session.Plan(recipe, TrainingSettings(steps=2, threads=2))
        return _session.carry_out(tmp_path / "run", plan, lambda text: None, exchange=RankExchange(end))

    with pytest.raises(ValueError, match='rank 1 is not like rank 0: recipe.data is "tales:41", not "tales:40"'):
        run_ranks(2, train)
    assert not (tmp_path / "run").exists()


def child(code, tmp_path, **environment):
    """What a process says that was started as the first of two, by an mpiexec that is not there."""
    import os

    own = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code, "train", "--data", "tales", "--steps", "2", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env={**own, **environment}, timeout=300)
    assert not (tmp_path / "run").exists()
    return done.returncode, done.stderr


RUN = "import sys; from llm_from_scratch.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "broken, said",
    [
        ("sys.modules['mpi4py'] = None", "this is one of 2 processes, and mpi4py is not installed: pip install"),
        (
            "import types; m = types.ModuleType('mpi4py'); sys.modules['mpi4py'] = m\n"
            "m.__getattr__ = lambda name: (_ for _ in ()).throw(RuntimeError('cannot load MPI library'))",
            "and there is no MPI library (cannot load MPI library): pip install",
        ),
    ],
)
def test_what_is_missing_is_named(broken, said, tmp_path):
    code, error = child(f"import sys\n{broken}\n{RUN}", tmp_path)
    assert code == 2 and error.startswith("error: ") and said in error and error.count("\n") == 1


def test_an_mpiexec_of_another_installation_is_noticed(tmp_path):
    pytest.importorskip("mpi4py")
    code, error = child(RUN, tmp_path)
    assert code == 2 and "has started 2 processes, and the MPI library of mpi4py sees 1" in error


def test_alone_nothing_imports_mpi(tmp_path):
    code = "import sys; sys.argv = ['x', 'zoo', 'llama', '--json']\nfrom llm_from_scratch.cli import main\nmain()\n"
    code += "import json; print(json.dumps([name for name in sys.modules if name.startswith('mpi4py')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout.strip().splitlines()[-1]) == []
