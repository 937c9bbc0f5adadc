"""The table of techniques and families is what comes of trying; its refusals name the layer kind."""

from __future__ import annotations

import pytest

from llm_from_scratch.families import all_families
from llm_from_scratch.recipes.technique_table import Trial, technique_table, trials
from llm_from_scratch.recipes.techniques import TECHNIQUES, put_on, techniques_table


@pytest.fixture(scope="module")
def tried():
    return trials()


def test_everything_goes_with_everything_but_for_these(tried):
    assert tried.keys() == all_families().keys()
    others = {
        (family, name): one.answer for family, row in tried.items() for name, one in row.items() if one.answer != "yes"
    }
    prefixes = ("prefix", "reparametrised-prefix")
    loras = ("lora", "rslora", "dora")
    expected = {(family, "bitfit"): "no" for family in ("decilm", "llama", "mistral", "mixtral", "mpt")}
    expected |= {("mamba", name): "no" for name in ("ia3", "pfeiffer", *prefixes)}
    expected |= {("mamba", name): "named" for name in loras}
    expected |= {("stripedhyena", name): "some" for name in (*loras, "ia3", *prefixes)}
    assert others == expected


def test_refusals_name_the_layer_kind(tried):
    for name in ("ia3", "prefix", "lora"):
        assert "Mamba" in tried["mamba"][name].why
    assert tried["stripedhyena"]["prefix"] == Trial("some", "Hyena")
    assert "Attention" in tried["llama"]["bitfit"].why


def test_the_page():
    page = technique_table()
    assert page.splitlines()[0].split() == [name for name in TECHNIQUES if name != "full"]
    assert "stripedhyena (prefix)" in page and "not in its Hyena layers" in page


def test_settings():
    with pytest.raises(ValueError, match="there is no technique 'vera'"):
        put_on(None, "vera")
    with pytest.raises(ValueError, match="ia3 has no setting 'rank'; it has targets, of_inputs"):
        put_on(None, "ia3", rank=2)
    assert "arXiv:2106.09685" in techniques_table()
