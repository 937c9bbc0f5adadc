"""The papers' tables: which rule recovers which rows."""

from __future__ import annotations

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.models.decoder import Decoder
from llm_from_scratch.scaling.published_sizes import CHINCHILLA_TABLE, GOPHER_TABLE, RULES, counted, recovers


def test_one_rule_recovers_all_rows_but_one() -> None:
    assert len(CHINCHILLA_TABLE) == 50 and len(GOPHER_TABLE) == 6
    assert [row.millions for row in CHINCHILLA_TABLE if not recovers(row)] == [2980]
    assert all(recovers(row) for row in GOPHER_TABLE)


@pytest.mark.parametrize("name", list(RULES)[1:])
def test_the_other_rules_do_not(name: str) -> None:
    found = sum(recovers(row, **RULES[name]) for row in CHINCHILLA_TABLE)
    assert found <= (25 if name == "without biases and norms" else 0)


@pytest.mark.parametrize("row", [*GOPHER_TABLE, *CHINCHILLA_TABLE[::12]])
def test_the_rule_counts_what_the_model_has(row: object) -> None:
    sizes = dict(hidden_size=row.width, head_dim=row.head_width, num_attention_heads=row.heads)  # type: ignore[attr-defined]
    spec = lfs.spec({"model_type": "gopher", **sizes, "num_hidden_layers": row.layers})  # type: ignore[attr-defined]
    assert counted(row) == Decoder(spec).parameter_count  # type: ignore[arg-type]
    untied = Decoder(spec.replace(tied=False)).parameter_count
    assert counted(row, tied=False) == untied  # type: ignore[arg-type]
