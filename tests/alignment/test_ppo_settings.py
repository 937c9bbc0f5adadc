"""The settings of PPO: each stands in the table and is told of, none accepts nonsense."""

import dataclasses
import json
import re

import pytest

from llm_from_scratch.alignment import PPOSettings
from llm_from_scratch.alignment.ppo_settings import TABLE

FIELDS = [field.name for field in dataclasses.fields(PPOSettings)]


def test_every_setting_stands_in_the_table_and_in_the_docstring():
    assert list(TABLE) == FIELDS
    printed = PPOSettings.table().splitlines()
    assert [line.split()[0] for line in printed[1:]] == FIELDS
    for name in FIELDS:
        assert re.search(rf"\b{name}\b", PPOSettings.__doc__), name
        assert all(isinstance(cell, str) for cell in TABLE[name]) and len(TABLE[name]) == 3 and all(TABLE[name][:2])


def test_the_settings_are_json_and_frozen():
    settings = PPOSettings(value_clip=None)
    assert PPOSettings(**json.loads(json.dumps(settings.to_json()))) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.beta = 1.0
    assert PPOSettings(answers=64, minibatch=16, epochs=3).steps_an_iteration == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": 0}, "answers must be a whole number of at least 1, got 0"),
        ({"answers": 100}, r"minibatch \(16\) must divide answers \(100\)"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"temperature": None}, "temperature must be above 0, got None"),
        ({"clip": float("nan")}, "clip must be above 0, got nan"),
        ({"value_clip": -0.2}, "value_clip must be above 0 or None"),
        ({"kl_target": 0}, "kl_target must be above 0 or None"),
        ({"beta": -0.1}, "beta must be at least 0, got -0.1"),
        ({"beta": float("inf")}, "beta must be at least 0, got inf"),
        ({"pretraining_coefficient": -1.0}, "pretraining_coefficient must be at least 0"),
        ({"lam": 1.5}, "lam must lie in 0..1, got 1.5"),
        ({"gamma": -0.1}, "gamma must lie in 0..1"),
        ({"cut_off_penalty": float("nan")}, "cut_off_penalty must be a finite number"),
        ({"critic": "own"}, "critic must be one of reward model, policy, shared; got 'own'"),
        ({"cut_off": "ignore"}, "cut_off must be one of score, penalty, bootstrap"),
        ({"score_normalisation": "batch"}, "score_normalisation must be one of none, initial, running"),
        ({"charge": "full"}, "charge must be one of difference, absolute, squared, low variance"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PPOSettings(**change)
