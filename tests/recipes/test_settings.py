"""The settings that all runs of tuning share: what can be, and what is refused in which words."""

import math

import pytest

from llm_from_scratch.recipes.settings import LEAST, MEMORY, check_settings
from llm_from_scratch.training import TrainingSettings


def test_what_can_be():
    check_settings({**LEAST, "lr": 1e-9, "method": "dpo", "beta": -1.0})  # the last two are for others to judge
    check_settings(dict.fromkeys((*LEAST, "lr")))  # None: it follows from the rest
    check_settings({**MEMORY, "storage": "bfloat16", "recompute": True})


def test_what_takes_less_memory_is_what_training_knows():
    own = TrainingSettings(steps=1)
    assert {name: getattr(own, name) for name in MEMORY} == MEMORY


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("storage", "float16", ValueError), ("storage", 16, ValueError), ("recompute", 1, TypeError),
     ("stochastic_rounding", "yes", TypeError), ("shard_optimizer", 0, TypeError)],
)  # fmt: skip
def test_memory_that_cannot_be(name, value, error):
    with pytest.raises(error, match=name):
        check_settings({name: value})


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("value", [True, 2.0, "2"])
def test_a_whole_number_is_one(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a whole number, got {value!r}"):
        check_settings({name: value})


@pytest.mark.parametrize("name", LEAST)
def test_a_number_that_is_too_small(name):
    with pytest.raises(ValueError, match=f"{name} must be at least {LEAST[name]}, got {LEAST[name] - 1}"):
        check_settings({name: LEAST[name] - 1})


@pytest.mark.parametrize("lr", [0, 0.0, -1e-3, math.inf, math.nan, "1e-3"])
def test_a_learning_rate_is_finite_and_above_nothing(lr):
    with pytest.raises(ValueError, match="lr must be a finite number above 0"):
        check_settings({"lr": lr})
