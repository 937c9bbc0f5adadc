"""Schedules keep their promises: everything once, no endless waiting, the bubble of the formula, few kept."""

import numpy as np
import pytest

from llm_from_scratch.parallel import schedules as S

SIZES = [(p, m) for p in (1, 2, 3, 4, 7) for m in (1, 2, 3, 8, 28)]
MAKERS = {
    "gpipe": (S.gpipe, 1),
    "one forward one backward": (S.one_forward_one_backward, 1),
    "two chunks": (lambda p, m: S.interleaved(p, m, 2), 2),
    "three chunks": (lambda p, m: S.interleaved(p, m, 3), 3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_everything_once_and_the_bubble_of_the_formula(name):
    make, chunks = MAKERS[name]
    tried = 0
    for stages, micro_batches in SIZES:
        if chunks > 1 and micro_batches % stages:
            continue
        tried += 1
        schedule = make(stages, micro_batches)
        expected = {(k, i, c) for k in ("forward", "backward") for i in range(micro_batches) for c in range(chunks)}
        assert len(schedule) == stages
        for actions in schedule:
            assert len(actions) == len(expected) and set(actions) == expected
        for forward, backward in ((1.0, 2.0), (1.0, 1.0), (3.0, 2.0)):
            done = S.timeline(schedule, forward=forward, backward=backward)
            assert S.idle_share(done) == pytest.approx(S.bubble_fraction(stages, micro_batches, chunks), abs=1e-12)
    assert tried >= 9


def test_nothing_before_what_it_needs_and_nothing_at_once():
    for make, _ in MAKERS.values():
        done = S.timeline(make(4, 8))
        ends = {(d.stage, d.action): d.end for d in done}
        for stage, (kind, i, chunk), start, _ in done:
            if kind == "backward":
                assert ends[stage, S.Action("forward", i, chunk)] <= start
            if kind == "forward" and stage:
                assert ends[stage - 1, S.Action("forward", i, chunk)] <= start
            if kind == "backward" and stage < 3:
                assert ends[stage + 1, S.Action("backward", i, chunk)] <= start
        for stage in range(4):
            mine = sorted((d.start, d.end) for d in done if d.stage == stage)
            assert all(before[1] <= after[0] for before, after in zip(mine, mine[1:]))


@pytest.mark.parametrize("stages, micro_batches", SIZES)
def test_how_many_are_kept(stages, micro_batches):
    assert [S.most_kept(a) for a in S.gpipe(stages, micro_batches)] == [micro_batches] * stages
    kept = [S.most_kept(actions) for actions in S.one_forward_one_backward(stages, micro_batches)]
    assert kept == [min(stages - stage, micro_batches) for stage in range(stages)]


def test_stages_that_wait_for_each_other():
    first, second = ([S.Action("forward", i), S.Action("backward", i)] for i in (0, 1))
    with pytest.raises(ValueError, match="the stages wait for each other: stage 0 cannot begin"):
        S.timeline([[*first, *second], [*second, *first]])


def test_bad_input():
    for stages, micro_batches in ((0, 1), (1, 0), (-1, 2), (True, 2), (2.0, 2), (2, None)):
        for make in (S.gpipe, S.one_forward_one_backward, S.bubble_fraction):
            with pytest.raises(ValueError, match="a pipeline has 1 or more"):
                make(stages, micro_batches)
    with pytest.raises(ValueError, match="in multiples of the 4 stages, got 6"):
        S.interleaved(4, 6, 2)


def test_the_bubble_vanishes_with_many_micro_batches():
    found = [S.bubble_fraction(12, m) for m in (1, 12, 256)]
    np.testing.assert_allclose(found, [11 / 12, 11 / 23, 11 / 267])
