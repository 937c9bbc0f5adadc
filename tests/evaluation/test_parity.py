"""Likelihoods against lm-eval's, frozen: equal where its encoding of a pair is right, and ours where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import bits_per_byte, multiple_choice, split

FIXTURES = Path(__file__).parent / "fixtures"
FROZEN = json.loads((FIXTURES / "lm_eval.json").read_text(encoding="utf-8"))
MODEL = lfs.from_pretrained(FIXTURES / "tiny")
TOKENIZER = lfs.Tokenizer.from_pretrained(FIXTURES / "tiny")
# Where the whole is encoded otherwise than the context alone, lm-eval cuts it at the wrong token: " because" reaches
# past the border and is left out. Of two spaces, the first of which is the context's, it scores both.
WRONGLY_CUT = [("Nora the girl was proud be", "cause she had kept a promise."), ("The kite was ", " red")]


def likelihood(context, continuation, **settings):
    item = {"context": context, "choices": [continuation, continuation + "!"], "answer": 0}
    return multiple_choice(MODEL, TOKENIZER, [item], **settings).log_likelihoods[0][0]


@pytest.mark.parametrize("pair", FROZEN["pairs"], ids=lambda pair: f"{pair['context']}|{pair['continuation']}")
def test_likelihoods_equal_lm_evals_on_the_same_tokens(pair):
    context, continuation = pair["context"], pair["continuation"]
    begin = [] if context else None  # lm-eval gives no begin token but to an empty context
    made = split(TOKENIZER, context, continuation, begin=begin)
    if (context, continuation) in WRONGLY_CUT:
        ours, theirs = made.ids[made.scored].tolist(), pair["split"][1]
        assert ours[1:] == theirs if len(ours) > len(theirs) else ours == theirs[1:]
        assert abs(likelihood(context, continuation, begin=[]) - pair["log_likelihood"]) > 0.5
        return
    if pair["split"] is not None:
        assert made.ids[made.scored].tolist() == pair["split"][1]
    assert likelihood(context, continuation, begin=begin) == pytest.approx(pair["log_likelihood"], abs=2e-4)


@pytest.mark.parametrize("context, continuation", [*WRONGLY_CUT, ("once there w", "as")])
def test_exactly_the_tokens_that_reach_past_the_border_are_scored(context, continuation):
    ids = [TOKENIZER.bos_id, *TOKENIZER.encode(context + continuation)]
    logits = MODEL([ids[:-1]]).data[0].astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    ends = np.cumsum([len(TOKENIZER.decode([i])) for i in ids[1:]])
    expected = sum(log_p[t, ids[t + 1]] for t, end in enumerate(ends) if end > len(context))
    assert likelihood(context, continuation) == pytest.approx(expected, abs=1e-4)


def test_the_begin_token_that_lm_eval_leaves_out_is_there():
    pair = FROZEN["pairs"][0]
    assert abs(likelihood(pair["context"], pair["continuation"]) - pair["log_likelihood"]) > 0.05


@pytest.mark.parametrize("text", FROZEN["texts"], ids=lambda text: text["text"][:20])
def test_a_text_as_a_whole(text):
    result = bits_per_byte(MODEL, TOKENIZER, text["text"], context=64)
    assert result.nats == pytest.approx(-text["log_likelihood"], abs=5e-4)
    assert result.value == pytest.approx(-text["log_likelihood"] / np.log(2) / len(text["text"].encode()), abs=1e-5)
