"""What must hold for every published variant that has a fixture: any split into chunks gives the same logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files.sharded import read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "config.json").exists())


@pytest.mark.parametrize("name", [name for name in NAMES if "float16" not in name and "dynamic" not in name])
def test_any_split_into_chunks_gives_the_same_logits(name: str) -> None:
    model = lfs.from_pretrained(FIXTURES / name, dtype=np.float64)
    ids = read_safetensors(FIXTURES / name / "reference.safetensors")["input_ids"]
    with lfs.no_grad():
        whole = model(ids).data
        for borders in ([0, 1, 2, 3, 4, 5, ids.shape[1]], [0, 9, ids.shape[1]], [0, 7, 8, 15, ids.shape[1]]):
            memory = model.new_memory(len(ids))
            parts = [model(ids[:, a:b], memory=memory).data for a, b in zip(borders, borders[1:])]
            np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-11)
