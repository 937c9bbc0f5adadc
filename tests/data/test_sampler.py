from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from llm_from_scratch.data.packing import IGNORE
from llm_from_scratch.data.sampler import BatchSampler, evaluation_batches
from llm_from_scratch.data.token_file import write_tokens

TOKENS = np.random.default_rng(3).integers(0, 50, size=1003).astype(np.uint16)
MODES = pytest.mark.parametrize("mode", ["epochs", "documents", "random"])


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].tobytes() == right[name].tobytes()


@MODES
@pytest.mark.parametrize("steps", [0, 1, 11, 12, 13, 40])
def test_restored_equals_uninterrupted(mode, steps):
    settings = dict(batch_size=5, context=16, seed=8, separator=0, mode=mode)
    whole, first = BatchSampler(TOKENS, **settings), BatchSampler(TOKENS, **settings)
    for _ in range(steps):
        same(next(whole), next(first))
    state = json.loads(json.dumps(first.state()))
    assert len(json.dumps(state)) < 300
    second = BatchSampler(TOKENS, **settings)
    next(second)
    second.restore(state)
    for _ in range(30):
        same(next(whole), next(second))
    assert second.state() == whole.state()


def test_an_epoch_uses_every_window_once_and_the_next_one_another_order():
    stream = np.arange(1001)  # a token tells its place
    sampler = BatchSampler(stream, batch_size=4, context=10, seed=0)
    orders = []
    for epoch in range(3):
        starts = []
        for _ in range(sampler.batches_per_epoch):
            batch = next(sampler)
            assert sampler.epoch == epoch
            assert np.array_equal(batch["targets"], batch["ids"] + 1)
            assert batch["ids"].dtype == np.int64 and batch["ids"].shape == (4, 10)
            starts += batch["ids"][:, 0].tolist()
        assert len(set(starts)) == len(starts) >= 96
        assert len({start % 10 for start in starts}) == 1  # one offset, windows side by side
        orders.append(starts)
        next_epoch = BatchSampler(stream, batch_size=4, context=10, seed=0)
        next_epoch.restore({**sampler.state()})
        if sampler.batch < sampler.batches_per_epoch:
            raise AssertionError("the epoch should be over")
    assert orders[0] != orders[1] != orders[2]


@MODES
def test_seeds_differ(mode):
    one, two = (BatchSampler(TOKENS, 4, 8, seed=seed, mode=mode, separator=0) for seed in (1, 2))
    assert not np.array_equal(next(one)["ids"], next(two)["ids"])


def test_document_mode_begins_every_row_with_a_document():
    documents = [np.full(3 + number % 5, number) for number in range(1, 61)]
    stream = np.concatenate([part for document in documents for part in ([0], document)] + [[0]])
    sampler = BatchSampler(stream, 4, 9, mode="documents", separator=0)
    epochs = []
    for epoch in range(2):
        batches = [next(sampler) for _ in range(sampler.batches_per_epoch)]
        assert sampler.epoch == epoch
        rows = np.concatenate([batch["ids"] for batch in batches])
        assert np.all(rows[:, 0] == 0)
        first = rows[:, 1].tolist()
        assert len(set(first)) == len(first) == 56  # each document once; what does not fill a batch waits
        epochs.append(first)
    assert epochs[0] != epochs[1]
    with pytest.raises(ValueError, match="needs the separator"):
        BatchSampler(stream, 4, 9, mode="documents")
    with pytest.raises(ValueError, match="1 documents start early enough .* a batch takes 2"):
        BatchSampler(np.concatenate([[0], np.ones(30, int), [0]]), 2, 9, mode="documents", separator=0)


def test_random_mode_reaches_both_ends():
    sampler = BatchSampler(np.arange(20), 8, 16, mode="random")
    starts = {int(s) for batch in itertools.islice(sampler, 20) for s in batch["ids"][:, 0]}
    assert starts == {0, 1, 2, 3}


def test_smallest_corpus_that_works_and_one_token_less():
    sampler = BatchSampler(np.arange(33), 4, 8)
    for _ in range(5):
        assert sorted(next(sampler)["ids"][:, 0].tolist()) == [0, 8, 16, 24]
    with pytest.raises(ValueError, match="has 32 tokens, but one batch of 4 × 8 takes 33: bring more text"):
        BatchSampler(np.arange(32), 4, 8)


def test_restoring_over_something_else_is_refused():
    state = BatchSampler(TOKENS, 4, 8, seed=1).state()
    for other, difference in [
        (BatchSampler(TOKENS, 4, 8, seed=2), "seed: saved 1, now 2"),
        (BatchSampler(TOKENS, 5, 8, seed=1), "batch_size: saved 4, now 5"),
        (BatchSampler(TOKENS[:-1], 4, 8, seed=1), "tokens: saved 1003, now 1002"),
        (BatchSampler(TOKENS[::-1], 4, 8, seed=1), "fingerprint"),
    ]:
        with pytest.raises(ValueError, match=difference):
            other.restore(state)
    with pytest.raises(ValueError, match="damaged"):
        BatchSampler(TOKENS, 4, 8, seed=1).restore({**state, "batch": -1})


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"batch_size": 0}, ValueError, "at least 1"),
        ({"context": -3}, ValueError, "at least 1"),
        ({"seed": -1}, ValueError, "seed"),
        ({"mode": "sorted"}, ValueError, "epochs, documents, random"),
        ({"tokens": TOKENS.astype(float)}, TypeError, "array of integers"),
        ({"tokens": TOKENS.reshape(17, 59)}, TypeError, "one-dimensional"),
    ],
)
def test_bad_settings(arguments, error, message):
    with pytest.raises(error, match=message):
        BatchSampler(**{"tokens": TOKENS, "batch_size": 2, "context": 4, **arguments})


@pytest.mark.parametrize("count", [2, 3, 16, 17, 18, 95, 96, 97, 98, 1003])
def test_evaluation_counts_every_target_once(count):
    stream = np.arange(1, count + 1)
    seen = []
    for batch in evaluation_batches(stream, batch_size=3, context=16):
        assert batch["ids"].shape == batch["targets"].shape and batch["ids"].shape[1] == 16
        counted = batch["targets"] != IGNORE
        assert np.array_equal(batch["targets"][counted], batch["ids"][counted] + 1)
        seen += batch["targets"][counted].tolist()
    assert seen == list(range(2, count + 1))


def test_evaluation_limit_and_short_text():
    assert len(list(evaluation_batches(TOKENS, 2, 8, limit=3))) == 3
    with pytest.raises(ValueError, match="has 1 tokens and at least 2 are needed"):
        evaluation_batches(TOKENS[:1], 2, 8)


def test_memory_mapped_files_give_the_same_batches(tmp_path):
    file = write_tokens(tmp_path / "a", [TOKENS], vocabulary_size=50)
    same(next(BatchSampler(file, 4, 8, separator=3)), next(BatchSampler(TOKENS, 4, 8, separator=3)))
    assert type(next(BatchSampler(file, 4, 8))["ids"]) is np.ndarray


def test_rows_may_begin_where_documents_do():
    tokens = np.concatenate([[0, *range(1, n)] for n in (5, 9, 3, 12, 7, 20)])  # 0 opens a document
    sampler = BatchSampler(tokens, batch_size=2, context=6, seed=1, separator=0, mode="documents")
    assert sampler.batches_per_epoch == 3
    seen = [tuple(row) for _ in range(3) for row in next(sampler)["ids"]]
    opens = np.flatnonzero(tokens == 0)
    assert sorted(seen) == sorted(tuple(tokens[start : start + 6]) for start in opens)
    state = sampler.state()
    again = BatchSampler(tokens, batch_size=2, context=6, seed=1, separator=0, mode="documents")
    again.restore(state)
    for _ in range(5):
        ours, theirs = next(sampler), next(again)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    with pytest.raises(ValueError, match="needs the separator"):
        BatchSampler(tokens, batch_size=2, context=6, mode="documents")
    with pytest.raises(ValueError, match="1 documents start early enough"):
        BatchSampler(np.arange(100), batch_size=2, context=6, separator=0, mode="documents")


def test_a_batch_of_one_row_shares_no_memory_between_ids_and_targets():
    batch = next(BatchSampler(np.arange(50), batch_size=1, context=8))
    assert not np.shares_memory(batch["ids"], batch["targets"])
