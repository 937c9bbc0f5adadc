"""Written answers: where they stop, what of them is compared, and what is refused before anything is written."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import generation_accuracy, last_number

TOKENIZER = lfs.Tokenizer.train("ab cd 12 34.\n", 262, special_tokens=["<|endoftext|>", "<s>"])


class Says:
    """Writes what was promised for a prompt, whatever was asked before."""

    config, spec, parameter_count = {}, None, 10

    def __init__(self, replies):
        self.replies, self.asked = replies, []

    def new_memory(self, batch_size):
        return {}

    def step(self, ids, memory, mask=None):
        if not memory:
            prompt = TOKENIZER.decode(ids[0], skip_special_tokens=True)
            self.asked.append((prompt, ids[0].tolist()))
            memory["rest"] = iter(TOKENIZER.encode(self.replies[prompt]) + [TOKENIZER.eos_id] * 9)
        return 9.0 * np.eye(TOKENIZER.vocab_size)[[next(memory["rest"])]]


ITEMS = [
    {"context": "a?", "answer": "12"},
    {"context": "b?", "answer": ["34", "cd"]},
    {"context": "c?", "answer": "ab"},
]


def test_answers_end_before_a_stop_and_are_compared_as_they_should():
    model = Says({"a?": " 12.\nab", "b?": " The cd", "c?": " cd"})
    result = generation_accuracy(model, TOKENIZER, ITEMS)
    assert result.texts == ["12.", "The cd", "cd"] and result.matches.tolist() == [True, True, False]
    assert float(result) == pytest.approx(2 / 3) and result.count == 3
    assert all(ids[0] == TOKENIZER.bos_id for _, ids in model.asked)  # a text begins with its begin token
    exact = generation_accuracy(model, TOKENIZER, ITEMS, normalize=str)
    assert exact.matches.tolist() == [False, False, False]


def test_numbers_are_found_in_what_is_said():
    items = [{"context": "a?", "answer": "So it is #### 1,234"}, {"context": "b?", "answer": "5"}]
    model = Says({"a?": " first 12, then 1234.0", "b?": " 5 or 6"})
    result = generation_accuracy(model, TOKENIZER, items, extract=last_number, max_new_tokens=40)
    assert result.answers == ["1234", "6"] and result.matches.tolist() == [True, False]
    for text, number in [("-3.50", "-3.5"), ("10", "10"), ("0.0", "0"), ("1,000,000", "1000000"), ("", "")]:
        assert last_number(text) == number


def test_a_real_model_continues_as_generate_does():
    model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=262, n_positions=24, seed=3)
    for parameter in model.parameters():
        parameter.data *= 20
    item = {"context": "ab cd", "answer": "x"}
    result = generation_accuracy(model, TOKENIZER, [item], max_new_tokens=6, stop=())
    ids = [TOKENIZER.bos_id, *TOKENIZER.encode("ab cd")]
    out = model.generate([ids], max_new_tokens=6, temperature=0.0, stop_tokens=[TOKENIZER.eos_id])[0, len(ids) :]
    assert result.texts == [TOKENIZER.decode(out, skip_special_tokens=True).strip()]
    long = {"context": "ab cd " * 5, "answer": "x"}
    with pytest.raises(ValueError, match="item 1 has .* exceed the model's context of 24"):
        generation_accuracy(model, TOKENIZER, [item, long], max_new_tokens=6)
    assert generation_accuracy(model, TOKENIZER, [item, long], max_new_tokens=6, truncate=True).truncated == 1
    with pytest.raises(ValueError, match="item 0 has"):
        generation_accuracy(model, TOKENIZER, [item], max_new_tokens=30, truncate=True)


def test_what_was_written_before_is_not_written_again(tmp_path, monkeypatch):
    model, path = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=262, n_positions=24), tmp_path / "a.jsonl"
    settings = {"max_new_tokens": 4, "temperature": 1.0, "stop": ()}
    full, counts = generation_accuracy(model, TOKENIZER, ITEMS, cache=path, **settings), []
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1]) + "\n" + lines[1][:20])  # killed in the middle of the second
    steps, step = [], type(model).step
    monkeypatch.setattr(type(model), "step", lambda m, *a, **k: steps.append(1) or step(m, *a, **k))
    again = generation_accuracy(model, TOKENIZER, ITEMS, cache=path, progress=counts.append, **settings)
    assert again.texts == full.texts and counts == [1, 2, 3] and 2 <= len(steps) <= 8
    steps.clear()
    generation_accuracy(model, TOKENIZER, ITEMS, cache=path, **{**settings, "temperature": 0.5})
    assert len(steps) > 2  # other settings are asked anew


@pytest.mark.parametrize(
    "item, error, message",
    [
        ({"context": "a?"}, ValueError, "item 1 has no right answer"),
        ({"context": "a?", "answer": []}, ValueError, "item 1 has no right answer"),
        ({"context": "a?", "answer": " "}, ValueError, "item 1: a right answer is empty"),
        ({"context": "a?", "answer": "the"}, ValueError, "item 1: nothing is left of the right answer 'the'"),
        ({"context": "", "answer": "a"}, ValueError, "item 1: the context is empty"),
        ({"context": 3, "answer": "a"}, TypeError, "item 1: 'context' must be"),
        ({"context": [{"role": "user", "content": "a"}], "answer": "b"}, ValueError, "item 1: this tokenizer came"),
    ],
)
def test_bad_items_are_named_before_anything_is_written(item, error, message):
    model = Says({})
    with pytest.raises(error, match=message):
        generation_accuracy(model, TOKENIZER, [ITEMS[0], item])
    assert not model.asked
