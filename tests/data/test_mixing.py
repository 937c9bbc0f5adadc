"""Shares of sources: exact, whatever the weights; the same bytes after an interruption; bad mixtures refused."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from llm_from_scratch.data.mixing import MixtureSampler, RanDry, checked_weights, mixing_weights, next_source
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.data.token_file import write_tokens

# A token tells its source: a has 1000 to 1999, b 2000 to 2399, c 3000 to 3059.
SOURCES = {"a": np.arange(1000, 2000), "b": np.arange(2000, 2400), "c": np.arange(3000, 3060)}
WEIGHTS = {"a": 0.5, "b": 0.375, "c": 0.125}


def mixture(**changes):
    return MixtureSampler(SOURCES, 4, 8, **{"weights": WEIGHTS, "seed": 3, **changes})


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes()


def test_weights_by_size_and_temperature():
    # XLM-R's exponent alpha = 0.3 on 9 : 1, by hand: 9^0.3 = 1.933182, and 1.933182 : 1 is
    found = mixing_weights({"en": 900, "sw": 100}, temperature=1 / 0.3)
    assert found["en"] == pytest.approx(0.659073, abs=1e-6) and found["sw"] == pytest.approx(0.340927, abs=1e-6)
    assert mixing_weights({"en": 900, "sw": 100}) == {"en": 0.9, "sw": 0.1}
    assert mixing_weights({"en": 900, "sw": 100}, temperature=math.inf) == {"en": 0.5, "sw": 0.5}
    cold = mixing_weights({"en": 900, "sw": 100}, temperature=1e-3)  # the largest takes all: 9^1000 would overflow
    assert cold == {"en": 1.0, "sw": 0.0}
    assert sum(mixing_weights({str(n): n + 1 for n in range(50)}, temperature=2.5).values()) == pytest.approx(1)


def test_numbers_of_numpy_make_plain_ones():
    """That a position can be written as JSON."""
    shares = mixing_weights({"a": np.int64(900), "b": np.float32(100)}, temperature=np.float32(2))
    assert shares == mixing_weights({"a": 900, "b": 100}, temperature=2) and {*map(type, shares.values())} == {float}
    shares = checked_weights({"a": np.float32(0.25), "b": np.float64(0.75)}, ["a", "b"])
    assert {*map(type, shares.values())} == {float}


@pytest.mark.parametrize("seed", range(30))
def test_no_source_is_ever_a_row_away_from_its_share(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    weights = rng.dirichlet(np.full(count, rng.choice([0.1, 1.0, 10.0])))
    if seed % 3 == 0 and count > 2:
        weights[1] = 0.0
        weights /= weights.sum()
    exact, used = [Fraction(float(w)) for w in weights], max(2, int((weights > 0).sum()))
    counts = np.zeros(count)
    for rows in range(1, 300):
        turn = next_source(weights, counts)
        assert weights[turn] > 0
        counts[turn] += 1
        furthest = max(abs(int(c) - w * rows) for c, w in zip(counts, exact))
        assert float(furthest) <= 1 - 1 / (2 * (used - 1)) + 1e-6, (seed, rows)


def test_taking_whoever_is_furthest_behind_would_not_keep_that_promise():
    """What the rule is for: the simpler one comes a whole row too far, and drawing at random tens of rows."""
    weights = np.array([11, 1, 11, 1, 1]) / 25
    worst = {}
    for name in ("furthest behind", "ours"):
        counts, far = np.zeros(5), 0.0
        for rows in range(1, 26):
            behind = weights * rows - counts
            counts[int(np.argmax(behind)) if name != "ours" else next_source(weights, counts)] += 1
            far = max(far, float(np.abs(weights * rows - counts).max()))
        worst[name] = far
    assert worst["furthest behind"] > 1 and worst["ours"] <= 1 - 1 / 8 + 1e-9
    rng, counts = np.random.default_rng(0), np.zeros(5)
    for _ in range(10_000):
        counts[rng.choice(5, p=weights)] += 1
    assert np.abs(counts - 10_000 * weights).max() > 20


def test_shares_hold_in_batches_and_rows_come_as_each_source_alone_would_give_them():
    sampler = mixture()
    batches = [next(sampler) for _ in range(50)]
    ids = np.concatenate([batch["ids"] for batch in batches])
    assert ids.shape == (200, 8) and ids.dtype == np.int64
    assert np.array_equal(np.concatenate([batch["targets"] for batch in batches]), ids + 1)
    owner = ids[:, 0] // 1000
    assert np.array_equal(ids // 1000, np.repeat(owner[:, None], 8, 1))  # no row has two sources
    assert [(owner == n).sum() for n in (1, 2, 3)] == [100, 75, 25]
    for number, name in ((1, "a"), (2, "b"), (3, "c")):
        alone = BatchSampler(SOURCES[name], 1, 8, seed=3)
        expected = np.concatenate([next(alone)["ids"] for _ in range((owner == number).sum())])
        assert np.array_equal(ids[owner == number], expected)
    assert sampler.figures["rows a"] == 100 and sampler.figures["rows c"] == 25
    assert alone.epoch == 3 and sampler.figures["epochs c"] == round(3 + alone.batch / alone.batches_per_epoch, 4)
    assert sampler.per_epoch("c", 8) in (6, 7)  # (60 - 1 - offset) // 8


def test_every_window_once_an_epoch():
    sampler = MixtureSampler({"c": SOURCES["c"], "a": SOURCES["a"]}, 1, 8, weights={"c": 0.5, "a": 0.5}, seed=3)
    first = sampler.per_epoch("c", 8)
    dealt = [int(next(sampler)["ids"][0, 0]) for _ in range(2 * 2 * first)]
    small = [token for token in dealt if token >= 3000]
    assert len(small) == 2 * first and len(set(small[:first])) == first == len(set(small[first:]))
    assert small[:first] != small[first:]


@pytest.mark.parametrize("mode", ["epochs", "documents", "random"])
@pytest.mark.parametrize("steps", [0, 1, 7, 30])
def test_restored_equals_uninterrupted(mode, steps):
    rng = np.random.default_rng(0)
    sources = {name: rng.integers(0, 20, size=size) for name, size in (("x", 900), ("y", 500))}
    settings = dict(weights={"x": 0.7, "y": 0.3}, seed=5, separator=0, mode=mode)
    whole, first = (MixtureSampler(sources, 3, 8, **settings) for _ in range(2))
    for _ in range(steps):
        same(next(whole), next(first))
    state = json.loads(json.dumps(first.state()))
    second = MixtureSampler(sources, 3, 8, **settings)
    next(second)
    second.restore(state)
    for _ in range(20):
        same(next(whole), next(second))
    assert json.dumps(second.state()) == json.dumps(whole.state()) and second.figures == whole.figures


def test_another_batch_size_or_other_weights_go_on_where_each_source_was():
    one, two = mixture(), mixture()
    before = [next(one) for _ in range(5)]
    for _ in range(5):
        next(two)
    two.change(2, 8, {"a": 0.0, "b": 1.0, "c": 0.0})
    after = np.concatenate([next(two)["ids"] for _ in range(5)])
    assert after.shape == (10, 8) and set(after[:, 0] // 1000) == {2}
    seen = np.concatenate([batch["ids"] for batch in before])
    assert not set(seen[:, 0]) & set(after[:, 0])  # no window twice
    two.change(2, 16)  # a context of another length, shares by size
    assert next(two)["ids"].shape == (2, 16)
    third = mixture()
    third.change(2, 16)
    third.restore(json.loads(json.dumps(two.state())))
    same(next(two), next(third))


def test_a_source_that_runs_dry():
    sampler = mixture(when_dry="stop")
    with pytest.raises(RanDry, match=r"the source c has run dry after 6 rows of its 60 tokens: .*fewer steps"):
        for _ in range(100):
            next(sampler)
    assert issubclass(RanDry, ValueError)
    assert sampler.figures["rows c"] == 6 == sampler.per_epoch("c", 8)
    again = mixture()
    for _ in range(100):
        next(again)
    assert again.figures["epochs c"] > 6


def test_token_files_and_arrays_mix(tmp_path):
    file = write_tokens(tmp_path / "a.tokens", [list(range(1, 40))] * 20, vocabulary_size=50, separator=0)
    sampler = MixtureSampler({"file": file, "array": np.arange(1, 49).repeat(9)}, 2, 8, separator=0)
    assert {"ids", "targets", "segments"} == set(next(sampler))
    with open(file.path, "r+b") as handle:
        handle.truncate(600)
    with pytest.raises(ValueError, match="was cut"):
        for _ in range(3):
            next(sampler)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"a": 0.5, "b": 0.2, "c": 0.1}}, r"must sum to 1: 0.5 \+ 0.2 \+ 0.1 is 0.8"),
        ({"weights": {"a": 0.5, "b": 0.6}}, r"0.5 \+ 0.6 is 1.1"),
        ({"weights": {"a": 0.5, "d": 0.5}}, "no source d .* there are a, b, c"),
        ({"weights": {"a": -0.5, "b": 1.5}}, "weight of a must be a finite number of at least 0"),
        ({"weights": {"a": math.nan, "b": 1.0}}, "weight of a"),
        ({"weights": {"a": math.inf}}, "weight of a"),
        ({"weights": {"a": True}}, "weight of a must be a number"),
        ({"weights": {"a": "1"}}, "weight of a must be a number"),
        ({"weights": {"a": 0.0}}, "leave no source"),
        ({"weights": {}}, "leave no source"),
        ({"weights": [0.5, 0.5]}, "weights are"),
        ({"weights": None, "temperature": 0.0}, "temperature must be a number above 0"),
        ({"weights": None, "temperature": -1}, "temperature"),
        ({"weights": None, "temperature": math.nan}, "temperature"),
        ({"temperature": 2.0}, "give one of them"),
        ({"when_dry": "explode"}, "when_dry must be one of repeat, stop"),
        ({"seed": -1}, "the source a: seed"),
        ({"mode": "nonsense"}, "the source a: mode"),
    ],
)
def test_bad_mixtures_are_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mixture(**change)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "at least one source"),
        (None, "at least one source"),
        ([np.arange(9)], "at least one source"),
        ({"a": np.arange(100), "b": np.array([], int)}, "the source b is empty"),
        ({"a": np.arange(100), "b": np.arange(4)}, "the source b: the corpus has 4 tokens"),
        ({"a": np.arange(100), "b": np.zeros(100)}, "the source b: tokens must be"),
        ({"a": np.arange(100), "b": None}, "the source b: tokens must be"),
    ],
)
def test_bad_sources_are_refused(sources, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MixtureSampler(sources, 2, 8)


@pytest.mark.parametrize("shape", [(0, 8), (2, 0), (2.0, 8), (True, 8), (2, "8")])
def test_bad_shapes_are_refused(shape):
    with pytest.raises((ValueError, TypeError), match="batch_size|context"):
        MixtureSampler(SOURCES, *shape)


def test_sizes_that_cannot_be():
    for sizes, temperature in (({"a": 10**400}, 1), ({"a": 1}, -(10**400))):
        with pytest.raises(ValueError, match="must be a (finite )?number above 0, got -?inf"):
            mixing_weights(sizes, temperature=temperature)
    assert mixing_weights({"a": 1, "b": 3}, temperature=10**400) == {"a": 0.5, "b": 0.5}
    for sizes, message in (
        ({}, "needs sources"),
        ({"a": 0}, "size of a"),
        ({"a": math.inf}, "size of a"),
        ("a", "needs"),
    ):
        with pytest.raises(ValueError, match=message):
            mixing_weights(sizes)


def test_weights_are_normalised_only_when_asked():
    assert checked_weights({"a": 7, "b": 3}, ["a", "b"], normalize=True) == {"a": 0.7, "b": 0.3}
    thirds = checked_weights(dict.fromkeys("abc", 0.333333333), list("abc"))
    assert sum(thirds.values()) == pytest.approx(1, abs=1e-15)
    sampler = mixture(weights={"a": 7, "b": 1}, normalize=True)
    assert sampler.weights == {"a": 0.875, "b": 0.125, "c": 0.0}


def test_a_state_of_another_mixture_is_refused():
    state = mixture().state()
    with pytest.raises(ValueError, match="weights: saved .*another|another mixture"):
        mixture(weights={"a": 1.0}).restore(state)
    other = MixtureSampler({**SOURCES, "c": np.arange(3000, 3070)}, 4, 8, weights=WEIGHTS, seed=3)
    with pytest.raises(ValueError, match="the source c: .*tokens: saved 60, now 70"):
        other.restore(state)
    fewer = MixtureSampler({"a": SOURCES["a"]}, 4, 8)
    with pytest.raises(ValueError, match="sources: saved a, b, c, now a"):
        fewer.restore({**state, "weights": fewer.weights})
    for damage in ({"dealt": [1, 2]}, {"dealt": None}, {"dealt": [1, 2, -1]}, {"sources": 3},
                   {"sources": {"a": {}, "b": {"8": 3}, "c": {}}}):  # fmt: skip
        with pytest.raises(ValueError, match="damaged|the source b"):
            mixture().restore({**state, **damage})
