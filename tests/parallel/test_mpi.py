"""Ranks as processes: equal to one, and what is said and left when one fails, dies, hangs, or is asked to stop."""

import json
import os
import signal

import pytest
from running import ended, go, largest_difference, start, wait_for

from llm_from_scratch.checkpoints import from_pretrained
from llm_from_scratch.parallel import mpi_exchange
from llm_from_scratch.training import read_log
from llm_from_scratch.training.checkpoint import latest_checkpoint, verified_state

pytestmark = pytest.mark.usefixtures("mpiexec")
WHOLE = {"steps": 8}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of one process that nobody disturbed, and its log."""
    directory = tmp_path_factory.mktemp("whole")
    _, weights = go(None, directory / "run", **WHOLE)
    return weights, read_log(directory / "run")


def check_log(directory, wanted):
    found = read_log(directory)
    assert [sorted(entry) for entry in found] == [sorted(entry) for entry in wanted]  # each line once
    for mine, theirs in zip(found, wanted):
        assert mine == pytest.approx(theirs, abs=1e-12)


def test_three_processes_equal_one(tmp_path):
    code, said = ended(start(3, tmp_path / "run", what="equality"))
    assert code == 0, said
    found = json.loads(said.splitlines()[-1])
    sent, predicted = found.pop("bytes")
    assert sent == predicted > 0
    for name, differences in found.items():
        most = 1e-12 if name in ("float64", "micro-batches") else 1e-5
        assert differences["loss"] < most and differences["validation"] < most, (name, differences)
        # bfloat16 is as coarse as that: a number may be rounded to its neighbour
        assert differences["weights"] < (most if name != "bfloat16" else 5e-3), (name, differences)
        assert differences["shards"] == 0 and differences["ranks"] == 0, (name, differences)


def test_a_killed_rank_is_named_and_the_run_goes_on_alone(tmp_path, whole):
    directory = tmp_path / "run"
    process = start(2, directory, what="sleep", after=5, shard_optimizer=True, **WHOLE)
    wait_for(tmp_path / "pid", process)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    code, said = ended(process)
    assert code != 0 and said.count("error: rank 1 (process") == 1 and "has died" in said
    kept = latest_checkpoint(directory)
    assert kept.name == "step-5" and f"{kept}, is intact" in said
    verified_state(kept)
    outcome, weights = go(None, directory, resume=True, **WHOLE)
    assert outcome.finished and largest_difference(weights, whole[0]) < 1e-12
    check_log(directory, whole[1])


def test_a_rank_that_hangs_is_named(tmp_path):
    process = start(3, tmp_path / "run", what="sleep", after=2, timeout=4.0, **WHOLE)
    code, said = ended(process)
    assert code == 2 and said.count("rank 1 has not come, nor answered, for 4 s") >= 1
    assert f"{tmp_path / 'run' / 'step-2'}, is intact" in said
    assert "rank 0 has" not in said and "rank 2 has" not in said


@pytest.mark.parametrize("what", ["rank 0 does not join", "rank 1 does not join", "rank 1 leaves MPI"])
def test_a_rank_that_does_not_join_is_not_waited_for(what, tmp_path):
    """As where one machine lacks what the others have: MPI would wait for it for ever."""
    code, said = ended(start(3, tmp_path / "run", what=what, timeout=4.0))
    speaker = 1 if "rank 0" in what else 0
    assert code != 0 and said.count("error: rank") == 1
    assert f"error: rank {speaker} has waited for 4 s for all 3 processes to join" in said


def test_an_error_of_one_rank_ends_all(tmp_path):
    code, said = ended(start(2, tmp_path / "run", what="fail", after=3, **WHOLE))
    assert code == 2 and "rank 1: [Errno 28] No space left on device" in said
    assert latest_checkpoint(tmp_path / "run").name == "step-3"


def test_one_process_then_two_then_one(tmp_path, whole):
    """Interrupted with a signal each time: SIGTERM to mpiexec, which hands it on to the ranks."""
    directory = tmp_path / "run"
    stop = {2: lambda: signal.raise_signal(signal.SIGINT)}
    outcome, _ = go(None, directory, on_step=lambda step, loss, model: stop.get(step, int)(), **WHOLE)
    assert not outcome.finished and outcome.step == 3
    process = start(2, directory, what="slow", after=3, resume=True, shard_optimizer=True, **WHOLE)
    wait_for(directory / "step-4", process)
    os.kill(process.pid, signal.SIGTERM)
    code, said = ended(process)
    told = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert code == 0 and 4 <= told["step"] <= 8
    assert (told["step"] == 8) == told["finished"] and f"after step {told['step']} of 8" in said + "after step 8 of 8"
    assert latest_checkpoint(directory).name == f"step-{told['step']}"
    _, weights = go(None, directory, resume=True, **WHOLE)
    assert largest_difference(weights, whole[0]) < 1e-12
    check_log(directory, whole[1])
    assert largest_difference({n: p.data for n, p in from_pretrained(directory).named_parameters()}, weights) == 0


def test_a_damaged_snapshot_stops_every_rank_with_one_message(tmp_path):
    directory = tmp_path / "run"
    go(None, directory, **WHOLE)
    path = latest_checkpoint(directory) / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, said = ended(start(2, directory, resume=True, **WHOLE))
    assert code == 2 and "optimizer.safetensors" in said.strip().splitlines()[-1]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "5", None])
def test_an_impossible_time_limit_is_refused(timeout):
    with pytest.raises(ValueError, match="seconds above 0"), mpi_exchange(timeout=timeout):
        pass
