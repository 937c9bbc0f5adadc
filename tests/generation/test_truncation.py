"""What each rule keeps, against its definition; one token is always left, and what is kept is as it was."""

import numpy as np
import pytest

from llm_from_scratch.generation import limit_to_min_p, limit_to_top_k, limit_to_top_p, limit_to_typical

RULES = {limit_to_top_k: 3, limit_to_top_p: 0.4, limit_to_min_p: 0.3, limit_to_typical: 0.4}


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_top_k_keeps_k_and_ties():
    logits = np.random.default_rng(2).normal(size=30)
    kept = np.flatnonzero(np.isfinite(limit_to_top_k(logits, 7)))
    assert set(kept) == set(np.argsort(logits)[-7:])
    assert np.isfinite(limit_to_top_k(np.array([1.0, 2.0, 2.0, 0.0]), 1)).sum() == 2
    np.testing.assert_array_equal(limit_to_top_k(logits, 99), logits)


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 0.999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(p):
    logits = np.random.default_rng(3).normal(size=40) * 2
    probabilities = softmax(logits)
    kept = np.isfinite(limit_to_top_p(logits, p))
    assert probabilities[kept].sum() >= p  # enough …
    without_smallest = probabilities[kept].sum() - probabilities[kept].min()
    assert kept.sum() == 1 or without_smallest < p  # … and no more than needed
    assert probabilities[kept].min() >= probabilities[~kept].max()
    np.testing.assert_array_equal(limit_to_top_p(logits, 1.0), logits)


@pytest.mark.parametrize("p", [0.0, 0.02, 0.3, 1.0])
def test_min_p_is_measured_at_the_most_probable(p):
    logits = np.append(np.random.default_rng(5).normal(size=40) * 2, -np.inf)
    probabilities = softmax(logits)
    kept = np.isfinite(limit_to_min_p(logits, p))
    # by odds, not by probabilities: no normalisation is involved
    assert kept.tolist() == (np.exp(logits - logits.max()) >= p * (1 - 1e-12)).tolist()[:-1] + [False]
    assert probabilities[kept].min() >= p * probabilities.max() * (1 - 1e-12)
    assert kept.sum() == {0.0: 40, 1.0: 1}.get(p, kept.sum()) and 0 < kept.sum()
    assert np.isfinite(limit_to_min_p(np.array([2.0, 1.0, 2.0]), 1.0)).tolist() == [True, False, True]


@pytest.mark.parametrize("p", [1e-9, 0.2, 0.6, 0.95])
def test_typical_keeps_the_smallest_set_nearest_to_the_entropy(p):
    logits = np.append(np.random.default_rng(6).normal(size=40) * 1.5, -np.inf)
    probabilities = softmax(logits[:-1])
    entropy = -(probabilities * np.log(probabilities)).sum()
    distance = abs(-np.log(probabilities) - entropy)
    kept = np.isfinite(limit_to_typical(logits, p))
    assert not kept[-1]
    kept = kept[:-1]
    assert probabilities[kept].sum() >= p and distance[kept].max() < distance[~kept].min()
    assert kept.sum() == 1 or probabilities[kept].sum() - probabilities[distance == distance[kept].max()].sum() < p
    assert p > 0.5 or not kept[probabilities.argmax()]  # not the most probable one: it is no surprise at all


def test_typical_of_equals_keeps_all_of_them():
    out = limit_to_typical(np.array([1.0, 1.0, 1.0, -np.inf]), 0.2)
    assert np.isfinite(out).tolist() == [True, True, True, False]
    np.testing.assert_array_equal(limit_to_typical(np.array([3.0, -np.inf]), 0.5), [3.0, -np.inf])
    np.testing.assert_array_equal(limit_to_typical(np.array([3.0, 1.0]), 1.0), [3.0, 1.0])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_kept_is_as_it_was(rule, dtype):
    logits = np.random.default_rng(4).normal(size=20).astype(dtype)
    before = logits.copy()
    out = rule(logits, RULES[rule])
    assert out.dtype == dtype and 0 < np.isfinite(out).sum() < 20
    np.testing.assert_array_equal(out[np.isfinite(out)], logits[np.isfinite(out)])
    np.testing.assert_array_equal(logits, before)
    assert rule(logits[:1], RULES[rule]).tolist() == logits[:1].tolist()  # a vocabulary of one
    huge = np.array([1e30, -1e30, 0.0], dtype)
    assert np.isfinite(rule(huge, RULES[rule] if rule is not limit_to_top_k else 1)).tolist() == [True, False, False]
