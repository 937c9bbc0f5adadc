"""Rankings and ratings from files as people have them."""
# ruff: noqa: E501

import itertools
import json

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import assistant as world

rankings, ratings = lfs.data.read_rankings, lfs.data.read_ratings
QUESTION = [{"role": "user", "content": "Q"}]
ROWS = {
    "nectar": {
        "prompt": "\n\nHuman: Q\n\nAssistant: ",
        "answers": [{"answer": "b", "model": "x", "rank": 2.0}, {"answer": "a", "model": "y", "rank": 1.0}],
        "turns": 1,
        "num_responses": 2,
        "source": ["s"],
        "good_natured": True,
    },
    "ranks beside": {"prompt": "Q", "answers": ["b", "a"], "ranks": [2, 1]},
    "scores beside": {"instruction": "Q", "responses": ["b", "a"], "scores": [0.1, 7]},
    "ultrafeedback": {
        "instruction": "Q",
        "completions": [{"response": "b", "fine-grained_score": 2.5}, {"response": "a", "fine-grained_score": 4.75}],
    },
}


def put(folder, *rows):
    (folder / "x").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "x"


@pytest.mark.parametrize("name", ROWS)
def test_every_shape_is_known_by_its_content(tmp_path, name):
    assert rankings(put(tmp_path, ROWS[name])) == [{"prompt": QUESTION, "answers": ["b", "a"], "ranks": [2, 1]}]


def test_equal_scores_share_a_rank(tmp_path):
    (found,) = rankings(put(tmp_path, {"prompt": "Q", "answers": list("abcd"), "scores": [1, 3, 3, 0]}))
    assert found["ranks"] == [3, 1, 1, 4]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Q", "answers": ["a"], "ranks": [1]}, "at least 2 answers and as many ranks, got 1 and 1"),
        ({"prompt": "Q", "answers": ["a", "b"], "ranks": [1]}, "got 2 and 1"),
        ({"prompt": "Q", "answers": ["a", "b"], "ranks": [0, 1]}, "answer 1 has the rank 0: expected a whole number from 1"),
        ({"prompt": "Q", "answers": ["a", "b"], "ranks": [1, 1.5]}, "answer 2 has the rank 1.5"),
        ({"prompt": "Q", "answers": ["a", "b"], "ranks": [1, None]}, "answer 2 has the rank None"),
        ({"prompt": "Q", "answers": ["a", "b"], "scores": [1, None]}, "answer 2 has the score None: expected a finite number"),
        ({"prompt": "Q", "answers": ["a", ""], "ranks": [1, 2]}, "what the assistant says is empty"),
        ({"answers": ["a", "b"], "ranks": [1, 2]}, "there is no prompt"),
        ({"prompt": "Q", "chosen": "a", "rejected": "b"}, "read_preferences takes such rows"),
        ({"prompt": "Q", "answers": [{"answer": None, "rank": 1}, {"answer": "b", "rank": 2}]}, "must be a text, got None"),
    ],
)  # fmt: skip
def test_rankings_that_are_wrong(tmp_path, row, message):
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        rankings(put(tmp_path, ROWS["nectar"], row))


RATED = {
    "prompt": "Q",
    "response": "A",
    "helpfulness": 3,
    "correctness": 4,
    "coherence": 4,
    "complexity": 0,
    "verbosity": 1,
}


def test_ratings(tmp_path):
    assert ratings(put(tmp_path, RATED)) == [{**RATED, "prompt": QUESTION}]
    made = list(itertools.islice(world.ratings(5), 20))
    assert ratings(put(tmp_path, *made)) == made
    ranked = list(itertools.islice(world.rankings(5), 20))
    assert rankings(put(tmp_path, *ranked)) == ranked
    for change, message in (
        ({"helpfulness": 5}, "helpfulness must be a whole number from 0 to 4, got 5"),
        ({"verbosity": None}, "verbosity must be a whole number from 0 to 4, got None"),
        ({"coherence": 1.5}, "coherence must be a whole number"),
        ({"response": ""}, "what the assistant says is empty"),
        ({"prompt": None}, "there is no prompt"),
    ):
        with pytest.raises(ValueError, match=f"line 2: {message}"):
            ratings(put(tmp_path, RATED, {**RATED, **change}))
