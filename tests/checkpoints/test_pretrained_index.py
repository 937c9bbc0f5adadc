"""Indexes of sharded checkpoints that list more than the shards hold, or less: right, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs

Change = Callable[[dict[str, Any]], object]
LAST = "model-00003-of-00003.safetensors"
INV_FREQ = "model.layers.0.self_attn.rotary_emb.inv_freq"


@pytest.fixture
def tied(tmp_path: Path) -> tuple[Any, Path]:
    model = lfs.build(
        "llama", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, vocab_size=31,
        max_position_embeddings=16, tie_word_embeddings=True,
    )  # fmt: skip
    model.save_pretrained(tmp_path, max_shard_size="4500B")
    assert (tmp_path / LAST).exists()
    return model, tmp_path


def _edit(directory: Path, change: Change) -> None:
    index = directory / "model.safetensors.index.json"
    content = json.loads(index.read_text(encoding="utf-8"))
    change(content)
    index.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["weight_map"].update({"lm_head.weight": LAST}),
        lambda index: index["weight_map"].update({INV_FREQ: LAST, "lm_head.weight": LAST}),
        lambda index: index["weight_map"].update({INV_FREQ.removeprefix("model."): LAST}),
        lambda index: index.update(metadata={"total_size": 7}),
        lambda index: index.pop("metadata"),
        lambda index: index.update(metadata=None),
    ],
)
def test_what_is_not_missed_may_be_absent(tied: tuple[Any, Path], change: Change) -> None:
    model, directory = tied
    _edit(directory, change)
    again = lfs.from_pretrained(directory)
    assert all(np.array_equal(a, model.state_dict()[name]) for name, a in again.state_dict().items())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda index: index["weight_map"].update({"model.layers.7.mlp.up_proj.weight": LAST}), "not expected: .*rs.7"),
        (lambda index: index["weight_map"].pop("model.norm.weight"), "does not mention tensor 'model.norm.weight'"),
        (lambda index: index["weight_map"].update({"model.norm.weight": "model-00001-of-00003.safetensors"}),
         "'model.norm.weight' is in model-00001-of-00003.safetensors, but it is not there"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "model-00004-of-00004.safetensors"}), "1 are"),
    ],
)  # fmt: skip
def test_an_index_that_lies_is_refused(tied: tuple[Any, Path], change: Change, message: str) -> None:
    _edit(tied[1], change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        lfs.from_pretrained(tied[1])


def test_a_head_that_is_needed_is_missing(tied: tuple[Any, Path]) -> None:
    _edit(tied[1], lambda index: index["weight_map"].update({"lm_head.weight": LAST}))
    config = tied[1] / "config.json"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"tie_word_embeddings": true', '"tie_word_embeddings": false'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"missing: lm_head.weight \(the index lists lm_head.weight\)"):
        lfs.from_pretrained(tied[1])


def test_a_whole_file_beside_shards_is_the_one_that_counts(tied: tuple[Any, Path], tmp_path: Path) -> None:
    _, directory = tied
    other = lfs.build(
        "llama", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, vocab_size=31,
        max_position_embeddings=16, tie_word_embeddings=True, seed=1,
    )  # fmt: skip
    other.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").rename(directory / "model.safetensors")
    again = lfs.from_pretrained(directory)
    assert np.array_equal(again.embedding.weight.data, other.embedding.weight.data)
