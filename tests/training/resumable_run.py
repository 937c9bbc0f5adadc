"""A training run in a process of its own, to be killed: python resumable_run.py DIRECTORY [--kill-at N] [--slow S].

--kill-at N: the process kills itself (as SIGKILL does: no clean-up, no handlers) at the N-th call that changes the
file system on the way to a checkpoint. --slow S: every step takes S seconds longer, so that a test has time to kill it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--slow", type=float, default=0.0)
    arguments = parser.parse_args()

    sys.path.insert(0, os.path.dirname(__file__))
    from standin import StandIn, open_stand_in, sampler, validation

    from llm_from_scratch.training import TrainingSettings, train

    class Slow(StandIn):
        def loss(self, batch, **settings):
            time.sleep(arguments.slow)
            return super().loss(batch, **settings)

    calls = kill_at(arguments.kill_at) if arguments.kill_at else [0]
    settings = TrainingSettings(
        steps=STEPS,
        learning_rate=0.02,
        warmup=5,
        micro_batches=2,
        evaluate_every=7,
        checkpoint_every=4,
        threads=2,
        seed=5,
    )
    outcome = train(
        Slow(seed=1, dropout=0.3) if arguments.slow else StandIn(seed=1, dropout=0.3),
        sampler(),
        settings,
        directory=arguments.directory,
        validation=validation,
        resume=True,
        progress=False,
        open_model=open_stand_in,
    )
    print("calls", calls[0], "finished", outcome.finished)


def kill_at(place: int) -> list[int]:
    """From now on count the calls that change files, in the list returned, and die at number `place`."""
    calls = [0]

    def counted(function):
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == place:
                if hasattr(signal, "SIGKILL"):
                    os.kill(os.getpid(), signal.SIGKILL)
                os._exit(9)
            return function(*args, **kwargs)

        return call

    for name in ("replace", "rename", "mkdir", "rmdir", "unlink", "fsync"):
        setattr(os, name, counted(getattr(os, name)))
    return calls


if __name__ == "__main__":
    main()
