"""The made-up format: what follows it and what does not, and that held-out questions are held out."""

import re

import pytest

from llm_from_scratch.recipes import made_up_format as f


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<<river | water>>", True),
        (" <<river | water that flows, in a valley.>>\n", True),
        ("<<RIVER | water>>", False),
        ("<<lake | water>>", False),
        ("<<river | >>", False),
        ("<<river |water>>", False),
        ("<<river | water>", False),
        ("<<river | water>> Anything else?", False),
        ("A river: <<river | water>>", False),
        ("<<river | water>>\n<<river | water>>", False),
        ("<<river | <b>water</b>>>", False),
        ("", False),
    ],
)
def test_what_follows_the_format(text, right):
    assert f.follows("river", text) == right


def test_examples_follow_it_and_differ():
    examples = f.dialogues(seed=3)
    assert len(examples) == 200 and len({repr(example) for example in examples}) == 200
    assert f.dialogues(seed=3) == examples != f.dialogues(seed=4)
    for question, answer in examples:
        words = [word for word in f._WORDS if word in question["content"]]
        assert any(f.follows(word, answer["content"]) for word in words), (question, answer)


def test_questions_are_about_words_and_in_ways_that_were_not_trained():
    trained = " ".join(message["content"].lower() for example in f.dialogues(0, 320) for message in example)
    asked = f.questions(100)
    assert len({prompt[0]["content"] for prompt, _ in asked}) == 100
    assert all(word not in trained.split() for _, word in asked)
    unseen = [prompt for prompt, word in asked if prompt[0]["content"].replace(word, "{}") not in f._TRAINED]
    assert 40 <= len(unseen) <= 60


def test_another_seed_asks_about_words_that_neither_training_nor_the_first_list_has():
    everything = " ".join(message["content"].lower() for example in f.dialogues(0, 320) for message in example)
    first = {word for _, word in f.questions(100)}
    assert len(set(f._FRESH)) == len(f._FRESH) >= 5 * len(first)
    assert not set(f._FRESH) & ({*re.findall("[a-z]+", everything)} | first)
    lists = [{word for _, word in f.questions(100, seed)} for seed in (1, 2, 3)]
    assert all(len(words) == len(first) and words <= set(f._FRESH) for words in lists)
    assert lists[0] != lists[1] != lists[2] and f.questions(100, 1) == f.questions(100, 1)
    ways = [[prompt[0]["content"].replace(word, "{}") for prompt, word in f.questions(100, seed)] for seed in (0, 1)]
    assert ways[0] == ways[1]  # only the words differ


@pytest.mark.parametrize("call", [lambda: f.dialogues(0, 0), lambda: f.dialogues(0, 321), lambda: f.questions(1000)])
def test_more_than_there_are(call):
    with pytest.raises(ValueError, match="there are"):
        call()
