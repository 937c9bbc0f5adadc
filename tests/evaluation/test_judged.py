"""Two models answer, a third judges: each pair in both orders, later turns after a model's own answers."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import Task, judged_task

SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
TOKENIZER = lfs.Tokenizer.train("yes no A B", 264, special_tokens=SPECIAL)


class Says:
    """Answers every prompt of a batch with the same words, and keeps what it was asked."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def new_memory(self, batch_size):
        return iter([*TOKENIZER.encode(self.text), TOKENIZER.eos_id])

    def step(self, ids, memory, mask=None):
        if ids.shape[1] > 1:
            self.asked += [
                TOKENIZER.decode(row[np.ones(len(row), bool) if mask is None else mask[k]]) for k, row in enumerate(ids)
            ]
        return 9.0 * np.eye(TOKENIZER.vocab_size)[[next(memory)] * len(ids)]


class Prefers:
    """A judge that looks for a word, or only at the place."""

    def __init__(self, word):
        self.word = word

    def new_memory(self, batch_size):
        return None

    def step(self, ids, memory, mask=None):
        logits = np.zeros((len(ids), TOKENIZER.vocab_size))
        for row, line in zip(logits, ids):
            text = TOKENIZER.decode(line)
            first = self.word is None or self.word in text.split("[A]")[1].split("[B]")[0]
            row[TOKENIZER.encode("A" if first else "B")[0]] = 9.0
        return logits


TASK = Task("talk", "prompts", ({"turns": ["Is it?", "Sure?"]}, {"turns": ["Why?"]}))


def test_whoever_is_preferred_wins_in_both_orders():
    one, other = Says("yes"), Says("no")
    outcome = judged_task((one, TOKENIZER), (other, TOKENIZER), (Prefers("yes"), TOKENIZER), TASK, template="tales")
    assert outcome.value == 1.0 and outcome.scores == (1.0, 1.0) and outcome.metric == "win rate"
    assert outcome.details["wins"] == 2 and outcome.details["answers"][0][1] == "yes"
    assert outcome.details["answers"][0][0] == "yes\n\n[then asked] Sure?\n\nyes"
    later = [asked for asked in one.asked if "Sure?" in asked]
    assert len(later) == 1 and "yes" in later[0] and "no" not in later[0]  # after its own answer


def test_a_judge_of_places_calls_every_pair_a_tie():
    outcome = judged_task(
        (Says("yes"), TOKENIZER), (Says("no"), TOKENIZER), (Prefers(None), TOKENIZER), TASK, template="tales"
    )
    assert outcome.scores == (0.5, 0.5) and outcome.details["contradictions"] == 2
    assert outcome.details["position bias"] > 0.45


def test_other_tasks_are_refused():
    who = (Says("a"), TOKENIZER)
    with pytest.raises(ValueError, match="only conversations go to a judge"):
        judged_task(who, who, who, Task("sums", "choices", ()), template="tales")
