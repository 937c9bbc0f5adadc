"""The package's own tasks: the same items everywhere, one right choice, which only who reads the context can know."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data.tales import tell
from llm_from_scratch.evaluation import OWN_TASKS, multiple_choice, own_task
from llm_from_scratch.evaluation.own_tasks import SEED
from llm_from_scratch.evaluation.running import item_keys

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
TASKS = {name: own_task(name, 60) for name in OWN_TASKS}


CHOICES = [name for name in OWN_TASKS if name != "asked"]


@pytest.mark.parametrize("name", CHOICES)
def test_items_are_well_formed_and_repeat(name):
    task = TASKS[name]
    assert task.kind == "choices" and len(task.items) == 60 and len(task.examples) == 50 and task.about
    assert own_task(name, 60) == task and own_task(name, 10).items == task.items[:10]
    assert not set(item_keys(task.items)) & set(item_keys(task.examples)) or name == "arithmetic"
    for item in task.items:
        assert len(set(item["choices"])) == len(item["choices"]) in (2, 4)
        assert all(choice.startswith(" ") for choice in item["choices"])
        assert not item["context"].endswith(" ") and 0 <= item["answer"] < len(item["choices"])
    json.dumps(task.items)


@pytest.mark.parametrize("name", CHOICES)
def test_the_right_choice_stands_anywhere_and_is_neither_the_longest_nor_the_shortest(name):
    items = own_task(name, 300).items
    choices = len(items[0]["choices"])
    places = np.bincount([item["answer"] for item in items], minlength=choices) / 300
    assert abs(places - 1 / choices).max() < 0.09
    for picked in (min, max):
        right = [len(item["choices"][item["answer"]]) == picked(map(len, item["choices"])) for item in items]
        ties = [sum(len(c) == picked(map(len, item["choices"])) for c in item["choices"]) for item in items]
        assert np.mean([r / t for r, t in zip(right, ties)]) < 1 / choices + 0.09


def test_comprehension_asks_for_what_was_said():
    for item in TASKS["comprehension"].items:
        right = item["choices"][item["answer"]]
        assert right in item["context"]  # with its space: the same word
    assert {item["about"] for item in TASKS["comprehension"].items} == {"thing", "hero", "friend", "place"}


def test_agreement_differs_in_one_word():
    for item in TASKS["agreement"].items:
        one, other = (choice.split() for choice in item["choices"])
        differ = [k for k, (a, b) in enumerate(zip(one, other)) if a != b]
        assert len(one) == len(other) and differ == [0] and one[-1][-1] in '.!?"'


def test_the_results_of_arithmetic_are_right():
    for item in TASKS["arithmetic"].items:
        assert eval(item["context"].rstrip("=")) == int(item["choices"][item["answer"]])


def test_induction_repeats_a_list():
    for item in TASKS["induction"].items:
        words = item["context"].split()
        place = item["about"]
        assert words[10:] == words[:place] and len(set(words)) == 10
        assert item["choices"][item["answer"]].strip() == words[place]
        assert {choice.strip() for choice in item["choices"]} <= set(words[:10])


def test_the_needle_lies_at_its_depth_among_as_many_words_as_asked():
    for length in (40, 150):
        depths = []
        for item in own_task(f"needle:{length}", 60).items:
            right = item["choices"][item["answer"]]
            asked = re.split(r"(?<=[.!?]) ", item["context"])[-1]
            assert f"{asked}{right}." in item["context"]
            assert length <= len(item["context"].split()) <= length + 60
            depths.append(item["about"])
        assert min(depths) < 0.15 and max(depths) > 0.85


def test_the_tales_of_the_tasks_are_no_training_tales():
    read = {tell(0, number).text for number in range(2000)}
    assert not read & {tell(SEED, number).text for number in range(200)}


def test_a_model_of_tales_comprehends_and_a_random_one_guesses():
    model, tokenizer = lfs.from_pretrained(TALES_MODEL), lfs.Tokenizer.from_pretrained(TALES_MODEL)
    items = TASKS["comprehension"].items[:20]
    assert multiple_choice(model, tokenizer, items, threads=1).value >= 0.9
    for parameter in model.parameters():
        parameter.data = np.random.default_rng(0).permutation(parameter.data.ravel()).reshape(parameter.shape)
    assert multiple_choice(model, tokenizer, items, threads=1).value < 0.65


@pytest.mark.parametrize("name", ["reading", "needle:x", "needle:5", "induction:9", ""])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="there is no task|at least 20"):
        own_task(name)


def test_what_an_assistant_is_asked():
    task = own_task("asked:rewriting,arithmetic", 40)
    assert task.kind == "answers" and own_task("asked", 40).items != task.items
    assert {item["about"] for item in task.items} == {"rewriting", "arithmetic"}
    assert {item["about"] for item in own_task("asked", 60).items} == {"who", "what", "where", "when", "why"}
    for item in task.items:
        assert [message["role"] for message in item["context"]][-1] == "user" and item["answer"]
        if item["about"] == "arithmetic":
            sum_, _, result = item["answer"].rstrip(".").partition("=")
            assert sum_.strip() in item["context"][-1]["content"] and eval(sum_) == int(result)
    with pytest.raises(ValueError, match="no tasks of kind 'nosuch'"):
        own_task("asked:nosuch", 1)
    with pytest.raises(ValueError, match="there is no task 'agreement:who'"):
        own_task("agreement:who", 1)
