"""The table technique by family: every cell is tried, and what is refused is refused in words that name the lack."""

import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.families import all_families
from llm_from_scratch.recipes import technique_table as table
from llm_from_scratch.training import objective


@pytest.fixture(scope="module")
def found():
    return table.trials()


# What a Mamba layer lacks, by the word that the message must have.
MAMBA = {"ia3": "'key'", "prefix": "Mamba layers keep no keys", "reparametrised-prefix": "Mamba layers keep no keys",
         "pfeiffer": "feed-forward"}  # fmt: skip


@pytest.mark.parametrize("family", sorted(all_families()))
def test_what_a_family_cannot_have_is_refused_by_name_and_all_else_learns(found, family):
    refused = {technique: one.why for technique, one in found[family].items() if one.answer == "no"}
    expected = dict(MAMBA) if family == "mamba" else {}
    if not any(name.rpartition(".")[2] == "bias" for name, _ in table.small_model(family).named_parameters()):
        expected["bitfit"] = "this model has none"
    assert set(refused) == set(expected)
    assert all(word in refused[technique] for technique, word in expected.items())
    named = {technique for technique, one in found[family].items() if one.answer == "named"}
    assert named == ({"lora", "rslora", "dora"} if family == "mamba" else set())
    some = {technique: one.why for technique, one in found[family].items() if one.answer == "some"}
    lacking = {"lora", "rslora", "dora", "ia3", "prefix", "reparametrised-prefix"}
    assert some == (dict.fromkeys(lacking, "Hyena") if family == "stripedhyena" else {})


def test_the_table_has_a_row_a_family_and_every_refusal_below_it(found):
    text = table.technique_table(found)
    rows, _, notes = text.partition("\n\n")
    assert [row.split()[0] for row in rows.splitlines()[1:]] == list(all_families())
    assert {"supervised", "distillation", "dpo", "ppo", "lora", "ia3", "prefix", "prompt", "bitfit", "qlora"} <= set(
        rows.splitlines()[0].split()
    )
    assert all(one.why in notes for tried in found.values() for one in tried.values())


def test_the_trial_has_power(monkeypatch):
    """A technique whose loss does not depend on what trains, and one that is refused without a word, are noticed."""

    @objective(count=lambda batch: 1)
    def constant(model, batch, *, normaliser, rng=None):
        return Tensor(1.0, requires_grad=True)

    monkeypatch.setitem(table.TECHNIQUES, "dpo", lambda model: (model, constant, table._text()))
    with pytest.raises(ValueError, match="dpo goes with llama, but nothing learns"):
        table.trial("llama", "dpo")

    def silent(model):
        raise ValueError

    monkeypatch.setitem(table.TECHNIQUES, "dpo", silent)
    with pytest.raises(ValueError, match="dpo is refused by llama without a word"):
        table.trial("llama", "dpo")
    for family, technique, message in (("llama", "lore", "no technique 'lore'"), ("lama", "dpo", "no family 'lama'")):
        with pytest.raises(ValueError, match=message):
            table.trial(family, technique)
