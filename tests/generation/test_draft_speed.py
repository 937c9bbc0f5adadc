from __future__ import annotations

import time

import numpy as np
import pytest

from llm_from_scratch.generation.draft_speed import DraftSpeed, expected_tokens, seconds_per_token


def test_expected_tokens_are_the_closed_form_and_what_coins_say():
    rng = np.random.default_rng(0)
    for a in (0.1, 0.5, 0.9):
        for k in (1, 4, 9):
            assert np.isclose(expected_tokens(a, k), (1 - a ** (k + 1)) / (1 - a))
            kept = rng.random((20_000, k)) < a
            brought = 1 + np.cumprod(kept, axis=1).sum(axis=1)
            assert abs(brought.mean() - expected_tokens(a, k)) < 4 * brought.std() / np.sqrt(20_000)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            expected_tokens(wrong, 3)


def test_speed_up_is_theorem_3_8_where_a_reading_costs_a_token():
    for a, c, k in ((0.6, 0.05, 3), (0.9, 0.2, 7)):  # walltime improvement (1 - a^(k+1)) / ((1 - a)(k c + 1))
        speed = DraftSpeed(token=2.0, guess=2.0 * c, reading=2.0, guesses=4)
        assert np.isclose(speed.speed_up(a, k), (1 - a ** (k + 1)) / ((1 - a) * (k * c + 1)))


def test_what_cannot_pay_and_the_best_number_of_guesses():
    slow = DraftSpeed(token=1.0, guess=1.0, reading=1.0, guesses=5)  # corollary 3.9: it pays only where a > c
    assert all(slow.speed_up(0.99, k) < 1 for k in range(1, 17)) and slow.best(0.5) == 1
    quick = DraftSpeed(token=1.0, guess=0.01, reading=1.1, guesses=5)
    assert quick.best(0.95) > quick.best(0.7) > quick.best(0.3) >= 1
    assert quick.speed_up(0.95, quick.best(0.95)) == max(quick.speed_up(0.95, k) for k in range(1, 17))


class Sleeping:
    """Takes 20 ms for a prompt and 2 ms for each token after it."""

    def new_memory(self, batch_size):
        return None

    def step(self, ids, memory, mask=None):
        time.sleep(0.02 if ids.shape[1] > 1 else 0.002)
        return np.zeros((1, 5))


def test_the_prompt_is_not_measured():
    assert 0.002 <= seconds_per_token(Sleeping(), [1, 2, 3], tokens=4)
    with pytest.raises(ValueError, match="at least 2"):
        seconds_per_token(Sleeping(), [1, 2], tokens=1)
    calls = []
    sleeping = Sleeping()
    sleeping.step = lambda ids, memory, mask=None: calls.append(ids.shape[1]) or np.zeros((1, 5))
    seconds_per_token(sleeping, [1, 2, 3], tokens=4, temperature=0.0)
    assert calls == [3, 1, 1, 1]
