"""The map of the year: choices read off the specs, costs against formulas, facts that hold together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import AttentionSpec, LayerSpec
from llm_from_scratch.zoo import catalogue, choices, costs, details
from llm_from_scratch.zoo.bill import PRECISIONS
from llm_from_scratch.zoo.releases import RELEASES, title_of

TINY: dict[str, Any] = dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2)


def test_every_family_is_in_the_map_and_every_size_once() -> None:
    table = catalogue.rows()
    sizes = [name for row in table for name in row.sizes]
    assert len(sizes) == len(set(sizes))
    assert {row.family for row in table} == set(all_families())
    assert {name for family in all_families().values() for name in family.sizes} <= set(sizes)
    titles = [row.title for row in table]
    assert {"GPT-2", "OPT", "Galactica", "BLOOM", "GPT-NeoX", "Pythia", "LLaMA", "LLaMA 2", "Yi", "SOLAR"} <= set(
        titles
    )
    months = [row.release.month or "9999" for row in table]
    assert months == sorted(months)


@pytest.mark.parametrize(
    "name, heading, word",
    [
        ("gpt2", "positions", "learned"),
        ("opt-125m", "placement", "pre"),
        ("opt-350m", "placement", "post, no final norm"),
        ("opt-175b", "feed-forward", "ReLU"),
        ("galactica-120b", "feed-forward", "GELU"),
        ("bloom-176b", "positions", "ALiBi"),
        ("bloom-176b", "placement", "pre, embedding norm"),
        ("gpt-neox-20b", "placement", "pre, parallel (2 norms)"),
        ("gpt-neox-20b", "positions", "rotary on 25%"),
        ("pythia-12b", "feed-forward", "GELU"),
        ("gpt-neo-2.7b", "biases", "output, feed-forward"),
        ("llama-7b", "biases", "none"),
        ("llama-2-70b", "mixer", "grouped-query"),
        ("yi-34b", "positions", "rotary, base 5,000,000"),
        ("smollm2-135m", "head", "tied"),
    ],
)
def test_choices_as_the_papers_describe_them(name: str, heading: str, word: str) -> None:
    assert choices(lfs.spec(name))[heading] == word


def test_choices_of_the_rarer_options() -> None:
    neither = {"enable_bias": False, "layer_norm_elementwise_affine": False}
    assert choices(lfs.spec({"model_type": "opt", **neither}))["norm"] == "LayerNorm, nothing learned"
    assert choices(lfs.spec({"model_type": "opt", **neither}))["biases"] == "none"
    banded = lfs.spec({"model_type": "opt", "attention_band": 256})
    assert details(banded)["window"] == "none and 256 in turn"
    normed = lfs.spec({"model_type": "bloom", "apply_residual_connection_post_layernorm": True})
    assert choices(normed)["placement"] == "pre, normed residual, embedding norm"
    scaled = lfs.spec({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 4.0}})
    assert choices(scaled)["positions"] == "rotary, ÷ 4"


def test_a_mixer_of_one_s_own_is_called_by_its_class() -> None:
    class EchoStateSpec:
        def build(self, rng: Any) -> Any:
            raise AssertionError("nothing is built to be described")

    spec = lfs.spec("llama-7b")
    own = LayerSpec.sequential(EchoStateSpec(), spec.layers[0].branches[1].functions["feed_forward"], spec.norm)
    mixed = spec.replace(layers=(own, spec.layers[1]) * 2)
    assert choices(mixed)["mixer"] == "echo state + multi-head"
    assert choices(mixed)["positions"] == "rotary"


def test_costs_of_llama_2_7b_by_hand() -> None:
    bill = costs(lfs.spec("llama-2-7b"))
    d, layers, inner, vocabulary = 4096, 32, 11008, 32000
    assert bill.parts == {
        "embedding": vocabulary * d,
        "norms": (2 * layers + 1) * d,
        "mixers": layers * 4 * d * d,
        "feed-forward": layers * 3 * d * inner,
        "head": vocabulary * d,
    }
    assert sum(bill.parts.values()) == bill.parameters == bill.active_parameters == 6_738_415_616
    assert bill.memory_per_token == 2 * layers * d * 2 and bill.memory_fixed == 0
    assert bill.matrix_flops_per_token == 2 * (layers * (4 * d * d + 3 * d * inner) + vocabulary * d)
    assert bill.attention_flops_per_token == layers * 4 * d * 4097 // 2
    assert bill.bytes_to_load["float32"] == 4 * bill.parameters and list(PRECISIONS) == list(bill.bytes_to_load)
    assert bill.training_flops(2e12)["6ND"] == 6 * bill.parameters * 2e12
    assert bill.training_flops(1.0)["counted"] == 3 * bill.forward_flops_per_token


def test_a_tied_head_costs_flops_but_no_parameters() -> None:
    tied, untied = (lfs.spec({"model_type": "gpt2", "tie_word_embeddings": flag}) for flag in (True, False))
    assert costs(untied).parameters - costs(tied).parameters == 50257 * 768
    assert costs(untied).matrix_flops_per_token == costs(tied).matrix_flops_per_token


@pytest.mark.parametrize("window", [1, 5, 12, 40])
def test_attention_flops_count_the_keys_that_are_seen(window: int) -> None:
    length = 12
    spec = lfs.spec(
        {"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["local"], 2]], "window_size": window}
    )
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    seen = ((distance >= 0) & (distance < window)).sum()
    assert spec.attention_flops(length) == 2 * 4 * 2048 * seen
    assert costs(spec, length=length).attention_flops_per_token == round(2 * 4 * 2048 * seen / length)


def test_the_cache_is_as_large_as_announced() -> None:
    """bfloat16 is announced; the cache in memory is float32, twice as large."""
    model = lfs.build("llama", **TINY)
    memory = model.new_memory(1)
    model.step(np.zeros((1, 7), int), memory)
    bill = costs(model.spec)
    assert memory.nbytes == 7 * 2 * bill.memory_per_token and bill.memory_fixed == 0


def test_facts_hold_together() -> None:
    releases = catalogue.all_releases()
    for title, release in releases.items():
        assert release.month is None or re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", release.month), title
        for parent, how in release.parents:
            assert parent in releases and how in ("design", "weights"), title
            assert releases[parent].month <= release.month, f"{title} is older than its parent {parent}"
        if isinstance(release.tokens, dict):
            assert all(name.startswith(release.sizes) for name in release.tokens), title
    assert title_of("llama-2-13b") == "LLaMA 2" and title_of("llama-13b") == "LLaMA" and title_of("x") is None
    known = {name for family in all_families().values() for name in family.sizes}
    assert {title_of(name) for name in known} >= {"GPT-2", "OPT", "LLaMA 2"}


def test_unknown_is_none_and_never_a_guess() -> None:
    for title in ("Mistral", "Mixtral", "SOLAR", "StripedHyena", "DeciLM", "GPT-2"):
        assert RELEASES[title].tokens is None, title
    assert catalogue.sheet("gpt2")["facts"]["training tokens"] is None
    assert catalogue.sheet("gpt2")["training_flops"] is None


def test_the_tree_has_everybody_once() -> None:
    lines = catalogue.tree()
    releases = catalogue.all_releases()
    assert len(lines) == len(releases)
    for title in releases:
        assert sum(line.lstrip("│├└─ ").startswith(f"{title} (") for line in lines) == 1, title
    depth = {line.lstrip("│├└─ ").split(" (")[0]: len(line) - len(line.lstrip("│├└─ ")) for line in lines}
    assert depth["LLaMA"] < depth["LLaMA 2"] < depth["Mistral"] < depth["Mixtral"]
    assert lines.index(next(line for line in lines if "SOLAR" in line)) > lines.index(
        next(line for line in lines if "Mistral" in line)
    )


def test_difference_names_what_changed_and_nothing_else() -> None:
    found = catalogue.difference("llama-2-7b", "yi-6b")
    assert found["key-value heads"] == ("32", "4") and found["vocabulary"] == ("32000", "64000")
    assert "norm" not in found and "layers" not in found and "feed-forward width" not in found
    assert catalogue.difference("xgen-7b-4k", "xgen-7b-4k") == {}
    assert catalogue.difference("opt-125m", "opt-350m")["embedding size"] == ("none", "512")


def test_what_was_never_published_is_marked_wherever_it_is_printed() -> None:
    rows = {row.title: row.design for row in catalogue.rows()}
    for title, sheet in (("Gopher", "gopher-280b"), ("Chinchilla", "chinchilla-70b")):
        for words in (rows[title], catalogue.sheet(sheet)["design"]):
            assert (words["feed-forward"], words["biases"]) == ("GELU *", "output, feed-forward *")
            assert (words["head"], words["norm"], words["positions"]) == ("tied *", "RMSNorm", "relative")
    assert catalogue.sheet("gopher-7.1b")["design"]["norm eps"] == "1e-05 *"
    assert not any(
        "*" in word for title, row in rows.items() for word in row.values() if title not in ("Gopher", "Chinchilla")
    )


def test_a_mark_is_no_difference_and_a_checkpoint_s_own_config_needs_none(tmp_path: Path) -> None:
    found = catalogue.difference("chinchilla-70b", "galactica-120b")
    assert "feed-forward" not in found and "norm eps" not in found
    assert found["biases"] == ("output, feed-forward *", "everywhere")
    lfs.build("gopher", vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2).save_pretrained(
        tmp_path
    )
    page = catalogue.sheet(tmp_path)
    assert page["design"]["head"] == "tied" and page["unpublished"] == {}


def test_every_unpublished_heading_is_one_that_is_printed() -> None:
    for family in all_families().values():
        printed = {"initialisation", *details(lfs.spec(family.model_types[0]))}
        assert set(family.unpublished) <= printed, family.name


def test_a_family_s_own_facts_join_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    family = all_families()["gpt2"]
    facts = {"Mine": {"sizes": "gpt2-m", "month": "2024-01", "parents": (("GPT-2", "weights"),)}}
    monkeypatch.setitem(family.__dict__, "facts", facts)
    assert catalogue.all_releases()["Mine"].month == "2024-01"
    mine = next(row for row in catalogue.rows() if row.title == "Mine")
    assert mine.sizes == ("gpt2-medium",)
    monkeypatch.setitem(family.__dict__, "facts", {"OPT": {}})
    with pytest.raises(ValueError, match="the family gpt2 has FACTS about OPT"):
        catalogue.all_releases()


def test_the_largest_models_are_described_with_placeholders_only() -> None:
    model = Decoder(lfs.spec("bloom-176b"))
    assert all(0 in parameter.data.strides for parameter in model.parameters())
    assert isinstance(model.layers[0].mixer.spec, AttentionSpec)


def test_states_and_windows_are_fixed_costs() -> None:
    mamba = lfs.build("mamba", vocab_size=11, hidden_size=16, num_hidden_layers=3)
    bill = costs(mamba.spec)
    sizes = []
    for length in (5, 9):
        memory = mamba.new_memory(1)
        mamba.step(np.zeros((1, length), int), memory)
        sizes.append(memory.nbytes)
    assert sizes[0] == sizes[1] == bill.memory_fixed and bill.memory_per_token == 0
    local = costs(lfs.spec({"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["global", "local"], 1]]}))
    assert local.memory_per_token == 2 * 2048 * 2 and local.memory_fixed == 256 * 2 * 2048 * 2


@pytest.mark.parametrize("length, held", [(100, 100), (4096, 4096), (30000, 4096)])
def test_a_window_takes_what_its_tokens_take_until_it_is_full(length: int, held: int) -> None:
    bill = costs(lfs.spec("mistral-7b"), length=length)
    token = 32 * 2 * 8 * 128 * 2  # layers, key and value, heads of width 128, bfloat16
    assert (bill.memory_before_windows, bill.memory_per_token) == (token, 0)
    assert bill.memory_at_length == held * token
    changed = catalogue.difference("llama-2-7b", "mistral-7b")
    assert changed["memory per token (bytes)"] == ("524,288", "131,072")
    assert changed["… once windows are full"] == ("524,288", "0")


def test_experts_that_are_not_chosen_cost_no_flops() -> None:
    bill = costs(lfs.spec("mixtral-8x7b"))
    assert bill.active_parameters == bill.parameters - 32 * 6 * 3 * 4096 * 14336
    assert 12.8e9 < bill.active_parameters < 12.9e9  # the paper's 12.9B
    assert bill.matrix_flops_per_token < 2 * bill.active_parameters
