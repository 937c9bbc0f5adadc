"""A learner's function is called with copies, and what it did to them is known."""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import (
    Attempt,
)


def test_attempt_keeps_the_inputs_apart():
    shared = np.ones(2)

    def add_in_place(a, b, *more, scale=None):
        a += b + scale["s"]
        return a

    attempt = Attempt(add_in_place)
    scale = {"s": np.ones(2)}
    assert attempt(shared, shared, 1, scale=scale).tolist() == [3.0, 3.0]
    assert shared.tolist() == [1.0, 1.0]
    assert attempt.changed == ["the argument `a`"] and attempt.returned == 1
    assert attempt.last_call.startswith("add_in_place(<float64 (2,)>, <float64 (2,)>, 1, scale=")
