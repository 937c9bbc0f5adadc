"""The map of the year: every release once, facts that hold together, differences and the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import AttentionSpec
from llm_from_scratch.zoo import catalogue, details
from llm_from_scratch.zoo.assistants import ASSISTANTS
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


def test_there_were_two_guanacos() -> None:
    multilingual, qlora = ASSISTANTS["Guanaco (multilingual)"], ASSISTANTS["Guanaco (QLoRA)"]
    assert (multilingual.month, qlora.month) == ("2023-03", "2023-05")
    assert "Alpaca's" in multilingual.data and "OASST1" in qlora.data
    assert "NF4" in qlora.technique and "all linear layers" in qlora.technique and "LoRA" not in multilingual.technique
    assert "Guanaco" not in catalogue.all_releases()


def test_every_assistant_has_its_row_and_its_place_in_the_tree() -> None:
    releases, entries = catalogue.all_releases(), {"month", "who", "sizes", "data", "technique", "source"}
    for title, row in ASSISTANTS.items():
        assert releases[title].parents == ((row.base, "weights"),) and releases[title].month == row.month, title
        assert set(row.unverified) <= entries and all(getattr(row, entry) for entry in entries), title
        assert all(row.words(entry).endswith(" ?") == (entry in row.unverified) for entry in entries), title
        assert row.named != row.month, title
    assert ASSISTANTS["Starling"].words("month") == "2023-11 (review: 2023-12)"
    assert list(ASSISTANTS) == sorted(ASSISTANTS, key=lambda title: ASSISTANTS[title].month)


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
