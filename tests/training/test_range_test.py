"""The learning-rate range test: the curve is that of steps made by hand, what it says is so, and nothing is left."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from standin import StandIn, sampler

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers.module import Module
from llm_from_scratch.training import AdamW, TrainingSettings, accumulate_gradients, decay_groups, objective, store
from llm_from_scratch.training.divergence import Diverged
from llm_from_scratch.training.range_test import centred, find_learning_rate, plot_range_test

SETTINGS = TrainingSettings(steps=7, threads=1, clip=0.0, weight_decay=0.1, seed=4)


class Bowl(Module):
    """Half the curvature times x²: an update with rate r multiplies x by 1 - r · curvature."""

    def __init__(self, start=1.0):
        self.x = Tensor(np.array([start]), requires_grad=True)


class Nothing:
    """Batches that hold a number of rows, and nothing to learn."""

    def __init__(self):
        self.batch = 0

    def __next__(self):
        self.batch += 1
        return {"ids": np.zeros((1, 1), np.int64)}

    def state(self):
        return {"batch": self.batch}

    def restore(self, state):
        self.batch = state["batch"]


CURVATURE = 10.0


@objective(count=lambda batch: 1)
def height(model, batch, *, normaliser, rng=None):
    return (model.x * model.x).sum() * (CURVATURE / 2 / normaliser)


def test_on_a_bowl_the_curve_is_the_formula():
    plain = dataclasses.replace(SETTINGS, optimizer="sgd", betas=(0.0, 0.0), weight_decay=0.0)
    found = find_learning_rate(Bowl(), Nothing(), plain, objective=height, lowest=1e-4, highest=10.0, steps=60)
    x, expected = 1.0, []
    for rate in found.rates:
        x *= 1 - rate * CURVATURE
        expected.append(CURVATURE / 2 * x * x)
    assert found.losses == pytest.approx(expected, rel=1e-9)
    assert found.rates[0] == pytest.approx(1e-4) and found.rates[1] / found.rates[0] == pytest.approx(1e5 ** (1 / 59))
    # From 2 / curvature on every update overshoots by more than it came: that is where the test ends.
    assert found.diverged is not None and 2 / CURVATURE < found.diverged < 10
    assert len(found.rates) < 60 and found.losses[-1] > 1.5 * found.losses[0] / (1 - 1e-4 * CURVATURE) ** 2
    assert found.suggestion < found.lowest < 2 / CURVATURE * found.rates[1] / found.rates[0]


def test_the_curve_is_that_of_steps_made_by_hand():
    found = find_learning_rate(StandIn(seed=2), sampler(), SETTINGS, lowest=1e-4, highest=0.5, steps=20)
    model, batches = StandIn(seed=2), sampler()
    optimizer, losses = AdamW(decay_groups(model, 0.1), lr=1.0, betas=SETTINGS.betas, eps=SETTINGS.eps), []
    for rate in found.rates:
        losses.append(accumulate_gradients(model, next(batches), threads=1))
        optimizer.lr = rate
        optimizer.step()
        optimizer.zero_grad()
    losses.append(accumulate_gradients(model, next(batches), threads=1))
    assert len(found.rates) == 20 and found.rates[-1] == pytest.approx(0.5)
    assert found.losses == pytest.approx(losses[1:], rel=1e-10)
    assert found.diverged is None


def test_nothing_is_left_and_the_answer_repeats():
    model, batches = StandIn(seed=2, dropout=0.2), sampler()
    next(batches)
    weights, position = {n: p.data.copy() for n, p in model.named_parameters()}, batches.state()
    held = {n: p.data for n, p in model.named_parameters()}
    first = find_learning_rate(model, batches, SETTINGS, steps=30)
    for name, p in model.named_parameters():
        assert np.array_equal(p.data, weights[name]) and p.grad is None, name
        assert p.data is held[name]  # whoever shares the array sees it restored
    assert batches.state() == position
    assert find_learning_rate(model, batches, SETTINGS, steps=30) == first
    assert find_learning_rate(StandIn(seed=2, dropout=0.2), batches, SETTINGS, steps=30) == first
    assert math.isfinite(first.suggestion) and f"{first.suggestion:.2g}" in first.reason


def test_what_is_frozen_stays_and_micro_batches_count():
    model = StandIn(seed=2)
    model.embedding.requires_grad = False
    frozen = model.embedding.data.copy()
    one = find_learning_rate(model, sampler(), SETTINGS, steps=12)
    two = find_learning_rate(model, sampler(), dataclasses.replace(SETTINGS, micro_batches=3), steps=12)
    assert np.array_equal(model.embedding.data, frozen) and one.losses != two.losses


@pytest.mark.parametrize("stored, storage", [(True, "float32"), (True, "bfloat16"), (False, "bfloat16")])
def test_weights_in_two_bytes_are_put_back_too(stored, storage):
    model = StandIn(seed=2, dtype=np.float32)
    if stored:
        store(model)
    before = {name: p.stored.copy() for name, p in model.named_parameters()}
    chosen = dataclasses.replace(SETTINGS, storage=storage, statistics_every=1)
    assert find_learning_rate(model, sampler(), chosen, steps=12).rates
    for name, p in model.named_parameters():
        assert p.stored.dtype == before[name].dtype and np.array_equal(p.stored, before[name])


def test_a_loss_that_is_no_number_ends_it():
    @objective(count=lambda batch: 1)
    def cliff(model, batch, *, normaliser, rng=None):
        value = height(model, batch, normaliser=normaliser)
        return value * (math.inf if abs(model.x.data[0]) > 1.01 else 1.0)

    plain = dataclasses.replace(SETTINGS, optimizer="sgd", betas=(0.0, 0.0), weight_decay=0.0)
    model = Bowl()
    found = find_learning_rate(model, Nothing(), plain, objective=cliff, lowest=1e-4, highest=1e9, steps=40)
    assert np.isfinite(found.losses).all() and len(found.rates) == len(found.losses) == len(found.smoothed)
    assert found.diverged > found.rates[-1] and "broke off" in found.reason and model.x.data[0] == 1.0


def test_a_loss_that_is_no_number_before_any_rate_was_tried_says_so():
    @objective(count=lambda batch: 1)
    def nothing(model, batch, *, normaliser, rng=None):
        return height(model, batch, normaliser=normaliser) * math.nan

    model = Bowl()
    with pytest.raises(Diverged, match="step 1: .*nan"):
        find_learning_rate(model, Nothing(), SETTINGS, objective=nothing, steps=20)
    assert model.x.data[0] == 1.0 and model.x.grad is None


def test_a_loss_below_0_is_read_like_any_other():
    """Ten less everywhere: the same rates are seen, up to the same overshoot."""

    @objective(count=lambda batch: 1)
    def deep(model, batch, *, normaliser, rng=None):
        return height(model, batch, normaliser=normaliser) - 10.0

    plain = dataclasses.replace(SETTINGS, optimizer="sgd", betas=(0.0, 0.0), weight_decay=0.0)
    about = {"lowest": 1e-4, "highest": 10.0, "steps": 60}
    above = find_learning_rate(Bowl(), Nothing(), plain, objective=height, **about)
    below = find_learning_rate(Bowl(), Nothing(), plain, objective=deep, **about)
    assert below.suggestion == above.suggestion and below.lowest == above.lowest and below.rates == above.rates
    assert np.subtract(above.losses, below.losses) == pytest.approx(10.0)


def test_a_loss_that_does_not_fall_gives_no_suggestion():
    found = find_learning_rate(StandIn(seed=2), sampler(), SETTINGS, lowest=1e-9, highest=1e-8, steps=60)
    assert found.suggestion is None and found.lowest is None and "does not fall at any rate" in found.reason
    at_once = find_learning_rate(Bowl(), Nothing(), dataclasses.replace(SETTINGS, optimizer="sgd", weight_decay=0.0),
                                 objective=height, lowest=1.0, highest=10.0, steps=12)  # fmt: skip
    assert at_once.suggestion is None and at_once.diverged == pytest.approx(1.0)


def test_a_minimum_at_the_end_of_the_sweep_is_said():
    found = find_learning_rate(StandIn(seed=2), sampler(), SETTINGS, lowest=1e-4, highest=0.01, steps=40)
    assert found.lowest > 0.009 and "the end of the sweep" in found.reason


def test_smoothing_lags_behind_nothing():
    slope = [3.0 - 0.1 * k for k in range(50)]
    assert centred(slope, 7) == pytest.approx(slope)
    assert centred([5.0], 3) == [5.0] and centred([], 3) == []


def test_the_picture(tmp_path):
    found = find_learning_rate(StandIn(seed=2), sampler(), SETTINGS, steps=30)
    image = plot_range_test(found, tmp_path / "rates.png", "title")
    assert image.read_bytes()[:4] == b"\x89PNG"
    nothing = dataclasses.replace(found, rates=(), losses=(), smoothed=(), suggestion=None, lowest=None)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_range_test(nothing, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lowest": 0.0}, "lowest must be a finite number above 0"),
        ({"highest": math.inf}, "highest must be a finite"),
        ({"lowest": math.nan}, "lowest"),
        ({"lowest": True}, "lowest"),
        ({"lowest": 1.0, "highest": 1e-3}, "must rise"),
        ({"steps": 9}, "at least 10"),
        ({"steps": 20.0}, "whole number"),
        ({"worse": 1.0}, "worse must be above 1"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        find_learning_rate(StandIn(), sampler(), SETTINGS, **change)
