"""The loop with a sampler that follows stages: tokens and learning rate are right, a resumed run is the same run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from standin import StandIn, open_stand_in, stream, validation

from llm_from_scratch.data.stages import Stage, StagedSampler, planned_tokens
from llm_from_scratch.training import TrainingSettings, read_log, train

PLAN = [
    Stage(context=4, batch_size=8, batches=6, weights={"a": 1.0}),
    Stage(context=8, batch_size=8, batches=6),
    Stage(context=16, batch_size=2),
]
STEPS = 10  # two batches each: 6 + 6 + 8
SETTINGS = TrainingSettings(
    steps=STEPS, learning_rate=0.02, final_learning_rate=0.002, warmup=2, micro_batches=2, checkpoint_every=1, keep=20,
    evaluate_every=4, threads=2, seed=5, total_tokens=planned_tokens(PLAN, 2 * STEPS),
)  # fmt: skip


def sampler():
    return StagedSampler({"a": stream(seed=3), "b": stream(700, seed=4)}, PLAN, seed=1)


def run(directory, **more):
    return train(StandIn(seed=1, dropout=0.3), sampler(), SETTINGS, directory=directory, validation=validation,
                 open_model=open_stand_in, progress=False, report=lambda text: None, **more)  # fmt: skip


class Killed(Exception):
    pass


def killed_after(last):
    def look(step, loss, model):
        if step == last:
            raise Killed

    return look


def test_tokens_and_rates_follow_the_plan(tmp_path):
    outcome = run(tmp_path)
    steps = [entry for entry in read_log(tmp_path) if "lr" in entry]
    sizes = [2 * 32] * 3 + [2 * 64] * 3 + [2 * 32] * 4
    assert [entry["tokens"] for entry in steps] == np.cumsum(sizes).tolist()
    assert outcome.tokens == SETTINGS.total_tokens == sum(sizes)
    assert [entry["stage"] for entry in steps] == [1] * 3 + [2] * 3 + [3] * 4
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]]) / sum(sizes) * STEPS  # in steps of average size
    expected = [
        0.02 * min(at + 1, 2) / 2 if at < 2 else 0.002 + 0.018 * (1 + np.cos(np.pi * (at - 2) / (STEPS - 2))) / 2
        for at in before
    ]
    assert [entry["lr"] for entry in steps] == pytest.approx(expected, rel=1e-12)
    assert max(entry["lr"] for entry in steps) == 0.02  # which is called the highest


@pytest.mark.parametrize("last", [2, 3, 5, 6, 7])  # inside each stage, and exactly between two
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, last):
    run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", on_step=killed_after(last))
    run(tmp_path / "killed", resume=True)
    for name in ("model.safetensors", "log.jsonl", f"step-{STEPS}/optimizer.safetensors", f"step-{STEPS}/state.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_another_plan_is_not_resumed(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, on_step=killed_after(3))
    other = StagedSampler({"a": stream(seed=3), "b": stream(700, seed=4)}, PLAN[1:], seed=1)
    with pytest.raises(ValueError, match="another plan"):
        train(StandIn(seed=1, dropout=0.3), other, SETTINGS, directory=tmp_path, resume=True, progress=False)


def test_rates_by_tokens_are_those_by_steps_where_all_batches_are_alike():
    plain = dataclasses.replace(SETTINGS, total_tokens=None)
    for step in range(STEPS):
        assert dataclasses.replace(plain, total_tokens=320).lr(step, 32 * step) == plain.lr(step)
