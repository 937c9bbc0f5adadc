"""Rejection sampling as a method of align: the best answers are learned, made once, and settings are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files import download
from llm_from_scratch.recipes import aligning, tuning

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
QUICK = {
    "steps": 3, "batch": 2, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "threads": 1, "evaluations": 2,
    "training_prompts": 5, "answers": 3, "reward_tokens": 2000,
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny model with the tales' tokenizer, as a directory."""
    directory = tmp_path_factory.mktemp("start")
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    lfs.build(
        "llama", num_hidden_layers=1, num_attention_heads=2, hidden_size=16, intermediate_size=24,
        max_position_embeddings=512, vocab_size=len(tokenizer),
    ).save_pretrained(directory)  # fmt: skip
    tokenizer.save(directory)
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))


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
