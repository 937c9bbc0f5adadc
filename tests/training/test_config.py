from __future__ import annotations

import pytest

from llm_from_scratch.training import TrainingSettings


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"warmup": 7},
        {"schedule": "zigzag"},
        {"optimizer": "magic"},
        {"learning_rate": float("nan")},
        {"clip": -1.0},
        {"betas": (0.9, 1.0)},
        {"threads": 0},
        {"micro_batches": 0},
        {"total_tokens": 0},
        {"total_tokens": 1.5},
        {"total_tokens": True},
        {"schedule": "exponential"},  # down to 0 it cannot go
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises((ValueError, TypeError)):
        TrainingSettings(**{"steps": 6, **bad})


def test_settings_from_json_name_what_they_do_not_know():
    with pytest.raises(ValueError, match="learning_rat"):
        TrainingSettings.from_json({"steps": 3, "learning_rat": 1.0})
    with pytest.raises(ValueError, match="steps"):
        TrainingSettings.from_json({})


def test_settings_of_earlier_runs_had_no_optimiser_to_choose():
    earlier = TrainingSettings(steps=3).to_json()
    del earlier["optimizer"]
    assert TrainingSettings.from_json(earlier) == TrainingSettings(steps=3)


def test_a_schedule_by_tokens_gives_larger_batches_a_larger_part():
    settings = TrainingSettings(steps=10, learning_rate=1.0, schedule="linear", warmup=2, total_tokens=1000)
    assert settings.lr(0, 0) == 0.5 and settings.lr(1, 100) == 1.0  # a tenth of the tokens is a tenth of the run
    assert settings.lr(3, 600) == pytest.approx(0.5) and settings.lr(99, 1000) == 0.0
    assert settings.lr(5, 1200) == 0.0  # beyond what was planned
    earlier = TrainingSettings(steps=3).to_json()
    del earlier["total_tokens"]
    assert TrainingSettings.from_json(earlier) == TrainingSettings(steps=3)
