"""Scalars, gradients and filters, and their words when they are none."""

import pytest

from llm_from_scratch.merging.recipe_values import check_setting, filters, value_at


def test_scalars_gradients_and_filters():
    assert value_at(0.5, "x", 0.3, float) == 0.5
    assert [value_at([0, 1, 0], "x", t, float) for t in (0.0, 0.25, 0.5, 0.9, 1.0)] == pytest.approx(
        [0, 0.5, 1, 0.2, 0]
    )
    assert value_at([3], "x", 0.7, float) == 3
    choices = [{"filter": "attn", "value": [1, 2]}, {"filter": "*", "value": 5}]
    assert value_at(choices, "layers.0.attn.q", 0.5, float) == 1.5
    assert value_at(choices, "layers.0.mlp", 0.5, float) == 5
    assert value_at(choices[:1], "layers.0.mlp", 0.5, float) is None
    assert value_at({"value": "1e-3"}, "x", 0, float) == 1e-3
    assert value_at(True, "x", 0, bool) is True and value_at(1, "x", 0, bool) is True
    assert value_at(False, "x", 0, str) == "false"
    assert [value_at([True, False], "x", t, bool) for t in (0.0, 0.5, 1.0)] == [True, True, False]  # no halves
    assert filters([choices, 3, {"filter": "q", "value": 1}]) == {"attn", "q"}


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [("high", float, "finite number"), (True, float, "finite number"), (float("inf"), float, "finite number"),
     ("nan", float, "finite number"), ([0, "x"], float, "finite number"), ("yes", bool, "true or false"),
     (2, bool, "true or false"), (3, str, "text"), (None, float, "finite number")],
)  # fmt: skip
def test_values_of_another_kind(value, kind, words):
    with pytest.raises(ValueError, match=words):
        value_at(value, "x", 0.5, kind)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ([], "a list of"),
        ([1, {"value": 2}], "a list of"),
        ({"filter": "a"}, "needs a value"),
        ({"value": {"value": 1}}, "needs a value"),
        ({"value": 1, "where": "x"}, "not 'where'"),
        ({"filter": 3, "value": 1}, "a part of tensors' names"),
        (None, "no value"),
        ([[1, 2]], "no value"),
        ({"value": []}, "a list of"),
    ],
)
def test_forms_that_are_none(setting, words):
    with pytest.raises(ValueError, match=f"^t: .*{words}"):
        check_setting("t", setting)
