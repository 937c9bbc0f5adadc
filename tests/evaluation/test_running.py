"""Tasks carried out from end to end, few-shot prompts, and the names of items."""

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import (
    Task,
    bits_per_byte,
    ending_accuracy,
    generation_accuracy,
    last_number,
    multiple_choice,
    own_task,
    run_task,
    run_text,
    with_shots,
)
from llm_from_scratch.evaluation.running import item_keys

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
MODEL, TOKENIZER = lfs.from_pretrained(TALES_MODEL), lfs.Tokenizer.from_pretrained(TALES_MODEL)
TASK = own_task("agreement", 12)


def test_choices_come_with_baselines_calibration_and_groups():
    outcome = run_task(MODEL, TOKENIZER, TASK, normalize="bytes", threads=1)
    result = multiple_choice(MODEL, TOKENIZER, TASK.items, normalize="bytes", prior=True, threads=1)
    assert outcome.value == result.value and outcome.interval == result.interval and outcome.metric == "accuracy"
    assert list(outcome.scores) == result.correct.astype(float).tolist() and outcome.keys == item_keys(TASK.items)
    assert outcome.settings == {"normalize": "bytes", "shots": 0, "seed": None}
    assert outcome.details["chance"] == 0.5 and outcome.details["choices alone"][0] == result.prior.value
    assert sum(count for _, count in outcome.details["groups"].values()) == 12
    assert 0 <= outcome.details["calibration error"][0] <= 1
    assert run_task(MODEL, TOKENIZER, TASK, prior=False, threads=1).details["choices alone"] is None


def test_truth_is_a_share_of_probability():
    truths = {"choices": [" red.", " blue.", " a kite."], "labels": [1, 0, 1]}
    items = tuple(
        {"context": f"Q: {k}?\nA:", "choices": [" red.", " blue."], "answer": 0, "truths": truths} for k in "ab"
    )
    outcome = run_task(MODEL, TOKENIZER, Task("truth", "choices", items), threads=1)
    many = [{"context": item["context"], "choices": truths["choices"], "answer": 0} for item in items]
    shares = multiple_choice(MODEL, TOKENIZER, many, threads=1).probabilities
    found = outcome.details["truth's share of probability (mc2)"]
    assert found[0] == pytest.approx(np.mean([share[0] + share[2] for share in shares]))


def test_endings_and_answers():
    tale = lfs.data.tale(27_000, 3)
    cut = tale.rindex(" the ")
    items = ({"context": tale[:cut], "ending": " the"}, {"context": "Once there", "ending": " zebra"})
    outcome = run_task(MODEL, TOKENIZER, Task("last", "endings", items), threads=1)
    found = ending_accuracy(MODEL, TOKENIZER, items, threads=1)
    assert outcome.scores == (1.0, 0.0) and outcome.details["perplexity per ending"] == found.perplexity
    greedy = MODEL.generate([[0, *TOKENIZER.encode(tale[:cut])]], max_new_tokens=1, temperature=0.0)[0, -1]
    assert TOKENIZER.decode([greedy]) == " the"
    asked = ({"context": "Once there was a", "answer": "12"},)
    task = Task("sum", "answers", asked, max_new_tokens=5, extract=last_number)
    outcome = run_task(MODEL, TOKENIZER, task)
    written = generation_accuracy(MODEL, TOKENIZER, asked, max_new_tokens=5)
    assert outcome.details["texts"] == written.texts and outcome.scores == (0.0,)
    with pytest.raises(ValueError, match="sum has no choices whose length"):
        run_task(MODEL, TOKENIZER, task, normalize="bytes")
    with pytest.raises(ValueError, match="only a judge can score"):
        run_task(MODEL, TOKENIZER, Task("talk", "prompts", ({"turns": ["Hi"]},)))
    with pytest.raises(ValueError, match="item 1 has no right answer: 'ending'"):
        ending_accuracy(MODEL, TOKENIZER, [items[0], {"context": "a"}])
    with pytest.raises(ValueError, match="item 0: choice 0 is empty"):
        ending_accuracy(MODEL, TOKENIZER, [{"context": "a", "ending": ""}])


def test_a_text_is_scored_in_blocks():
    texts = [lfs.data.tale(27_000, number) for number in range(2)]
    outcome = run_text(MODEL, TOKENIZER, texts, context=128)
    found = bits_per_byte(MODEL, TOKENIZER, texts, context=128, stride=64)
    assert outcome.value == found.value and np.mean(outcome.scores) == pytest.approx(found.value)
    assert outcome.details["perplexity per token"] == found.token_perplexity and not outcome.larger_is_better
    assert outcome.settings == {"context": 128, "stride": 64} and len(set(outcome.keys)) == found.count


def test_examples_are_others_and_of_every_item_its_own():
    shown = with_shots(TASK, 3, seed=1)
    for item, before in zip(shown.items, TASK.items):
        *examples, asked = item["context"].split("\n\n" + before["context"][:30])
        assert item["context"].endswith(before["context"]) and len(item["context"]) > 3 * 40
        assert before["choices"] == item["choices"] and item["answer"] == before["answer"]
    assert shown == with_shots(TASK, 3, seed=1) != with_shots(TASK, 3, seed=2) and with_shots(TASK, 0) is TASK
    items = tuple({"context": f"{k} + 1 =", "choices": [f" {k + 1}", " 9"], "answer": 0} for k in range(4))
    three = with_shots(Task("sums", "choices", items, separator="\n"), 3)
    for item, before in zip(three.items, items):
        *solved, asked = item["context"].split("\n")
        assert asked == before["context"] and len(set(solved)) == 3
        assert (
            all(line == f"{line[0]} + 1 = {int(line[0]) + 1}" for line in solved) and asked not in item["context"][:-7]
        )
    with pytest.raises(ValueError, match="sums has 4 items to draw 4 examples from"):
        with_shots(Task("sums", "choices", items), 4)
    with pytest.raises(ValueError, match="shots must be"):
        with_shots(TASK, -1)


def test_examples_in_conversations_and_with_solutions():
    talk = tuple(
        {"context": [{"role": "user", "content": f"{k}?"}], "answer": f"{k}!", "solution": f"Think. {k}!"} for k in "ab"
    )
    item = with_shots(Task("talk", "answers", talk), 1).items[0]
    assert [turn["content"] for turn in item["context"]] == ["b?", "Think. b!", "a?"]
    plain = tuple({"context": f"{k}?", "ending": f"{k}"} for k in "ab")
    assert with_shots(Task("plain", "endings", plain), 1).items[0]["context"] == "b? b\n\na?"


def test_keys_depend_on_what_is_asked_only():
    keys = item_keys(TASK.items)
    assert len(set(keys)) == 12 and item_keys(TASK.items[::-1]) == keys[::-1]
    twice = item_keys([TASK.items[0], TASK.items[0]])
    assert twice == (keys[0], f"{keys[0]}/2")


def test_limits():
    assert TASK.limited(3).items == TASK.items[:3] and TASK.limited(None) is TASK
    for bad in (0, True, 2.0):
        with pytest.raises(ValueError, match="a limit of items"):
            TASK.limited(bad)
