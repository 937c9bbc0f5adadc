"""Rejection sampling as a method of align: the best answers are learned, made once, and settings are checked."""

from __future__ import annotations

import json

import pytest

from llm_from_scratch.recipes import aligning, tuning

pytestmark = pytest.mark.usefixtures("cache")
QUICK = {
    "steps": 3, "batch": 2, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "threads": 1, "evaluations": 2,
    "training_prompts": 5, "answers": 3, "reward_tokens": 2000,
}  # fmt: skip


def resolved(start, **given):
    return aligning.resolved("rejection", model=str(start), data="tales", template="tales", **{**QUICK, **given})


@pytest.mark.parametrize("reward", ["true", "learned"])
def test_it_runs_with_either_reward_and_answers_are_sampled_once(reward, start, tmp_path, capsys):
    for run in ("first", "second"):
        settings = resolved(start, reward=reward)
        report = tuning.carry_out(tmp_path / run, "align", aligning.prepare_run, settings, progress=False)
        assert set(report["after"]["figures"]) == {"accuracy", "margin", "kl", "length", "true_score"}
    assert capsys.readouterr().out.count("of which the best is learned") == 1  # kept beside the data
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]
    (kept,) = (tmp_path / "cache").rglob("best-of-3-*.jsonl")
    rows = [json.loads(line)["messages"] for line in kept.read_text(encoding="utf-8").splitlines()]
    assert 1 <= len(rows) <= 5 and all(row[-1]["role"] == "assistant" and row[-1]["content"] for row in rows)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"answers": 1}, "answers must be a whole number of at least 2"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"reward": "best"}, "reward is 'learned' or 'true'"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_opened(given, message, start):
    with pytest.raises(ValueError, match=message):
        resolved(start, **given)
