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
