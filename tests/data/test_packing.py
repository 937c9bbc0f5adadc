from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data.packing import (
    IGNORE,
    document_positions,
    examples_from_documents,
    pack_examples,
    pad_documents,
    window_batch,
)

DOCUMENTS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=30), max_size=25)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(1, 12), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_packing_loses_nothing_and_leaks_nothing(documents, context, batch_size, open_rows, with_separator):
    separator = 0 if with_separator else None
    examples = list(examples_from_documents(documents, context, separator))
    wanted = sorted((tuple(ids), tuple(targets)) for ids, targets in examples)
    found = []
    for batch in pack_examples(examples, batch_size, context, pad_id=7, open_rows=open_rows):
        assert {array.shape for array in batch.values()} <= {(n, context) for n in range(1, batch_size + 1)}
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
        for ids, targets, segments in zip(batch["ids"], batch["targets"], batch["segments"], strict=True):
            assert np.all(targets[segments == -1] == IGNORE)
            for number in range(segments.max() + 1):
                inside = segments == number
                assert np.all(np.diff(np.flatnonzero(inside)) == 1)  # one run of columns
                found.append((tuple(ids[inside]), tuple(targets[inside])))
    assert sorted(found) == wanted
    # Every token is predicted once; its own document alone supplies the target.
    count = sum(int(np.sum(targets != IGNORE)) for _, targets in examples)
    assert count == sum(len(document) + (1 if with_separator else -1) for document in documents)


def test_a_target_never_comes_from_the_next_document():
    documents = [[10, 11], [20, 21], [30, 31]]
    batch = next(pack_examples(examples_from_documents(documents, 6), 1, 6))
    assert batch["ids"].tolist() == [[10, 11, 20, 21, 30, 31]]
    assert batch["targets"].tolist() == [[11, IGNORE, 21, IGNORE, 31, IGNORE]]


def test_examples_too_long_or_unequal_are_refused():
    with pytest.raises(ValueError, match="example 0 has 3 ids and 3 targets; .*context of 2"):
        list(pack_examples([(np.arange(3), np.arange(3))], 1, 2))
    with pytest.raises(ValueError, match="example 0 has 2 ids and 1 targets"):
        list(pack_examples([(np.arange(2), np.arange(1))], 1, 2))
    with pytest.raises(ValueError, match="context must be at least 1"):
        list(pack_examples([], 1, 0))


def test_packing_wastes_little():
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 99, size=n) for n in rng.integers(20, 250, size=400)]
    batches = list(pack_examples(examples_from_documents(documents, 256, 0), 8, 256))
    used = np.concatenate([batch["segments"].reshape(-1) for batch in batches]) >= 0
    assert used.mean() > 0.9


def test_windows_belong_to_the_document_that_the_separator_opens():
    batch = window_batch(np.array([[0, 1, 2, 0, 3, 0, 0, 4]], dtype=np.uint16), separator=0)
    assert batch["segments"].tolist() == [[0, 0, 0, 1, 1, 2, 3]]
    assert batch["targets"].tolist() == [[1, 2, 0, 3, 0, 0, 4]]
    assert document_positions(batch["segments"]).tolist() == [[0, 1, 2, 0, 1, 0, 0]]
    assert "segments" not in window_batch(np.array([[1, 2]]))


@pytest.mark.parametrize("windows", [np.zeros((2, 1), int), np.zeros(4, int), np.zeros((2, 3))])
def test_bad_windows(windows):
    with pytest.raises(ValueError, match="windows must be integers of shape"):
        window_batch(windows)


def test_padding():
    with pytest.raises(ValueError, match="no empty ones"):
        pad_documents([[1], []])
    batch = pad_documents([[1], [2, 3]], pad_id=9)
    assert batch["ids"].tolist() == [[1, 9], [2, 3]]
    assert batch["targets"].tolist() == [[IGNORE, IGNORE], [3, IGNORE]]
