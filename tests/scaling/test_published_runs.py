"""Published runs: what papers print follows from each other, and the simulator is as near as it says."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from llm_from_scratch.scaling.layer_work import Efficiency
from llm_from_scratch.scaling.published_runs import PUBLISHED_RUNS, fit, log_errors, root_mean_square
from llm_from_scratch.scaling.run_memory import memory_of
from llm_from_scratch.scaling.simulator import EFFICIENCY

RUNS = {row.name: row for row in PUBLISHED_RUNS}
fitted = functools.cache(fit)


def test_names_sources_and_sizes() -> None:
    assert len(RUNS) == len(PUBLISHED_RUNS)
    for row in PUBLISHED_RUNS:
        assert row.source and row.run.gpus == row.cluster.gpus and row.value > 0
        assert (row.trained > 0) == (row.unit in ("GPU hours", "days"))
        assert "degrees" not in row.assumed or not row.fitted  # nothing guessed about the split was fitted to


def test_reports_agree_with_each_other() -> None:
    """Numbers that papers print twice in different units."""
    assert RUNS["LLaMA 65B"].tokens_per_second_per_gpu == pytest.approx(1.4e12 / (1_022_362 * 3600), rel=2e-3)
    bloom = RUNS["BLOOM-176B"]  # 150 TFLOP/s, and 105 s a step of 2,048 · 2,048 tokens
    assert bloom.tokens_per_second_per_gpu == pytest.approx(2048 * 2048 / 105 / 384, rel=0.01)
    # MFU 41.5, 51.4, 56.0, 56.3 % are printed beside the seconds of a step
    for name, utilisation in (("22B, selective", 0.415), ("175B, selective", 0.514), ("530B, selective", 0.560),
                              ("1T, selective", 0.563)):  # fmt: skip
        row = RUNS[name]
        step = row.predicted()
        per_token = step.mfu / step.tokens_per_second_per_gpu
        assert per_token * row.tokens_per_second_per_gpu == pytest.approx(utilisation, rel=5e-3)  # 1.10 s
    glm = RUNS["GLM-130B"].predicted()  # HFU 43.3 % is 135 TFLOP/s
    assert glm.hfu * 312 / 135 == pytest.approx(
        glm.tokens_per_second_per_gpu / RUNS["GLM-130B"].tokens_per_second_per_gpu
    )
    mpt = RUNS["MPT-7B, 2k, 8 A100"]  # MFU 64.23 % beside 4,641 tokens a second
    step = mpt.predicted()
    assert step.mfu / step.tokens_per_second_per_gpu * mpt.tokens_per_second_per_gpu == pytest.approx(0.6423, abs=5e-3)


def test_the_constants_are_those_of_the_fit() -> None:
    found = fitted()
    assert found.efficiency == EFFICIENCY == Efficiency()


def test_predictions_are_as_near_as_is_said() -> None:
    found = fitted()
    assert root_mean_square(found.errors) < 0.08
    assert root_mean_square(found.left_out) < 0.085
    assert root_mean_square(found.source_left_out) < 0.09
    assert found.errors.keys() == {row.name for row in PUBLISHED_RUNS if row.fitted}
    near = [name for name, error in found.left_out.items() if abs(error) < 0.10]
    assert len(near) / len(found.left_out) > 0.8
    # left out, a row is never nearer on the average than when it was seen
    assert root_mean_square(found.errors) <= root_mean_square(found.left_out)


def test_the_shape_of_scaling_is_predicted() -> None:
    """One model on more accelerators with the same batch: the bubble grows, and the reports fall as predicted."""
    few, many = RUNS["GPT-3 175B, 384"], RUNS["GPT-3 175B, 1,536"]
    predicted = many.predicted().tokens_per_second_per_gpu / few.predicted().tokens_per_second_per_gpu
    assert predicted == pytest.approx(141 / 153, abs=0.02)
    selective, full = RUNS["175B, selective"], RUNS["175B, recomputed"]
    predicted = selective.predicted().tokens_per_second_per_gpu / full.predicted().tokens_per_second_per_gpu
    assert predicted == pytest.approx(18.13 / 13.75, abs=0.08)


@pytest.mark.parametrize(("name", "within"), [
    ("LLaMA 65B", 0.20), ("LLaMA-2 70B", 0.20), ("OPT-175B", 0.20), ("Falcon-40B", 0.20), ("Falcon-180B", 0.35),
    ("BLOOM-176B", 0.10), ("Megatron 1T", 0.05), ("LLaMA 33B", 0.15), ("MPT-7B", 0.30),
])  # fmt: skip
def test_runs_of_the_year(name: str, within: float) -> None:
    row = RUNS[name]
    error = row.predicted().tokens_per_second_per_gpu / row.tokens_per_second_per_gpu - 1
    assert abs(error) < within


def test_every_report_is_of_the_size_that_is_predicted() -> None:
    """Those that had to be guessed at, too: a wrong unit, or a digit too many, is farther off."""
    guessed = tuple(row for row in PUBLISHED_RUNS if not row.fitted)
    errors = log_errors(guessed, EFFICIENCY)
    assert {row.name: error for row, error in zip(guessed, errors) if abs(error) > math.log(1.6)} == {}


def test_what_was_trained_fitted_in_memory() -> None:
    for row in PUBLISHED_RUNS:
        assert sum(memory_of(row.run).values()) <= row.cluster.accelerator.bytes, row.name


def test_errors_with_arrays_of_constants_are_those_with_numbers() -> None:
    rows = (RUNS["Megatron 3.6B"], RUNS["BLOOM-176B"], RUNS["MPT-7B, 8k, 8 A100"])
    together = log_errors(rows, Efficiency(np.array([0.5, 0.7]), np.array([0.0, 50.0])))
    for i, (share, size) in enumerate(((0.5, 0.0), (0.7, 50.0))):
        assert np.allclose(together[:, i], log_errors(rows, Efficiency(share, size)))
    alone = [math.log(row.predicted().tokens_per_second_per_gpu / row.tokens_per_second_per_gpu) for row in rows]
    assert np.allclose(log_errors(rows, EFFICIENCY), alone)
    with pytest.raises(ValueError, match="at least 3 rows"):
        fit(rows[:2])


def test_a_pair_of_constants_is_found_again() -> None:
    """Speeds that the simulator itself made: the fit finds what they were made with, left out or not."""
    import dataclasses

    rows = tuple(row for row in PUBLISHED_RUNS if row.source == RUNS["Megatron 1T"].source)
    errors = log_errors(rows, Efficiency(0.8, 60.0))
    made = tuple(
        dataclasses.replace(row, unit="tokens/s", value=row.tokens_per_second_per_gpu * math.exp(error))
        for row, error in zip(rows, errors)
    )
    found = fit(made)
    assert found.efficiency.matrix_share == pytest.approx(0.8) and found.efficiency.size == pytest.approx(60.0)
    assert max(map(abs, found.left_out.values())) < 1e-9
