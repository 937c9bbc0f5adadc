"""The table technique by family: every cell is tried, and what is refused is refused in words that name the lack."""

import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.families import all_families
from llm_from_scratch.recipes import suitability as table
from llm_from_scratch.training import objective

FOUND = table.suitability().refusals
ATTENTION_ONLY = {
    "LoRA": "'query'",
    "(IA)³": "'key'",
    "prefix": "Mamba layers keep no keys",
    "bottleneck, Pfeiffer": "",
}


@pytest.mark.parametrize("family", sorted(all_families()))
def test_what_a_family_cannot_have_is_refused_by_name_and_all_else_learns(family):
    model = table.small(family)
    refused = {technique: row[family] for technique, row in FOUND.items() if row[family] is not None}
    expected = set(ATTENTION_ONLY) if family == "mamba" else set()
    if not any(name.rpartition(".")[2] == "bias" for name, _ in model.named_parameters()):
        expected.add("BitFit")
    assert set(refused) == expected
    for technique, why in refused.items():
        assert technique.split(",")[0].lower() in why.lower(), why
        assert ATTENTION_ONLY.get(technique, "biases") in why


def test_the_table_has_a_row_a_technique_and_every_number_a_note():
    lines = table.Suitability(FOUND).lines()
    rows = lines[lines.index("") - len(table.TECHNIQUES) : lines.index("")]
    assert [row[:20].strip() for row in rows] == list(table.TECHNIQUES)
    assert {len(row[22:].split()) for row in rows} == {len(all_families())}
    numbers = {cell for row in rows for cell in row[22:].split()} - {"+"}
    assert numbers == {line.split()[0] for line in lines[lines.index("") + 1 :]}


def test_the_trial_has_power(monkeypatch):
    """A technique whose loss does not depend on what trains, and one that is refused without a word, are noticed."""

    @objective(count=lambda batch: 1)
    def constant(model, batch, *, normaliser, rng=None):
        return Tensor(1.0, requires_grad=True)

    monkeypatch.setitem(table.TECHNIQUES, "LoRA", lambda model: (model, constant, table._text()))
    with pytest.raises(ValueError, match="LoRA goes with llama, but nothing learns"):
        table.suitability(["LoRA"], ["llama"])

    def silent(model):
        raise ValueError

    monkeypatch.setitem(table.TECHNIQUES, "LoRA", silent)
    with pytest.raises(ValueError, match="LoRA is refused by llama without a word"):
        table.suitability(["LoRA"], ["llama"])
    for names, message in ((["lore"], "no technique 'lore'"), (["DPO"], "no family 'lama'")):
        with pytest.raises(ValueError, match=message):
            table.suitability(names, ["lama"])
