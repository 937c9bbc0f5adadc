"""Helpers come and go, and no number depends on it: several callers, forks, exits, one core."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.kernels.compiled.token import ASLEEP
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.kernels.team import Team, team
from llm_from_scratch.kernels.threads import token_threads

pytestmark = pytest.mark.skipif(backend() == "numpy", reason="there are no helpers in this mode")
IDS = np.random.default_rng(0).integers(0, 30, (1, 12))


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr("llm_from_scratch.kernels.token._WORTH_HELP", 0)


def model():
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160}
    return lfs.build("llama", vocab_size=30, seed=1, **sizes)


def logits(net, threads):
    memory = net.new_memory(1)
    with token_threads(threads):
        return np.array([net.step(IDS[:, i : i + 1], memory) for i in range(IDS.shape[1])])


def test_any_number_of_threads_gives_the_same_bits():
    net = model()
    alone = logits(net, 1)
    for threads in (2, 3, 5, 2):
        np.testing.assert_array_equal(logits(net, threads), alone)


def test_several_callers_at_once():
    net, found, wrong = model(), [], []
    alone = logits(net, 1)

    def call():
        for _ in range(15):
            (found if np.array_equal(logits(net, 2), alone) else wrong).append(1)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == 60 and not wrong


def rests(helper):
    """Whether it stands at its alarm, noted as asleep: it takes no time of a core."""
    frame, names = sys._current_frames().get(helper.thread.ident), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "_rest" in names and team()._board[ASLEEP + 8 * helper.number] == 1


def test_helpers_sleep_and_are_woken():
    net = model()
    alone = logits(net, 2)
    for _ in range(5):
        until = time.monotonic() + 60  # on a busy machine a thousand looks take their time
        while not all(map(rests, team()._helpers)) and time.monotonic() < until:
            time.sleep(0.01)
        assert team()._helpers and all(map(rests, team()._helpers))
        np.testing.assert_array_equal(logits(net, 2), alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_helpers_of_its_own():
    net = model()
    alone = logits(net, 2)
    child = os.fork()
    if child == 0:
        same = np.array_equal(logits(net, 2), alone) and len(team()._helpers) == 1
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(logits(net, 2), alone)


def test_a_team_that_went_home_is_not_needed():
    net, other = model(), Team()
    other.close()
    alone = logits(net, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llm_from_scratch.kernels.token.team", lambda: other)
        np.testing.assert_array_equal(logits(net, 2), alone)
    assert not other._helpers


@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt", "threading.Thread(target=run, daemon=True).start()"])
def test_the_interpreter_ends_with_helpers_awake(end):
    code = f"""
        import threading, numpy as np, llm_from_scratch as lfs
        import llm_from_scratch.kernels.token as token
        token._WORTH_HELP = 0
        net = lfs.build("llama", vocab_size=30, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
        def run():
            memory = net.new_memory(1)
            for i in range(20):
                with token.threads_for_a_token.__globals__["token_threads"](2):
                    net.step([[i]], memory)
        run()
        print("done", flush=True)
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (
        "done" in done.stdout and done.returncode == (1 if "raise" in end else 0) or "KeyboardInterrupt" in done.stderr
    )
