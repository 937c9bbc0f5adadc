"""Held-out questions: means of marks, one model asked once, another asked anew, and what is shown."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.recipes import questions as room
from llm_from_scratch.recipes.questions import Questions

PROMPTS = [[{"role": "user", "content": f"Tale {k}.\n\nWho was there?\n"}] for k in range(3)]


@pytest.fixture
def model():
    return lfs.build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=8, n_positions=8, seed=0)


@pytest.fixture
def calls(monkeypatch):
    """The calls of `answer`, which says "k" to the k-th prompt that it is given."""
    made = []

    def answer(model, tokenizer, prompts, **settings):
        made.append((list(prompts), settings))
        return [str(PROMPTS.index(prompt)) for prompt in prompts]

    monkeypatch.setattr(room, "answer", answer)
    return made


def test_every_mark_is_a_mean_over_all_prompts(model, calls):
    marks = {"right": [lambda text, k=k: text == str(k) and k < 2 for k in range(3)], "worth": [float] * 3}
    asked = Questions("tokenizer", PROMPTS, marks, template="tales", max_new_tokens=5)
    assert asked(model) == {"right": pytest.approx(2 / 3), "worth": 1.0}
    assert calls == [(PROMPTS, {"template": "tales", "max_new_tokens": 5})]


def test_a_model_is_asked_once_and_asked_again_when_it_has_changed(model, calls):
    asked = Questions("tokenizer", PROMPTS, {"worth": [float] * 3})
    asked(model), asked.samples(model), asked.answers(model), asked(model)
    assert len(calls) == 1
    model.embedding.weight.data = np.nextafter(model.embedding.weight.data, np.float32(1))
    asked.samples(model), asked(model)
    assert len(calls) == 2


def test_where_nothing_is_marked_only_what_is_shown_is_answered(model, calls):
    asked = Questions("tokenizer", PROMPTS, {})
    assert asked.samples(model) == [{"asked": "Who was there?", "answer": str(k)} for k in range(2)]
    assert calls == [(PROMPTS[:2], {})]
    assert asked.answers(model) == ["0", "1", "2"] and len(calls) == 2  # two of three are not all
    assert asked.answers(model, 1) == ["0"] and len(calls) == 2


def test_the_last_line():
    assert room.last_line([{"role": "user", "content": ""}]) == ""
    assert room.last_line([{"role": "user", "content": "a\nb"}, {"role": "user", "content": "c"}]) == "c"
