"""One small training run, by any number of ranks: as threads, as processes (this file is the program), or alone.

mpiexec -n 2 python running.py DIRECTORY '{"steps": 8, …}'
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.parallel import RankExchange

FEW_BYTES = 3000  # a bucket: several to a model of this size


class Rows:
    """Batches of `rows` rows with masks: rows without any target, and with few or many."""

    def __init__(self, rows=5, other=False):
        self.rows, self.other, self.number = rows, other, 0

    def __next__(self):
        rng = np.random.default_rng(self.number)
        self.number += 1
        ids = rng.integers(0, 32, (self.rows, 13))
        targets = np.roll(ids, -1, 1)
        for row in range(self.rows):
            targets[row, : rng.integers(0, 13)] = -100
        if self.number % 3 == 0:
            targets[:2] = -100  # with three ranks the first has nothing to learn from
        return {"ids": (ids + (self.other and self.number == 2)) % 32, "targets": targets}

    def state(self):
        return {"number": self.number}

    def restore(self, state):
        self.number = state["number"]


def tiny(dtype="float64", seed=0, **config):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = lfs.build("llama", **sizes, vocab_size=32, tie_word_embeddings=True, seed=seed, **config)
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(dtype)
    return model


def go(
    exchange=None, directory=None, *,
    dtype="float64", built=(), rows=5, resume=False, on_step=None, other=False, identity=None, **chosen,
):  # fmt: skip
    """Train; the outcome and the weights."""
    model = tiny(dtype, **dict(built))
    settings = {"steps": 6, "learning_rate": 1e-2, "clip": 0.5, "threads": 1, "checkpoint_every": 1, **chosen}
    outcome = lfs.train(
        model,
        Rows(rows, other),
        lfs.TrainingSettings(**settings),
        exchange=exchange,
        directory=directory,
        validation=lambda: [next(Rows(3)), next(Rows(1))],
        resume=resume,
        on_step=on_step,
        identity=identity,
        progress=False,
        title="a run",
    )
    return outcome, {name: np.array(p.stored) for name, p in model.named_parameters()}


def over(ranks, **chosen):
    """The same on a communicator."""
    return go(RankExchange(ranks, bucket=FEW_BYTES), **chosen)


def largest_difference(a, b):
    return max(float(np.abs(a[name].astype(float) - b[name].astype(float)).max()) for name in a)


def start(ranks, directory, **options):
    """Begin this program on so many processes, in a session of its own; its output comes through a pipe."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    command = [str(mpiexec), "-n", str(ranks), sys.executable, __file__, str(directory), json.dumps(options)]
    root = str(Path(lfs.__file__).parents[1])
    environment = {**os.environ, "LLM_FROM_SCRATCH_KERNELS": "numpy", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def ended(process, seconds=240):
    """(exit code, everything it said); whatever is left of its session is killed."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass  # nothing is left of it
    return process.returncode, said


def wait_for(path, process, seconds=200):
    until = time.monotonic() + seconds
    while not path.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"{path.name} did not come: {ended(process, 5)}")
        time.sleep(0.05)


def main(directory, options):
    from llm_from_scratch.parallel import launched, mpi_exchange

    directory = Path(directory)
    after, what = options.pop("after", 0), options.pop("what", "")
    timeout = options.pop("timeout", 200.0)
    if what.startswith(f"rank {launched()[0]} "):
        if what.endswith("leaves MPI"):
            import mpi4py.MPI  # noqa: F401
        sys.exit(3)
    with mpi_exchange(timeout=timeout) as exchange:

        def on_step(step, loss, model):
            if what == "slow" and step >= after:
                time.sleep(0.05)
            if exchange.rank == 1 and step == after and what in ("sleep", "fail"):
                directory.parent.joinpath("pid").write_text(str(os.getpid()), encoding="utf-8")
                if what == "fail":
                    raise OSError(28, "No space left on device")
                time.sleep(1000)

        if what == "equality":
            found = equality(exchange)
            if exchange.leads:
                print(json.dumps(found))
        else:
            outcome, weights = go(exchange, directory, on_step=on_step, **options)
            if exchange.leads:
                print(json.dumps({"step": outcome.step, "finished": outcome.finished}))


def equality(exchange):
    """What MPI has to show of it; the many cases are tried on threads."""
    from llm_from_scratch.parallel.volume import chunks_sent

    ranks, found = exchange.ranks, {}
    exchange.bucket = FEW_BYTES
    for name, chosen in {
        "float64": {},
        "float32": {"dtype": "float32"},
        "micro-batches": {"micro_batches": 2, "rows": 4},
        "bfloat16": {"dtype": "float32", "storage": "bfloat16"},
    }.items():
        alone, wanted = go(**chosen)
        several, weights = go(exchange, **chosen)
        _, shared = go(exchange, shard_optimizer=True, **chosen)
        found[name] = {
            "loss": abs(several.loss - alone.loss),
            "validation": abs(several.validation["loss"] - alone.validation["loss"]),
            "weights": largest_difference(weights, wanted),
            "shards": largest_difference(shared, weights),
            "ranks": max(exchange.gather(float(sum(np.abs(w.astype(float)).sum() for w in weights.values()))))
            - min(exchange.gather(float(sum(np.abs(w.astype(float)).sum() for w in weights.values())))),
        }
    array, before = np.ones(1001, np.float32), ranks.bytes_sent
    ranks.all_reduce(array)
    found["bytes"] = [ranks.bytes_sent - before, sum(chunks_sent(1001, 4, ranks.size, ranks.rank))]
    return found


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
