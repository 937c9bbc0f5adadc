from __future__ import annotations

import threading

import pytest

from llm_from_scratch.training.workers import balanced_shares, one_blas_thread, run_together


def test_jobs_end_before_an_error_is_raised():
    ended = []

    def slow():
        threading.Event().wait(0.05)
        ended.append(True)

    def fail():
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        run_together([fail, slow, slow])
    assert len(ended) == 2
    assert run_together(
        [lambda: run_together([lambda: 1, lambda: 2]), lambda: run_together([lambda: 3, lambda: 4])]
    ) == [
        [1, 2],
        [3, 4],
    ]


def test_limits_may_nest():
    with one_blas_thread(), one_blas_thread():
        pass
    assert sum(map(len, balanced_shares([3, 0, 9, 1], 3))) == 4
