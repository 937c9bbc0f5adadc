"""The table of methods and their settings."""

import pytest

from llm_from_scratch.merging.methods import METHODS, Settings, check_names, find_method, rehearse


def test_unknown_methods_are_named_with_the_nearest():
    with pytest.raises(ValueError, match="'tise' is not known, did you mean 'ties'"):
        find_method("tise")
    with pytest.raises(ValueError, match="mergekit's, but not made here"):
        find_method("della")
    assert find_method("ties") is METHODS["ties"]


def test_settings_that_a_method_does_not_have():
    with pytest.raises(ValueError, match=r"here: task_arithmetic has no setting 'density' \(ties, .* would have it\)"):
        check_names("here", ["density"], "task_arithmetic", False)
    with pytest.raises(ValueError, match="it has none"):
        check_names("here", ["t"], "model_stock", False)
    with pytest.raises(ValueError, match="t holds for all models"):
        check_names("here", ["t"], "slerp", True)
    check_names("here", ["weight", "density"], "ties", True)


def test_a_rehearsal_refuses_what_the_merge_would():
    shared = {"lambda": 1.0, "normalize": True, "dialect": "mergekit", "int8_mask": False}
    with pytest.raises(ValueError, match="density"):
        rehearse("ties", Settings(shared, {"weight": (1.0,), "density": (1.5,)}), 1)
    for dialect in ("authors", "mergekit", "peft"):
        rehearse("ties", Settings({**shared, "dialect": dialect}, {"weight": (1.0,), "density": (0.5,)}), 1)


def test_every_setting_says_what_it_is():
    for method in METHODS.values():
        for parameter in method.parameters.values():
            assert parameter.about and parameter.told
