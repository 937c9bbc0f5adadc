"""The frontier: points on the way of every run, kept run by run, and nothing run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files import download
from llm_from_scratch.recipes import frontier

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"

CONTESTANTS = (("dpo", {"beta": 1.0}), ("apa", {"scale": 0.5}), ("best-of-n", {"beta": 1.0}))


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    quick = {"steps": 3, "batch": 2, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "evaluations": 3}
    monkeypatch.setattr(frontier, "SHARED", quick)
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
    model = lfs.build("llama", **small, max_position_embeddings=256, vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path / "start")
    tokenizer.save(tmp_path / "start")
    return {"model": str(tmp_path / "start"), "template": "tales", "threads": 1}


def test_points_are_measured_on_the_way(given, tmp_path):
    said: list[str] = []
    path = tmp_path / "frontier.json"
    found = frontier.collect(path, CONTESTANTS, [0], given, said.append)
    assert json.loads(path.read_text(encoding="utf-8")) == found and len(said) == 3
    for run in found["runs"][:2]:
        assert [point["step"] for point in run["points"]] == [0, 1, 2, 3]
        assert run["points"][0]["kl"] == 0 and run["prompts"] == 3
    best = found["runs"][2]["points"]
    assert [point["n"] for point in best] == [1, 2, 4, 8, 16] and best[0]["kl"] == 0
    frontier.collect(path, CONTESTANTS[:2], [0], given, said.append)
    assert len(said) == 3  # nothing was left to do
    frontier.collect(path, CONTESTANTS[:1], [0, 1], given, said.append)
    assert len(said) == 4 and len(json.loads(path.read_text(encoding="utf-8"))["runs"]) == 4
