"""Preferences from files as people have them."""
# ruff: noqa: E501

import json

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import assistant as world

read, write = lfs.data.read_preferences, lfs.data.write_preferences


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


PAIR = {"prompt": [user("Q")], "chosen": [said("good")], "rejected": [said("bad")]}
LONGER = {"prompt": [user("a"), said("b"), user("Q")], "chosen": [said("good")], "rejected": [said("bad")]}
SYSTEM = {**PAIR, "prompt": [{"role": "system", "content": "S"}, user("Q")]}
ROWS = {
    "plain": ({"prompt": "Q", "chosen": "good", "rejected": "bad"}, PAIR),
    "hh-rlhf": (
        {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: Q\n\nAssistant: good", "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: Q\n\nAssistant: bad"},
        LONGER,
    ),
    "hh-rlhf that parts early": (
        {"chosen": "\n\nHuman: Q\n\nAssistant: x\n\nHuman: y\n\nAssistant: z", "rejected": "\n\nHuman: Q\n\nAssistant: bad"},
        {**PAIR, "chosen": [said("x"), user("y"), said("z")]},
    ),
    "hh-rlhf where one goes on": (
        {"chosen": "\n\nHuman: Q\n\nAssistant: x", "rejected": "\n\nHuman: Q\n\nAssistant: x\n\nHuman: y\n\nAssistant: z"},
        {"prompt": [user("Q")], "chosen": [said("x")], "rejected": [said("x"), user("y"), said("z")]},
    ),
    "hh-rlhf with its prompt apart": ({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: Q\n\nAssistant:", "chosen": " good", "rejected": " bad"}, {**LONGER, "chosen": [said(" good")], "rejected": [said(" bad")]}),
    "ultrafeedback, binarized": (
        {"prompt": "Q", "prompt_id": "1", "chosen": [user("Q"), said("good")], "rejected": [user("Q"), said("bad")], "messages": [user("Q"), said("good")], "score_chosen": 9.0, "score_rejected": 2.0},
        PAIR,
    ),
    "answers as lists": ({"prompt": [user("Q")], "chosen": [said("good")], "rejected": [said("bad")]}, PAIR),
    "no prompt apart": ({"chosen": [user("a"), said("b"), user("Q"), said("good")], "rejected": [user("a"), said("b"), user("Q"), said("bad")]}, LONGER),
    "orca pairs": ({"system": "S", "question": "Q", "chosen": "good", "rejected": "bad"}, SYSTEM),
    "orca pairs without a system": ({"system": "", "question": "Q", "chosen": "good", "rejected": "bad"}, PAIR),
    "conversations with a system prompt beside them": (
        {"system_prompt": "S", "chosen": [user("Q"), said("good")], "rejected": [user("Q"), said("bad")]},
        SYSTEM,
    ),
    "sharegpt before, and two answers": (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
        LONGER,
    ),
    "argilla": ({"instruction": "Q", "chosen_response": "good", "rejected_response": "bad", "source": "x"}, PAIR),
    "ultrafeedback": (
        {"source": "s", "instruction": "Q", "models": ["a"], "completions": [
            {"model": "a", "response": "so", "overall_score": 5.0}, {"model": "b", "response": "good", "overall_score": 8.5},
            {"model": "c", "response": "bad", "overall_score": 1.0, "annotations": {"helpfulness": {"Rating": "1"}}}]},
        PAIR,
    ),
    "webgpt": (
        {"question": {"dataset": "eli5", "id": "1", "full_text": "Q"}, "quotes_0": {}, "answer_0": "bad", "tokens_0": {}, "score_0": -0.5, "quotes_1": {}, "answer_1": "good", "score_1": 0.5},
        PAIR,
    ),
    "summarize from feedback, of an article": (
        {"info": {"id": "1", "post": None, "article": "Q"}, "summaries": [{"text": "good"}, {"text": "bad"}], "choice": 0},
        PAIR,
    ),
    "summarize from feedback": (
        {"info": {"id": "1", "post": "Q", "title": "t", "subreddit": "r", "site": None, "article": None}, "summaries": [{"text": "bad", "policy": "x"}, {"text": "good", "policy": "y"}], "choice": 1, "worker": "w"},
        PAIR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_every_shape_is_known_by_its_content(tmp_path, name):
    row, expected = ROWS[name]
    (tmp_path / "x").write_text(json.dumps(row) + "\n" + json.dumps(row), encoding="utf-8")
    assert read(tmp_path / "x") == [expected, expected]
    for whole in ([row], row, {"version": 1, "data": [row]}):
        (tmp_path / "x").write_text(json.dumps(whole), encoding="utf-8")
        assert read(tmp_path / "x") == [expected]


def test_ties_are_left_out(tmp_path):
    webgpt, feedback = ROWS["webgpt"][0], ROWS["ultrafeedback"][0]
    tied = [
        {**webgpt, "score_0": 0, "score_1": 0},
        {**feedback, "completions": [{"response": t, "overall_score": 3} for t in "ab"]},
    ]
    (tmp_path / "x").write_text(json.dumps([*tied, webgpt]), encoding="utf-8")
    assert read(tmp_path / "x") == [PAIR]
    (tmp_path / "x").write_text(json.dumps(tied), encoding="utf-8")
    with pytest.raises(ValueError, match="holds no preference: it has 2 rows, 2 of them ties"):
        read(tmp_path / "x")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Q", "chosen": "same", "rejected": "same"}, "chosen and rejected are equal: 'same'"),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: x", "rejected": "\n\nHuman: Q\n\nAssistant: x"}, "chosen and rejected are equal: 'x'"),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: x", "rejected": "\n\nHuman: Q\n\nAssistant:"}, "turn 2: what the assistant says is empty"),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: x", "rejected": "\n\nHuman: R\n\nAssistant: y"}, "no beginning in common that asks"),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: x\n\nHuman: y", "rejected": "\n\nHuman: Q\n\nAssistant: z"}, "chosen does not end with an answer"),
        ({"prompt": "Q", "chosen": "", "rejected": "bad"}, "what the assistant says is empty"),
        ({"prompt": "Q", "chosen": None, "rejected": "bad"}, "must be a text, got None"),
        ({"prompt": "Q", "chosen": 3, "rejected": "bad"}, "an answer must be a text or a list of messages, got 3"),
        ({"prompt": "", "chosen": "good", "rejected": "bad"}, "what the user says is empty"),
        ({"prompt": 3, "chosen": "good", "rejected": "bad"}, "with the keys .'chosen', 'prompt', 'rejected'. is no preference"),
        ({"prompt": [{"role": "x", "content": "Q"}], "chosen": "good", "rejected": "bad"}, "turn 1: the role 'x' is unknown"),
        ({"instruction": "Q", "output": "A"}, "read_dialogues takes such rows. Known: HH-RLHF"),
        ({**ROWS["webgpt"][0], "score_0": None}, "score_0 and score_1 must be numbers, got .None, 0.5"),
        ({**ROWS["summarize from feedback"][0], "choice": 2}, "two summaries and the choice 0 or 1, got .* and 2$"),
        ({"instruction": "Q", "completions": [{"response": "a"}, {"response": "b"}]}, "completion 1 has no score"),
        ({**ROWS["summarize from feedback"][0], "choice": 1.0}, "two summaries and the choice 0 or 1, got .* and 1.0$"),
        ({**ROWS["summarize from feedback"][0], "info": "Q"}, "info must have the post or the article, got 'Q'"),
        ({**ROWS["summarize from feedback"][0], "summaries": ["bad", "good"]}, r"two summaries .* got \['bad', 'good'\]"),
        ({**ROWS["summarize from feedback"][0], "summaries": 5}, "two summaries .* got 5 and 1"),
        ({**ROWS["summarize from feedback"][0], "summaries": [{"text": "bad"}, {"text": "good"}, 3]}, "two summaries"),
        ({"chosen": "good", "rejected": "bad"}, r"rows.jsonl, line 3: a row with the keys \['chosen', 'rejected'\] is no preference of a known shape. Known"),
        ({"system": 3, "prompt": "Q", "chosen": "good", "rejected": "bad"}, "what the system says must be a text, got 3"),
        ({"system": "S", "prompt": [{"role": "system", "content": "T"}, user("Q")], "chosen": "good", "rejected": "bad"}, "two system messages: 'S' beside the others, 'T' among them"),
        ({"instruction": "Q", "completions": []}, "'completions' is an empty list"),
        ({"completions": [{"response": "a", "score": 1}, {"response": "b", "score": 2}]}, "there is no prompt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, row, message):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS["plain"][0]) + "\n\n" + json.dumps(row), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read(file)
    assert f"{file}, line 3: " in str(error.value) and "\n" not in str(error.value)
    if "is no preference" not in message and "takes such rows" not in message:
        assert len(read(file, bad_rows="skip")) == 1


def test_written_and_read_again(tmp_path):
    file = tmp_path / "pairs.jsonl"
    pairs = [expected for _, expected in ROWS.values()]
    write(file, pairs)
    assert read(file) == pairs
    made = world.preferences(3)
    pairs = [next(made) for _ in range(30)]
    write(file, pairs)
    assert read(file) == pairs
    before = file.read_bytes()
    for wrong, message in (
        ({**PAIR, "rejected": PAIR["chosen"]}, "pair 1: chosen and rejected are equal"),
        ({"prompt": PAIR["prompt"]}, "pair 1: 'chosen' must be a list of messages"),
        ({**PAIR, "chosen": [user("x")]}, "pair 1: chosen does not end with an answer"),
        ({**PAIR, "chosen": "good"}, "pair 1: 'chosen' must be a list of messages"),
        (None, "pair 1: 'prompt' must be a list of messages"),
    ):
        with pytest.raises(ValueError, match=message):
            write(file, [PAIR, wrong])
    assert file.read_bytes() == before
