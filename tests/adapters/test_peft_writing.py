"""What we write, we read again; fused modules become one pair, whose scale stays; what has no place is refused.

peft reads it too: with LLM_FROM_SCRATCH_PEFT=DIR these tests leave what they wrote there, for
`python tests/adapters/fixtures/make_peft.py back DIR`, which prints how far peft's logits are from ours.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_from_scratch import adapters as A

from .conftest import FAMILIES, IDS, small, state, stir
from .test_adapted import REFUSED, TECHNIQUES
from .test_peft_reading import base

PEFT_IDS = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]])
MADE = TECHNIQUES | {
    "dora": lambda m: A.add_lora(m, 2, decomposed=True, targets=("output", "head") if not m.spec.tied else ("output",)),
    "one part": lambda m: A.add_lora(m, 2, targets=("value" if hasattr(m.layers[-1].mixer, "value") else "input",)),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("technique", MADE)
@pytest.mark.parametrize("trained", [True, False])
def test_written_and_read_again_on_every_family(family, technique, trained, tmp_path):
    if (family, technique) in REFUSED:
        return
    model, again = small(family), small(family)
    MADE[technique](model)
    if trained:
        stir(model)
    A.save_adapter(model, tmp_path)
    A.load_adapter(again, tmp_path)
    np.testing.assert_allclose(again(IDS).data, model(IDS).data, atol=1e-12)
    ours, theirs = state(model), state(again)
    if technique != "reparametrised prefix":
        assert ours.keys() == theirs.keys() and all(ours[n].shape == theirs[n].shape for n in ours)
        A.save_adapter(again, tmp_path / "again")
        files = [(folder / "adapter_model.safetensors").read_bytes() for folder in (tmp_path, tmp_path / "again")]
        assert files[0] == files[1]


CASES = {
    "llama_gqa": lambda m: A.add_lora(m, 2, alpha=3, targets=("query", "value", "down")),
    "llama_gqa-ia3": A.add_ia3,
    "llama_gqa-prefix": lambda m: A.add_prefix(m, 3, reparametrized=True),
    "llama_gqa-prompt": lambda m: A.add_prompt(m, 3),
    "llama_gqa-dora": lambda m: A.add_lora(m, 2, targets="all-linear", decomposed=True, stabilized=True),
    "llama_tied-head": lambda m: A.add_lora(m, 2, targets=("head", "value")),
    "llama_tied-embedding": lambda m: A.add_lora(m, 2, targets=("embedding", "query")),
    "gpt2_tied-query_value": A.add_lora,
    "gpt2_tied-value_ia3": lambda m: A.add_ia3(m, targets=("value", "down")),
    "neox_pythia-rslora": lambda m: A.add_lora(m, 2, targets=("query", "value"), stabilized=True),
    "bloom_4_heads-key": lambda m: A.add_lora(m, 3, targets=("key",)),
    "falcon_multi_query": lambda m: A.add_lora(m, 2, targets=("query", "value", "output")),
    "falcon_new-ia3": A.add_ia3,
    "mpt_4_heads": lambda m: A.add_lora(m, 2, targets=("layers.0.mixer.query", "layers.1.mixer.value", "up")),
    "mixtral_top2-experts": lambda m: A.add_lora(m, 2, targets=("gate", "up", "down", "query")),
    "mamba_tied": lambda m: A.add_lora(m, 2, targets=("input", "selection")),
    "mamba_tied-gate": lambda m: A.add_lora(m, 2, targets=("gate",)),
}


@pytest.mark.parametrize("case", CASES)
def test_on_the_miniatures_that_peft_knows(case, tmp_path):
    model = base(case, np.float32)
    CASES[case](model)
    stir(model)
    folder = Path(os.environ.get("LLM_FROM_SCRATCH_PEFT", tmp_path)) / case
    shutil.rmtree(folder, ignore_errors=True)
    A.save_adapter(model, folder)
    save_file({"logits": model(PEFT_IDS).data}, folder / "ours.safetensors")
    again = base(case, np.float32)
    A.load_adapter(again, folder)
    np.testing.assert_allclose(again(PEFT_IDS).data, model(PEFT_IDS).data, atol=1e-5)


def test_a_fused_pair_has_the_summed_rank_zeros_between_and_the_scale():
    for stabilized in (False, True):
        model = small("gpt2", np.float32)
        A.add_lora(model, 2, alpha=6, name="a", stabilized=stabilized)
        stir(model)
        part = model.layers[0].mixer.query.adapters["a"]
        folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"fused-{os.getpid()}"
        A.save_adapter(model, folder, name="a")
        tensors = load_file(folder / "adapter_model.safetensors")
        config = json.loads((folder / "adapter_config.json").read_text())
        shutil.rmtree(folder)
        key = "base_model.model.transformer.h.0.attn.c_attn.lora_"
        pair_a, pair_b = tensors[f"{key}A.weight"], tensors[f"{key}B.weight"]
        assert pair_a.shape == (4, 32) and pair_b.shape == (96, 4)
        assert not pair_b[:32, 2:].any() and not pair_b[32:64].any() and not pair_b[64:, :2].any()
        scale = config["lora_alpha"] / (np.sqrt(4) if stabilized else 4)
        assert config["r"] == 4 and scale == pytest.approx(part.scale) and config["use_rslora"] == stabilized
        delta = (pair_b @ pair_a).T * scale
        np.testing.assert_allclose(delta[:, :32], part.delta(), atol=1e-6)


def test_parts_of_different_scales(tmp_path):
    model, again = small("gpt2"), small("gpt2")
    A.add_lora(model, 2, alpha=6)
    model.layers[0].mixer.value.adapters["default"].alpha = 1.0
    stir(model)
    A.save_adapter(model, tmp_path)
    A.load_adapter(again, tmp_path)
    np.testing.assert_allclose(again(IDS).data, model(IDS).data, atol=1e-12)


def test_what_the_format_cannot_say(tmp_path):
    uneven = small("decilm", num_key_value_heads_per_layer=[1, 2])
    A.add_prefix(uneven, 3)
    with pytest.raises(ValueError, match="this model's layers differ"):
        A.save_adapter(uneven, tmp_path / "x")
    model = small("gpt2")
    A.add_lora(model, 2, targets="value", decomposed=True)
    with pytest.raises(ValueError, match="DoRA on a part of transformer.h.0.attn.c_attn"):
        A.save_adapter(model, tmp_path / "x")
    with pytest.raises(ValueError, match="there is no adapter 'b': this model has 'default'"):
        A.save_adapter(model, tmp_path / "x", name="b")
    A.add_bottleneck(model, 3, name="b", activation="relu")
    stir(model)
    A.save_adapter(model, tmp_path / "y", name="b")
    again = small("gpt2")
    A.load_adapter(again, tmp_path / "y", name="c")
    np.testing.assert_allclose(again(IDS).data, model(IDS).data, atol=1e-12)
    assert not (tmp_path / "x").exists()
