"""Pipelines: the formula for equal stages, the longest path for any, what every device does once, and deadlocks."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from llm_from_scratch.scaling import pipeline_events
from llm_from_scratch.scaling.pipeline_events import bubble, order, play

CASES = [(p, m, v) for p in (1, 2, 3, 4, 8) for m in (1, 2, 3, 4, 8, 12, 24) for v in (1, 2, 3) if v == 1 or m % p == 0]


@pytest.mark.parametrize(("devices", "microbatches", "chunks"), CASES)
def test_equal_stages_are_idle_by_the_formula(devices: int, microbatches: int, chunks: int) -> None:
    if chunks > 1 and devices == 1:
        return
    stages = devices * chunks
    played = play([1.0] * stages, [2.0] * stages, devices=devices, microbatches=microbatches)
    assert played.seconds == pytest.approx(3 * (microbatches * chunks + devices - 1))
    assert played.idle == pytest.approx(bubble(devices, microbatches, chunks))
    assert played.busy == tuple([3.0 * microbatches * chunks] * devices)


@pytest.mark.parametrize(("devices", "microbatches", "chunks"), CASES)
def test_every_event_once_and_backward_after_forward(devices: int, microbatches: int, chunks: int) -> None:
    for device in range(devices):
        plan = order(device, devices, microbatches, chunks)
        wanted = {
            (back, chunk * devices + device, m)
            for back in (False, True) for chunk in range(chunks) for m in range(microbatches)
        }  # fmt: skip
        assert len(plan) == len(wanted) and set(plan) == wanted
        place = {event: i for i, event in enumerate(plan)}
        assert all(place[False, s, m] < place[True, s, m] for _, s, m in wanted)


@pytest.mark.parametrize(("devices", "microbatches", "chunks"), [(2, 5, 1), (4, 8, 1), (4, 8, 2), (3, 9, 3), (5, 2, 1)])
@pytest.mark.parametrize("send", [0.0, 0.3])
def test_unequal_stages_take_the_longest_path(devices: int, microbatches: int, chunks: int, send: float) -> None:
    """An independent reckoning: an event ends after its predecessor on the device and after what it needs."""
    rng = np.random.default_rng(devices * 100 + microbatches)
    stages = devices * chunks
    forward, backward = rng.uniform(0.5, 2, (2, stages)).tolist()
    plans = [order(d, devices, microbatches, chunks) for d in range(devices)]
    before = {event: plan[i - 1] if i else None for plan in plans for i, event in enumerate(plan)}

    @functools.cache
    def end(event: tuple[bool, int, int]) -> float:
        back, stage, m = event
        ready = [0.0] if before[event] is None else [end(before[event])]
        neighbour = stage + 1 if back else stage - 1
        if 0 <= neighbour < stages:
            ready.append(end((back, neighbour, m)) + send)
        return max(ready) + (backward if back else forward)[stage]

    played = play(forward, backward, devices=devices, microbatches=microbatches, send=send)
    assert played.seconds == pytest.approx(max(end(plan[-1]) for plan in plans), rel=1e-12)


def test_limits_and_tendencies() -> None:
    many = play([1.0] * 4, [2.0] * 4, devices=4, microbatches=4000).idle
    assert many < 1e-3 < play([1.0] * 4, [2.0] * 4, devices=4, microbatches=40).idle
    alone = play([1.0], [2.0], devices=1, microbatches=7, send=1e9)
    assert alone.seconds == 21 and alone.idle == 0  # nobody to send to
    waits = [play([1.0] * 4, [2.0] * 4, devices=4, microbatches=8, send=s).seconds for s in (0.0, 0.1, 1.0)]
    assert waits == sorted(waits) and waits[0] < waits[2]
    # by turns it holds as many activations as there are stages behind, however many micro-batches
    assert play([1.0] * 4, [2.0] * 4, devices=4, microbatches=100).held == (4, 3, 2, 1)
    assert play([1.0] * 8, [2.0] * 8, devices=4, microbatches=8).held[0] == 2 * 3 + 4 + 1


def test_an_order_that_waits_for_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pipeline_events.order

    def wrong(device: int, *sizes: int) -> list[tuple[bool, int, int]]:
        plan = right(device, *sizes)
        return plan[::-1] if device == 1 else plan

    monkeypatch.setattr(pipeline_events, "order", wrong)
    with pytest.raises(RuntimeError, match="wait for each other"):
        play([1.0] * 3, [1.0] * 3, devices=3, microbatches=3)


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="3 forwards and 3 backwards are no equal share for 2 devices"):
        play([1.0] * 3, [1.0] * 3, devices=2, microbatches=2)
    with pytest.raises(ValueError, match="take a multiple of 2, not 3"):
        play([1.0] * 4, [1.0] * 4, devices=2, microbatches=3)
    with pytest.raises(ValueError, match="devices must be a whole number"):
        play([1.0], [1.0], devices=0, microbatches=1)
    with pytest.raises(ValueError, match="no equal share"):
        play([], [], devices=1, microbatches=1)
