"""The family that CONTRIBUTING.md shows is whole: beside the others it builds, trains, saves, loads, and agrees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import families
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.zoo import catalogue

ROOT = Path(__file__).resolve().parents[2]
TINY: dict[str, Any] = dict(vocab_size=47, hidden_size=32, intermediate_size=40, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)


def blocks() -> list[str]:
    """The Python blocks of the page's section about families."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("## Adding a family")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture
def stablelm(tmp_path: Path) -> Iterator[families.Family]:
    (tmp_path / "stablelm.py").write_text(blocks()[0], encoding="utf-8")
    assert "stablelm" not in families.all_families(), "the page's example should not be one that the package has"
    yield families.register(tmp_path / "stablelm.py")
    families.forget(tmp_path / "stablelm.py")


def test_the_example_is_a_short_file_and_its_references_are_made_by_one() -> None:
    family, maker = blocks()
    assert len(family.splitlines()) < 100
    assert max(map(len, family.splitlines())) <= 120
    names = {node.id for node in ast.walk(ast.parse(maker)) if isinstance(node, ast.Name)}
    assert {"make", "VARIANTS", "StableLmConfig"} <= names


def test_it_builds_trains_saves_and_loads(stablelm: families.Family, tmp_path: Path) -> None:
    model = lfs.build("stablelm", **TINY)
    ids = np.random.default_rng(0).integers(0, 47, (4, 16))
    optimizer = lfs.AdamW(list(model.parameters()), lr=1e-2)
    losses = []
    for _ in range(3):
        losses.append(lfs.accumulate_gradients(model, ids, ids, threads=1))
        optimizer.step()
        optimizer.zero_grad()
    assert losses[2] < losses[1] < losses[0]
    model.save_pretrained(tmp_path / "saved")
    again = lfs.from_pretrained(tmp_path / "saved")
    assert again.spec == model.spec
    np.testing.assert_array_equal(again(ids).data, model(ids).data)
    whole = model.generate(ids[:1], max_new_tokens=8, temperature=0.0)
    np.testing.assert_array_equal(whole[0, -1], model(whole[:, :-1]).data[0, -1].argmax())


def test_it_is_in_the_map_with_its_published_size(stablelm: families.Family) -> None:
    assert Decoder(lfs.spec("stablelm-3b")).parameter_count == 2_795_443_200
    row = next(row for row in catalogue.rows() if row.title == "StableLM")
    assert row.design["positions"] == "rotary on 25%" and row.release.month == "2023-09"
    assert any("StableLM (2023-09)" in line for line in catalogue.tree())


def test_both_spellings_are_read_and_what_is_unknown_is_refused(stablelm: families.Family) -> None:
    early = {"model_type": "stablelm_epoch", **TINY, "rope_pct": 0.5, "norm_eps": 1e-3}
    current = {"model_type": "stablelm", **TINY, "layer_norm_eps": 1e-3}
    current["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    assert stablelm.spec(early) == stablelm.spec(current) != stablelm.spec({"model_type": "stablelm", **TINY})
    with pytest.raises(ValueError, match="qk_layernorm True is not supported"):
        stablelm.spec({**early, "qk_layernorm": True})
    with pytest.raises(ValueError, match="the option surprise = 1 is not known"):
        stablelm.spec({**early, "surprise": 1})


@pytest.mark.parametrize("options", [{}, {"use_parallel_residual": True}, {"use_qkv_bias": True}])
def test_the_transformers_library_agrees(stablelm: families.Family, tmp_path: Path, options: dict[str, Any]) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = lfs.build("stablelm", **TINY, **options)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.normal(size=parameter.shape).astype(np.float32)
    model.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = rng.integers(0, 47, (2, 20))
    with torch.no_grad():
        logits = theirs(torch.from_numpy(ids)).logits.numpy()
    assert np.abs(logits).max() > 1
    np.testing.assert_allclose(model(ids).data, logits, atol=2e-4)
