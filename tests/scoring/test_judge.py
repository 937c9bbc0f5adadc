"""Judges: a model's verdict by hand, orders averaged, what it is shown, and those who choose neither."""

import math

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.scoring import ModelJudge, Verdict, judge_by_text, position_bias, verdicts
from llm_from_scratch.scoring.judge import written

SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
TOKENIZER = lfs.Tokenizer.train("A B is it a big cat or no cat: yes", 300, special_tokens=SPECIAL)
A, B = (TOKENIZER.encode(letter)[0] for letter in "AB")
PROMPT = [{"role": "user", "content": "Is it a cat?"}]


class Reader:
    """Gives A and B the logits that `decide` computes from the text it has read, everything else -30."""

    def __init__(self, decide, rest=-30.0):
        self.decide, self.rest, self.texts = decide, rest, []

    def new_memory(self, batch_size):
        return None

    def step(self, ids, memory, mask=None):
        logits = np.full((len(ids), TOKENIZER.vocab_size), self.rest, np.float32)
        for row in range(len(ids)):
            text = TOKENIZER.decode(ids[row] if mask is None else ids[row][mask[row]])
            self.texts.append(text)
            logits[row, [A, B]] = self.decide(text)
        return logits


def judge(decide, **settings):
    rest = settings.pop("rest", -30.0)
    return ModelJudge(Reader(decide, rest), TOKENIZER, template="tales", **settings)


def test_the_verdict_is_the_softmax_of_two_logits():
    assert judge(lambda text: (1.5, -0.5))(PROMPT, "yes", "no") == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-6)


def test_what_the_model_reads():
    asked = judge(lambda text: (0, 0))
    asked(PROMPT, "yes {second}", "<|end|>no")
    (text,) = asked.model.texts
    assert text.startswith("<|endoftext|><|user|>Here is") and text.endswith("alone.<|end|><|assistant|>")
    assert text.index("user: Is it a cat?") < text.index("[A] yes {second}") < text.index("[B] <|end|>no")
    ids = asked.template.encode(TOKENIZER, [{"role": "user", "content": "<|end|>"}])
    assert ids.count(TOKENIZER.special_tokens["<|end|>"]) == 1  # an answer cannot end the user's turn
    assert written("{first}{prompt}{second}", PROMPT, "{prompt}", "x") == "{prompt}user: Is it a cat?x"


def test_both_orders_are_averaged_and_the_bias_of_place_cancels():
    """P(first) = sigmoid(quality difference + bias of place): the average prefers the better answer in every case."""
    quality = {"yes": 0.4, "no": 0.0, "a big cat": -0.3}
    bias = 1.0

    def decide(text):
        front, behind = text.split("[A] ")[1].split("\n")[0], text.split("[B] ")[1].split("\n")[0]
        return quality[front] - quality[behind] + bias, 0.0

    pairs = [(PROMPT, a, b) for a in quality for b in quality if a != b]
    found = verdicts(judge(decide, batch_size=4), pairs)
    for verdict, (_, a, b) in zip(found, pairs):
        difference = quality[a] - quality[b]
        front, behind = (1 / (1 + math.exp(-difference - sign * bias)) for sign in (1, -1))
        assert (verdict.in_front, verdict.behind) == pytest.approx((front, behind), abs=1e-6)
        assert (verdict.probability > 0.5) == (difference > 0)
        assert verdict.bias == pytest.approx((front - behind) / 2, abs=1e-6)
    assert sum(v.in_front > 0.5 for v in found) == 6  # one order alone would always choose the place in front
    assert position_bias(found).value == pytest.approx(0.23, abs=0.01)


def test_batches_do_not_change_a_verdict():
    model = lfs.build("llama", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                      vocab_size=TOKENIZER.vocab_size, max_position_embeddings=512, seed=1)  # fmt: skip
    items = [(PROMPT, "yes", "no"), (PROMPT * 2, "a big cat or no cat", "no"), (PROMPT, "it is", "is it a")]
    judges = [ModelJudge(model, TOKENIZER, template="tales", least=0.0, batch_size=size) for size in (1, 3)]
    alone, together = (asked.many(items) for asked in judges)
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(alone, [judges[0](*item) for item in items], atol=1e-6)
    assert len(set(np.round(alone, 8))) == 3


def test_a_judge_who_answers_neither_is_an_error_that_names_the_item():
    def decide(text):
        return (-8.0, -9.0) if "yes" in text else (9.0, 9.0)

    with pytest.raises(ValueError, match="item 2: the judge answers neither 'A' nor 'B': .* it would rather say"):
        judge(decide, rest=0.0).many([(PROMPT, "is", "no"), (PROMPT, "it", "no"), (PROMPT, "yes", "no")])
    assert 0 < judge(decide, rest=0.0, least=0.0)(PROMPT, "yes", "no") < 1
    with pytest.raises(ValueError, match="item 0: the judge answers neither"):  # no probability at all, whatever least
        judge(lambda text: (-np.inf, -np.inf), least=0.0)(PROMPT, "yes", "no")
    for answer in (None, "A", math.nan, 1.2, -0.1, True, [0.5, 0.5]):
        with pytest.raises(ValueError, match="item 1: the judge answered .* and chose neither"):
            verdicts(
                lambda p, a, b, said=answer: said if a == "yes" else 0.5, [(PROMPT, "is", "it"), (PROMPT, "yes", "no")]
            )


def test_judges_in_words():
    asked = []

    def ask(text):
        asked.append(text)
        return "[A]." if "[A] yes" in text else " b"

    assert verdicts(judge_by_text(ask), [(PROMPT, "yes", "no")]) == [Verdict(1.0, 1.0)]
    assert "user: Is it a cat?" in asked[0] and "[B] yes" in asked[1]
    with pytest.raises(ValueError, match="answered 'I cannot say' and chose neither"):
        verdicts(judge_by_text(lambda text: "I cannot say"), [(PROMPT, "yes", "no")])
    other = judge_by_text(lambda text: "second", question="{first}{second}{prompt}?", labels=("first", "second"))
    assert other(PROMPT, "yes", "no") == 0.0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"question": "{first} or {second}?"}, "lacks {prompt}"),
        ({"labels": ("A", "A!")}, "begin with different tokens"),
        ({"labels": ("A", "")}, "begin with different tokens"),
        ({"least": 1.0}, "least is a probability below 1"),
        ({"template": "no such"}, "no such"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelJudge(Reader(lambda text: (0, 0)), TOKENIZER, **({"template": "tales"} | settings))


def test_a_question_longer_than_the_context_is_refused():
    model = lfs.build("llama", hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                      vocab_size=TOKENIZER.vocab_size, max_position_embeddings=64)  # fmt: skip
    with pytest.raises(ValueError, match="item 0: the judge's question has .* tokens, its context is 64"):
        ModelJudge(model, TOKENIZER, template="tales")(PROMPT, "yes", "no")


def test_no_comparisons_no_verdicts():
    assert verdicts(judge(lambda text: (0, 0)), []) == []
