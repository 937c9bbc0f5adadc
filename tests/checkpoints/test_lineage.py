"""Lineage: noticed on saving, carried through every way of storing, the same on every machine and at every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder, record_lineage
from llm_from_scratch.checkpoints.lineage import fingerprint, tree_of
from llm_from_scratch.files.safetensors import SafetensorsFile, write_safetensors
from llm_from_scratch.zoo import catalogue

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
TINY: dict[str, Any] = dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2)


def one_step(model: Decoder) -> None:
    ids = np.arange(8)[None]
    lfs.accumulate_gradients(model, ids, ids, threads=1)
    optimizer = lfs.AdamW(list(model.parameters()), lr=1e-2)
    optimizer.step()
    optimizer.zero_grad()


def relations(path: Path) -> list[str | None]:
    return [step.get("relation") for step in catalogue.read_lineage(path)]


def test_fresh_then_trained_then_trained_again(tmp_path: Path) -> None:
    base, poet, final = (tmp_path / name for name in ("base", "poet", "final"))
    model = lfs.build("llama", seed=7, **TINY)
    model.save_pretrained(base)
    (root,) = catalogue.read_lineage(base)
    assert root == {"relation": "initialised as", "family": "llama", "seed": 7, "weights": fingerprint(model)}
    one_step(model)
    model.save_pretrained(poet)
    one_step(model)
    model.save_pretrained(poet)  # a later state of the same training, not a second descent
    assert relations(poet) == ["initialised as", "trained from"]
    again = lfs.from_pretrained(poet)
    one_step(again)
    again.save_pretrained(final)
    steps = catalogue.read_lineage(final)
    assert steps[0] == root
    assert steps[1] == {"relation": "trained from", "sources": [0], "name": "poet", "weights": fingerprint(model)}
    assert steps[2] == {"relation": "trained from", "sources": [1], "weights": fingerprint(again)}
    assert catalogue.ancestry(final) == [
        f"final: trained from (weights {fingerprint(again)[:12]})",
        f"└─ poet: trained from (weights {fingerprint(model)[:12]})",
        f"   └─ initialised as llama (seed 7, weights {root['weights'][:12]})",
    ]
    assert str(tmp_path) not in (final / "model.safetensors").read_bytes().decode("utf-8", "ignore")


def test_a_checkpoint_from_elsewhere_is_known_by_name_and_weights(tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / "llama_tied")
    parent = fingerprint(model)
    model.save_pretrained(tmp_path / "copy")
    assert catalogue.read_lineage(tmp_path / "copy") == []  # nothing is known, nothing has happened
    assert SafetensorsFile(tmp_path / "copy" / "model.safetensors").metadata == {"format": "pt"}
    one_step(model)
    model.save_pretrained(tmp_path / "tuned")
    steps = catalogue.read_lineage(tmp_path / "tuned")
    assert steps[0] == {"weights": parent, "name": "llama_tied"}
    assert steps[1] == {"relation": "trained from", "sources": [0], "weights": fingerprint(model)}


def test_the_fingerprint_is_of_the_numbers_not_of_how_they_are_stored(tmp_path: Path) -> None:
    model = lfs.build("llama", **TINY)
    model.save_pretrained(tmp_path / "shards", max_shard_size="2KB")
    model.save_pretrained(tmp_path / "half", dtype="bfloat16")
    shards, half = lfs.from_pretrained(tmp_path / "shards"), lfs.from_pretrained(tmp_path / "half")
    assert fingerprint(shards) == fingerprint(lfs.from_pretrained(tmp_path / "shards", dtype=np.float64))
    assert fingerprint(shards) == fingerprint(model) != fingerprint(half)
    # Rounded, it is still the same model, and the record has the weights that one reads.
    assert [step["weights"] for step in catalogue.read_lineage(tmp_path / "half")] == [fingerprint(half)]
    half.save_pretrained(tmp_path / "wide", dtype="float32")
    assert relations(tmp_path / "wide") == ["initialised as"]
    one_step(half)
    half.save_pretrained(tmp_path / "tuned")  # stored as bfloat16 again
    steps = catalogue.read_lineage(tmp_path / "tuned")
    assert [step.get("relation") for step in steps] == ["initialised as", "trained from"]
    assert steps[1]["weights"] == fingerprint(lfs.from_pretrained(tmp_path / "tuned"))


def test_every_parameter_counts() -> None:
    model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4)
    before = fingerprint(model)
    for parameter in model.parameters():
        parameter.data.reshape(-1)[-1] += 1e-3
        assert fingerprint(model) != before
        parameter.data.reshape(-1)[-1] -= 1e-3
    key = model.layers[0].mixer.key.weight
    values = fingerprint(model)
    key.data = np.asfortranarray(key.data)  # the order in memory does not
    assert fingerprint(model) == values


def test_saving_is_deterministic_and_survives_loading(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        model = lfs.build("llama", **TINY)
        one_step(model)
        model.save_pretrained(tmp_path / folder / "m")
    first = (tmp_path / "one" / "m" / "model.safetensors").read_bytes()
    assert first == (tmp_path / "two" / "m" / "model.safetensors").read_bytes()
    again = lfs.from_pretrained(tmp_path / "one" / "m")
    again.save_pretrained(tmp_path / "three")
    assert first == (tmp_path / "three" / "model.safetensors").read_bytes()


def test_a_merge_knows_all_its_ancestors_once(tmp_path: Path) -> None:
    lfs.build("llama", **TINY).save_pretrained(tmp_path / "base")
    parents = []
    for name in ("poet", "coder"):
        model = lfs.from_pretrained(tmp_path / "base")
        model.norm.weight.data += len(name)
        model.save_pretrained(tmp_path / name)
        parents.append(lfs.from_pretrained(tmp_path / name))
    merged = lfs.from_pretrained(tmp_path / "base")
    merged.load_state_dict({k: (v + parents[1].state_dict()[k]) / 2 for k, v in parents[0].state_dict().items()})
    record_lineage(merged, "merged from", *parents, method="soup", weights_of=[0.5, 0.5])
    one_step(merged)
    merged.save_pretrained(tmp_path / "merged")
    steps = catalogue.read_lineage(tmp_path / "merged")
    assert [step.get("name") for step in steps] == ["base", "poet", "coder", None, None]
    assert [step.get("sources") for step in steps] == [None, [0], [0], [1, 2], [3]]
    assert [line.split(" (")[0] for line in catalogue.ancestry(tmp_path / "merged")] == [
        "merged: trained from",
        "└─ merged from",
        "   ├─ poet: trained from",
        "   │  └─ base: initialised as llama",
        "   └─ coder: trained from",
        "      └─ base: initialised as llama",
    ]
    assert steps[3]["method"] == "soup" and steps[3]["weights_of"] == [0.5, 0.5]


def test_an_adapter_records_its_model_as_it_was(tmp_path: Path) -> None:
    model = lfs.from_pretrained(FIXTURES / "gpt2_tied")
    before = fingerprint(model)
    model.norm.weight.data += 1
    record_lineage(model, "adapted from", "an adapter", method="lora")
    assert model.lineage.steps[0] == {"name": "an adapter"}  # named sources only, if some are named
    other = lfs.from_pretrained(FIXTURES / "gpt2_tied")
    other.norm.weight.data += 1
    record_lineage(other, "adapted from", method="lora", rank=8)
    other.save_pretrained(tmp_path)
    assert catalogue.read_lineage(tmp_path) == [
        {"weights": before, "name": "gpt2_tied"},
        {"relation": "adapted from", "sources": [0], "method": "lora", "rank": 8, "weights": fingerprint(other)},
    ]


def test_what_cannot_be_recorded_is_refused() -> None:
    model = lfs.build("llama", **TINY)
    with pytest.raises(ValueError, match="trained from, merged from, adapted from, quantised from; not 'stolen from'"):
        record_lineage(model, "stolen from", "x")
    with pytest.raises(ValueError, match="source is empty"):
        record_lineage(model, "merged from", "")
    with pytest.raises(TypeError, match="a source is a model or its name"):
        record_lineage(model, "merged from", 3)
    with pytest.raises(TypeError, match="what JSON can hold"):
        record_lineage(model, "merged from", "x", share=np.float32(0.5))
    with pytest.raises(ValueError, match="weights is a word of the record"):
        record_lineage(model, "merged from", "x", weights="equal")
    assert model.lineage.steps[-1]["relation"] == "initialised as"


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[", "Expecting value"),
        ("{}", "a list of steps"),
        ("[]", "a list of steps"),
        ('[{"name":3}]', "no text"),
        ('[{"sources":[0]}]', "step 0 does not name earlier steps"),
        ('[{},{"sources":[-1]}]', "step 1 does not name earlier steps"),
        ("[" * 100_000, ""),
    ],
)
def test_a_damaged_record_is_named(text: str, problem: str, tmp_path: Path) -> None:
    lfs.build("llama", **TINY).save_pretrained(tmp_path)
    file = SafetensorsFile(tmp_path / "model.safetensors")
    write_safetensors(tmp_path / "model.safetensors", dict(file), {"format": "pt", "lineage": text})
    with pytest.raises(ValueError, match=f"{tmp_path.name}.*lineage in the weights' metadata is damaged.*{problem}"):
        lfs.from_pretrained(tmp_path)


def test_a_chain_of_a_thousand_is_drawn() -> None:
    steps: list[dict[str, Any]] = [{"name": "first"}]
    steps += [{"relation": "trained from", "sources": [k]} for k in range(2000)]
    lines = tree_of(tuple(steps))
    assert len(lines) == 2001 and lines[-1].endswith("└─ first")
    # Each generation from two copies of the one before: drawn once each, not 2^60 times.
    steps = [{"name": "first"}]
    for k in range(60):
        steps += [{"relation": "trained from", "sources": [len(steps) - 1], "run": i} for i in (1, 2)]
        steps += [{"relation": "merged from", "sources": [len(steps) - 2, len(steps) - 1], "round": k}]
    assert len(tree_of(tuple(steps))) < 400


def test_the_transformers_library_opens_a_checkpoint_with_lineage(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = lfs.build("llama", **TINY)
    one_step(model)
    model.save_pretrained(tmp_path)
    assert relations(tmp_path) == ["initialised as", "trained from"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = np.arange(8)[None]
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(model(ids).data, logits, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")  # which forgets the record, and is then a model from elsewhere
    assert catalogue.read_lineage(tmp_path / "theirs") == []
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")).keys().isdisjoint({"lineage"})
