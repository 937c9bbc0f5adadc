"""The expected calibration error by hand, of calibrated and overconfident models, and what noise makes."""

import numpy as np
import pytest

from llm_from_scratch.evaluation import calibration


def test_bins_by_hand():
    said = np.array([0.0, 0.05, 0.1, 0.55, 0.59, 0.95, 1.0])
    right = np.array([0, 1, 0, 1, 0, 1, 1], bool)
    result = calibration(said, right)
    assert [(b.low, b.count) for b in result.table] == [(0.0, 2), (0.1, 1), (0.5, 2), (0.9, 2)]
    gaps = [abs(0.5 - 0.025), 0.1, abs(0.5 - 0.57), abs(1 - 0.975)]
    assert result.value == pytest.approx(np.dot([2, 1, 2, 2], gaps) / 7) and float(result) == result.value
    assert "expected calibration error" in str(result) and result.count == 7


def test_calibrated_and_overconfident():
    rng = np.random.default_rng(0)
    said = rng.uniform(0.3, 1.0, 4000)
    honest = calibration(said, rng.random(4000) < said)
    boasting = calibration(said, rng.random(4000) < said - 0.2)
    assert honest.value < 0.03 and abs(honest.value - honest.by_chance) < 0.012
    assert boasting.value == pytest.approx(0.2, abs=0.03) and boasting.interval[0] > 0.17
    assert boasting.interval[0] < boasting.value < boasting.interval[1]


def test_few_predictions_in_many_bins_show_an_error_by_chance():
    rng = np.random.default_rng(1)
    said = rng.random(30)
    result = calibration(said, rng.random(30) < said, bins=20)
    assert result.value > 0.1 and result.by_chance > 0.1


def test_all_alike_and_a_single_one():
    assert calibration([0.7] * 10, [True] * 7 + [False] * 3).value == pytest.approx(0)
    assert calibration([0.7], [True]).interval == (-np.inf, np.inf)
    assert calibration([1.0], [1], bins=1).value == 0


@pytest.mark.parametrize(
    "said, right, message",
    [
        ([0.5, 1.2], [1, 0], "confidence 1 is 1.2"),
        ([0.5, np.nan], [1, 0], "confidence 1 is nan"),
        ([0.5], [2], "True and False"),
        ([0.5], [1, 0], "an outcome each"),
        ([], [], "an outcome each"),
        ([[0.5]], [[1]], "an outcome each"),
    ],
)
def test_what_is_no_probability(said, right, message):
    with pytest.raises(ValueError, match=message):
        calibration(said, right)
    with pytest.raises(ValueError, match="bins must be"):
        calibration([0.5], [1], bins=0)
