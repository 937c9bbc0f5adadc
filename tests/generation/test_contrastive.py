"""Contrastive search against the paper's equation on another library's states, and against itself in a batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.generation import generate

from .conftest import MODELS, Stepping, model_of

REFERENCE = json.loads((Path(__file__).parent / "reference" / "contrastive.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['model']} {case['penalty_alpha']}")
def test_the_same_tokens_as_by_the_equation(case):
    assert case["margin"] > 1e-5  # no tie decides
    settings = {"penalty_alpha": case["penalty_alpha"], "top_k": case["top_k"], "stop_tokens": ()}
    out = model_of(case["model"]).generate([case["prompt"]], max_new_tokens=len(case["new"]), **settings)
    assert out[0].tolist() == case["prompt"] + case["new"]


@pytest.mark.parametrize("name", MODELS)
def test_a_row_of_a_batch_equals_the_row_alone(name):
    model = model_of(name)
    prompts = [[7, 8, 9, 10, 11, 12], [13], [20, 21, 22]]
    ids = np.array([[0] * (6 - len(prompt)) + prompt for prompt in prompts])
    settings = {"max_new_tokens": 10, "penalty_alpha": 0.6, "top_k": 3, "stop_tokens": [3, 4, 5]}
    together = generate(model, ids, mask=ids > 0, **settings)
    for row, prompt in zip(together, prompts):
        alone = generate(model, [prompt], **settings)[0, len(prompt) :].tolist()
        assert row[6:][: len(alone)].tolist() == alone and set(row[6:][len(alone) :]) <= {3}


class States:
    """Two numbers of state for each token, given; the logits are given too. Its memory is nothing."""

    def __init__(self, states, logits):
        self.states, self.logits, self.asked = np.array(states, float), np.array(logits, float), []

    def new_memory(self, batch_size):
        return None

    def step_states(self, ids, memory, mask=None):
        self.asked.append(np.shape(ids))
        ids = np.asarray(ids)
        return self.states[ids], np.tile(self.logits, (len(ids), 1))


def test_by_hand():
    """Token 1 is the likelier candidate, but points where the prompt does; token 2 is at a right angle to it."""
    model = States([[1, 0], [2, 0], [0, 3], [1, 1]], np.log([0.1, 0.5, 0.3, 0.1]))
    # alpha 0.2: 0.8 * 0.5 - 0.2 * 1 = 0.20 against 0.8 * 0.3 - 0 = 0.24
    settings = {"max_new_tokens": 1, "top_k": 2}
    assert generate(model, [[0]], penalty_alpha=0.2, **settings).tolist() == [[0, 2]]
    # alpha 0.1: 0.45 - 0.1 = 0.35 against 0.27
    assert generate(model, [[0]], penalty_alpha=0.1, **settings).tolist() == [[0, 1]]
    # after both directions were there, nothing is new: the likelier one again
    assert generate(model, [[0]], penalty_alpha=0.2, max_new_tokens=2, top_k=2).tolist() == [[0, 2, 1]]
    assert model.asked[0] == (1, 1) and model.asked[1] == (2, 1)


def test_n_grams_and_small_vocabularies():
    model = States([[1, 0], [2, 0]], [0.0, 0.0])
    settings = {"penalty_alpha": 0.5, "top_k": 5}  # more than there are tokens
    assert generate(model, [[0]], max_new_tokens=1, no_repeat_ngram_size=1, **settings).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="would repeat"):
        generate(model, [[0]], max_new_tokens=2, no_repeat_ngram_size=1, **settings)
    nothing = States([[0, 0], [0, 0]], [0.0, 1.0])  # states without a direction are like none
    assert generate(nothing, [[0]], max_new_tokens=1, **settings).tolist() == [[0, 1]]


def test_the_last_candidates_are_read_too():
    model = model_of("gpt2_tied")
    limit, settings = model.position_limit, {"penalty_alpha": 0.6, "top_k": 2, "stop_tokens": ()}
    assert generate(model, [[5] * (limit - 3)], max_new_tokens=3, **settings).shape == (1, limit)
    with pytest.raises(ValueError, match=f"this model has {limit}"):
        generate(model, [[5] * (limit - 3)], max_new_tokens=4, **settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"penalty_alpha": True}, TypeError, "penalty_alpha"),
        ({"penalty_alpha": "0.6"}, TypeError, "penalty_alpha"),
        ({"penalty_alpha": 0}, ValueError, "penalty_alpha"),
        ({"penalty_alpha": float("nan")}, ValueError, "penalty_alpha"),
        ({"penalty_alpha": 1.5}, ValueError, "penalty_alpha"),
        ({"top_k": None}, ValueError, "top_k"),
        ({"top_k": 1}, ValueError, "top_k"),
        ({"temperature": 0.7}, ValueError, "leave out temperature=0.7"),
        ({"min_p": 0.1}, ValueError, "leave out min_p=0.1"),
        ({"num_beams": 2, "top_k": None}, ValueError, "top_k"),
        ({"draft_model": Stepping()}, ValueError, "leave out draft_model"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_step(settings, error, message):
    model = States([[1, 0], [2, 0]], [0.0, 0.0])
    with pytest.raises(error, match=message):
        generate(model, [[0]], max_new_tokens=3, **{"penalty_alpha": 0.5, "top_k": 2, **settings})
    assert model.asked == []


def test_a_model_without_states_is_refused_by_name():
    with pytest.raises(TypeError, match="Stepping has no `step_states`"):
        generate(Stepping(), [[0]], max_new_tokens=3, penalty_alpha=0.5, top_k=2)
