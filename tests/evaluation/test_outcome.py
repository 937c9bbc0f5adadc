"""Outcomes come back from their file, and two of them are compared on the items that both have."""

import json

import numpy as np
import pytest

from llm_from_scratch.evaluation import Outcome, compare, paired_bootstrap, read_outcomes, write_outcomes
from llm_from_scratch.evaluation.picture import plot_outcomes


def outcome(scores, keys=None, **changes):
    scores = [float(s) for s in scores]
    keys = [f"k{n}" for n in range(len(scores))] if keys is None else keys
    value = float(np.mean(scores))
    made = {"task": "t", "metric": "accuracy", "keys": tuple(keys), "scores": tuple(scores), **changes}
    return Outcome(value, (value - 0.1, value + 0.1), len(scores), **made)


def test_written_and_read(tmp_path):
    one = outcome([1, 0, 1], settings={"shots": 0}, details={"chance": 0.25, "choices alone": [0.3, 0.2, 0.4]})
    single = Outcome(
        0.5, (-np.inf, np.inf), 1, task="u", metric="m", keys=("k",), scores=(0.5,), larger_is_better=False
    )
    write_outcomes(tmp_path, "my model", [one, single])
    assert read_outcomes(tmp_path) == ("my model", {"t": one, "u": single})
    assert read_outcomes(tmp_path / "results.json")[1]["t"] == one
    json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("text", ['{"format": "other"}', "[]", "{", '{"format": "evaluation 1", "outcomes": [{}]}'])
def test_damaged_files_are_named(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match="results.json"):
        read_outcomes(tmp_path)
    with pytest.raises(FileNotFoundError, match="there are no results in"):
        read_outcomes(tmp_path / "elsewhere")


def test_items_are_matched_by_their_keys():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 2, 40)
    better = np.maximum(scores, rng.random(40) < 0.5)
    keys = [f"k{n}" for n in range(40)]
    order = rng.permutation(40)
    shuffled = outcome(scores[order], [keys[k] for k in order])
    found = compare(outcome(better, keys), shuffled)
    expected = paired_bootstrap(better, scores, 0)
    assert (found.value, found.interval, found.p_value) == (expected.value, expected.interval, expected.p_value)
    assert found.first == better.mean() and found.second == scores.mean() and found.missing == 0
    assert found.verdict == "the first is better" and compare(shuffled, outcome(better, keys)).verdict.startswith(
        "the sec"
    )
    fewer = compare(outcome(better[:30], keys[:30]), shuffled)
    assert fewer.count == 30 and fewer.missing == 10


def test_no_difference_few_items_and_less_is_more():
    same = outcome([1, 0, 1, 1, 0] * 4)
    assert compare(same, same).verdict == "no difference that chance could not make"
    assert compare(outcome([1]), outcome([0])).verdict == "one item says nothing about others"
    low, high = (outcome(np.full(30, v) + np.arange(30), larger_is_better=False) for v in (1.0, 2.0))
    assert compare(low, high).verdict == "the first is better"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"task": "other"}, "differ in their task"),
        ({"metric": "bits"}, "differ in their metric"),
        ({"settings": {"shots": 3}}, "differ in their settings, .*: what is compared must be equal"),
        ({"keys": ("x", "y")}, "none is the same"),
    ],
)
def test_what_cannot_be_compared(changes, message):
    with pytest.raises(ValueError, match=message):
        compare(outcome([1, 0]), outcome([1, 0], **changes))


def test_drawn(tmp_path):
    details = {"chance": 0.25, "shortest choice": 0.3, "longest choice": 0.2, "choices alone": [0.3, 0.2, 0.4]}
    text = outcome([1.5, 1.2], task="p", metric="bits per byte", larger_is_better=False)
    path = plot_outcomes([outcome([1, 0], details=details), text], tmp_path / "a.png", title="a model")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    with pytest.raises(ValueError, match="no outcomes"):
        plot_outcomes([], tmp_path / "b.png")
