"""Plans of stages: shapes, shares and tokens as planned, and the same bytes after an interruption anywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm_from_scratch.data.mixing import MixtureSampler, RanDry
from llm_from_scratch.data.stages import Stage, StagedSampler, batches_of, check_stages, planned_tokens

SOURCES = {"a": np.arange(1000, 2000), "b": np.arange(2000, 2900)}
PLAN = [
    Stage(context=4, batch_size=6, batches=3, weights={"a": 1.0}),
    Stage(context=8, batch_size=4, tokens=100, weights={"a": 0.25, "b": 0.75}),  # 32 a batch: 4 of them
    Stage(context=8, batch_size=2),
]


def staged(**changes):
    return StagedSampler(SOURCES, changes.pop("plan", PLAN), **{"seed": 2, **changes})


def same(left, right):
    assert left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_batches_follow_the_plan():
    sampler = staged()
    batches = [next(sampler)["ids"] for _ in range(12)]
    assert [ids.shape for ids in batches] == [(6, 4)] * 3 + [(4, 8)] * 4 + [(2, 8)] * 5
    assert all((ids < 2000).all() for ids in batches[:3])
    second = np.concatenate(batches[3:7])[:, 0] // 1000
    assert [(second == 1).sum(), (second == 2).sum()] == [4, 12]
    third = np.concatenate(batches[7:])[:, 0] // 1000  # by size, 10 : 9
    assert abs((third == 1).sum() - 10 * 10 / 19) < 1
    assert sum(ids.size for ids in batches) == planned_tokens(PLAN, 12) == 3 * 24 + 4 * 32 + 5 * 16
    figures = sampler.figures
    assert (figures["stage"], figures["context"], figures["batch_size"]) == (3, 8, 2)
    assert figures["rows a"] + figures["rows b"] == 18 + 16 + 10


def test_one_stage_is_a_mixture():
    one = StagedSampler(SOURCES, [Stage(8, 4, weights={"a": 0.5, "b": 0.5})], seed=2)
    other = MixtureSampler(SOURCES, 4, 8, weights={"a": 0.5, "b": 0.5}, seed=2)
    for _ in range(30):
        same(next(one), next(other))
    assert one.figures == other.figures


def test_batches_of_a_plan():
    assert batches_of(PLAN, 2) == [2, 0, 0] and batches_of(PLAN, 3) == [3, 0, 0]
    assert batches_of(PLAN, 5) == [3, 2, 0] and batches_of(PLAN, 100) == [3, 4, 93]
    assert planned_tokens(PLAN, 0) == 0


@pytest.mark.parametrize("steps", range(10))  # inside each stage, and exactly between them
def test_restored_equals_uninterrupted(steps):
    whole, first = staged(), staged()
    for _ in range(steps):
        same(next(whole), next(first))
    state = json.loads(json.dumps(first.state()))
    second = staged()
    for _ in range(9 - steps):  # wherever it stood
        next(second)
    second.restore(state)
    assert second.figures == whole.figures
    for _ in range(15):
        same(next(whole), next(second))
        assert second.figures == whole.figures
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_epochs_are_told_beforehand():
    sampler = staged()
    expected = sampler.epochs_after(40)
    for _ in range(40):
        next(sampler)
    for name in SOURCES:
        assert abs(sampler.figures[f"epochs {name}"] - expected[name]) < 0.05, name


def test_a_source_that_is_to_last_stops_the_run_where_it_was_foreseen():
    plan = [Stage(8, 4, batches=10, weights={"b": 1.0}), Stage(8, 4, weights={"a": 0.5, "b": 0.5})]
    sampler = staged(plan=plan, when_dry="stop")
    lasts = next(steps for steps in range(1, 500) if sampler.epochs_after(steps)["b"] > 1)
    with pytest.raises(RanDry, match="the source b has run dry"):
        for step in range(500):  # noqa: B007
            next(sampler)
    assert abs(step + 1 - lasts) <= 1


def test_a_wrong_state_is_refused():
    sampler = staged()
    for _ in range(5):
        next(sampler)
    state = sampler.state()
    with pytest.raises(ValueError, match="another plan"):
        staged(plan=PLAN[1:]).restore(state)
    for damage in ({"stage": 3}, {"stage": -1}, {"stage": "1"}, {"batch": -1}, {"batch": 5}, {"batch": None},
                   {"mixture": None}):  # fmt: skip
        with pytest.raises(ValueError, match="damaged"):
            staged().restore({**state, **damage})
    with pytest.raises(ValueError, match="when_dry: saved 'repeat', now 'stop'"):
        staged(when_dry="stop").restore(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 0}, "context must be at least 1"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"batches": 0}, "batches must be at least 1"),
        ({"tokens": 1.5}, "tokens must be a whole number"),
        ({"batches": 3, "tokens": 100}, "3 batches or 100 tokens long, not both"),
        ({"weights": {"a": 0.5}}, "must sum to 1"),
        ({"weights": [1.0]}, "weights are"),
    ],
)
def test_impossible_stages(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Stage(**{"context": 8, "batch_size": 2, **settings})


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([], "at least one stage"),
        ("stages", "a list of Stage"),
        ([Stage(8, 2), Stage(8, 2)], "stage 1 does not say how long it is"),
        ([Stage(8, 2, batches=2), {"context": 8}], "number 2 is"),
        (None, "a list of Stage"),
    ],
)
def test_impossible_plans(plan, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_stages(plan)


def test_what_a_later_stage_cannot_do_is_known_at_once():
    with pytest.raises(ValueError, match="stage 2: the source a: the corpus has 1,000 tokens"):
        staged(plan=[Stage(8, 2, batches=2), Stage(2000, 1)])
    with pytest.raises(ValueError, match="stage 2: there is no source z"):
        staged(plan=[Stage(8, 2, batches=2), Stage(8, 1, weights={"z": 1.0})])
