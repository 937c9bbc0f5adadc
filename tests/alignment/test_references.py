"""What the reference says is asked once, ties count one half, and another vocabulary is refused."""

from __future__ import annotations

import numpy as np
import pytest
from test_preference import FAMILIES, build, objective, pairs

import llm_from_scratch as lfs
from llm_from_scratch import TrainingSettings, adapters, train
from llm_from_scratch.alignment.references import (
    SIDES,
    accuracy,
    check_reference,
    implicit_rewards,
    reference_answers,
    reference_pairs,
)
from llm_from_scratch.data.examples import ExampleSampler


def test_before_training_every_pair_is_a_tie(tmp_path):
    for dtype in (np.float32, np.float64):
        model = build(dtype=dtype)
        found = reference_pairs(model, pairs(9), cache=tmp_path)
        chosen, rejected = implicit_rewards(model, found, beta=0.3, threads=2)
        assert (chosen == 0).all() and (rejected == 0).all()
        assert accuracy(chosen, rejected) == 0.5


def test_rewards_are_beta_times_the_log_ratio():
    given = reference_pairs(build(seed=1), pairs(4))
    chosen, rejected = implicit_rewards(build(seed=2), given, beta=0.3)
    for k, pair in enumerate(given):
        for found, side in ((chosen, "chosen"), (rejected, "rejected")):
            sums = []
            for model in (build(seed=2), build(seed=1)):
                batch = {name: pair[f"{side}_{name}"][None] for name in ("ids", "targets")}
                sums.append(model.token_log_probabilities(batch).data.sum())
            assert found[k] == pytest.approx(0.3 * (sums[0] - sums[1]), rel=1e-9)


def test_what_was_in_a_pair_stays_in_it():
    given = [{**pair, "weight": 0.5} for pair in pairs(3)]
    for before, after in zip(given, reference_pairs(build(), given)):
        assert set(after) == {*before, "reference_chosen", "reference_rejected"}
        assert all(after[name] is value for name, value in before.items())
    singles = [{"ids": p["chosen_ids"], "targets": p["chosen_targets"]} for p in given]
    expected = [one["reference_chosen"] for one in reference_pairs(build(), given)]
    found = [one["reference"] for one in reference_answers(build(), singles)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_accuracy_counts_ties_as_a_coin_would():
    assert accuracy(np.array([1.0, 0.0, -1.0, 2.0]), np.array([0.0, 0.0, 0.0, 2.0])) == 0.5
    assert accuracy(np.ones(3), np.zeros(3)) == 1.0
    for wrong in (np.ones(2), np.ones((3, 1)), np.ones(0)):
        with pytest.raises(ValueError, match="rewards of as many chosen as rejected answers"):
            accuracy(wrong, np.ones(3))
    with pytest.raises(ValueError, match="at least one"):
        accuracy(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="rewards must be finite"):
        accuracy(np.array([np.nan]), np.ones(1))


def test_another_vocabulary_or_tokenizer_is_refused():
    check_reference(build(), build(seed=3))
    other = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, n_positions=32, vocab_size=23)
    with pytest.raises(ValueError, match="reference has a vocabulary of 23 tokens, the model one of 19"):
        check_reference(build(), other)
    one, same, another = (lfs.Tokenizer.train(text, 270) for text in ("one two two", "one two two", "three three two"))
    check_reference(build(), build(), one, same)
    with pytest.raises(ValueError, match=r"reference's tokenizer is another: token \d+ is .* there, .* here"):
        check_reference(build(), build(), one, another)
    with pytest.raises(ValueError, match="tokenizer is another: token 0 is"):
        check_reference(build(), build(), one, lfs.Tokenizer.train("one two two", 270, special_tokens=["<|end|>"]))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapted_policy_is_held_to_its_base_and_moves_the_adapter_alone(family):
    """DPO with LoRA: the reference is the policy with its adapter off, whatever the adapter has learned before."""
    model, alone = build(family), build(family)
    adapters.add_lora(model, 2, targets=("output", "head"))
    given = reference_pairs(adapters.base_of(model), pairs(8))
    plain = reference_pairs(alone, pairs(8))
    assert all(one[f"reference_{s}"] == two[f"reference_{s}"] for one, two in zip(given, plain) for s in SIDES)
    start = {name: array.copy() for name, array in model.state_dict().items()}
    settings = TrainingSettings(steps=30, learning_rate=0.1, weight_decay=0.0, threads=1)
    sampler = ExampleSampler(given, 4, seed=0)
    outcome = train(model, sampler, settings, objective=objective("dpo"), progress=False)
    assert outcome.loss < 0.4 < np.log(2)
    moved = {name for name, array in model.state_dict().items() if (array != start[name]).any()}
    assert moved and all(".default." in name for name in moved)
    after = reference_pairs(adapters.base_of(model), pairs(8))  # of an adapter that acts, too
    adapters.activate(model, None)
    off = reference_pairs(model, pairs(8))
    for one, two, three in zip(given, after, off):
        assert all(one[f"reference_{s}"] == two[f"reference_{s}"] == three[f"reference_{s}"] for s in SIDES)
