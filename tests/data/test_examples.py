"""Examples of unequal length become batches, and their order is resumed to the byte."""

import json

import numpy as np
import pytest

from llm_from_scratch.data import ExampleSampler, collate, example_batches


def examples(count):
    return [{"ids": np.arange(1, 2 + k % 4), "targets": np.arange(1, 2 + k % 4), "number": k} for k in range(count)]


def test_each_kind_of_row_is_filled_up_as_its_name_says():
    short, long = ({f"{side}_{kind}": np.ones(n, kind == "mask" and bool or int) for side in ("chosen", "rejected")
                    for kind, n in (("ids", length), ("targets", length), ("mask", length), ("segments", length))}
                   for length in (2, 3))  # fmt: skip
    batch = collate([short, long], pad_id=9)
    assert [batch[f"chosen_{kind}"][0].tolist() for kind in ("ids", "targets", "segments", "mask")] == [
        [1, 1, 9], [1, 1, -100], [1, 1, -1], [True, True, False]]  # fmt: skip
    assert batch["rejected_mask"].dtype == bool


def test_two_groups_have_lengths_of_their_own_and_lengths_are_rounded_up():
    batch = collate([{"a_ids": [1], "b_ids": [1, 2, 3, 4, 5]}], multiple=4)
    assert batch["a_ids"].shape == (1, 4) and batch["b_ids"].shape == (1, 8)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ([], "no examples"),
        ([{"ids": [1]}, {"ids": [1], "weight": 1.0}], "example 1 has"),
        ([{"ids": [1, 2], "targets": [1]}], "example 0: targets has 1 entries, ids 2"),
        ([{"ids": [[1, 2]]}], "one row"),
        ([{"ids": [1]}, {"ids": 1}], "one row"),
    ],
)
def test_examples_that_do_not_fit_are_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        collate(wrong)


def test_an_epoch_has_every_example_once_and_epochs_differ():
    sampler = ExampleSampler(examples(6), 2, seed=3)
    epochs = [[k for _ in range(3) for k in next(sampler)["number"]] for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(6)) and epochs[0] != epochs[1]


def test_a_restored_sampler_goes_on_as_the_uninterrupted_one():
    sampler = ExampleSampler(examples(7), 3, seed=5)
    for _ in range(3):
        next(sampler)
    state = json.loads(json.dumps(sampler.state()))
    again = ExampleSampler(examples(7), 3, seed=5)
    again.restore(state)
    for _ in range(4):
        ours, theirs = next(sampler), next(again)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours | theirs)
    other = examples(7)
    other[2]["targets"] = other[2]["targets"] + 1
    with pytest.raises(ValueError, match="fingerprint"):
        ExampleSampler(other, 3, seed=5).restore(state)
    with pytest.raises(ValueError, match="damaged"):
        again.restore({**state, "position": -1})


def test_more_than_there_is_cannot_be_batched():
    with pytest.raises(ValueError, match="there are 2"):
        ExampleSampler(examples(2), 3)


def test_an_evaluation_sees_each_example_once_in_order():
    assert [batch["number"].tolist() for batch in example_batches(examples(5), 2)] == [[0, 1], [2, 3], [4]]
