"""The techniques of the command `adapt`: found by name, their settings checked."""

import pytest

from llm_from_scratch.recipes.techniques import put_on, techniques_table


def test_a_technique_and_its_settings_are_named_where_they_do_not_exist():
    with pytest.raises(ValueError, match="there is no technique 'vera'"):
        put_on(None, "vera")
    with pytest.raises(ValueError, match="ia3 has no setting 'rank'; it has targets, of_inputs"):
        put_on(None, "ia3", rank=2)
    assert "arXiv:2106.09685" in techniques_table()
