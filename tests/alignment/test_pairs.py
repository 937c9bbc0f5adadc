"""Preferences as pairs: only answers are trained, each ends once, and nothing is cut, doubled or let through."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.alignment import encode_answer, encode_pairs

TURNS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]
TEXT = "who was it? the fox. the red fox ran and ran. well done. yes. no."


@pytest.fixture(scope="module")
def tokenizer():
    return lfs.Tokenizer.train(TEXT, 300, special_tokens=TURNS, roles={"bos": "<s>", "eos": "</s>"})


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def preference(chosen="the fox.", rejected="no.", prompt=None):
    prompt = [user("who was it?")] if prompt is None else prompt
    return {"prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}


def trained(tokenizer, pair, side):
    return tokenizer.decode(pair[f"{side}_targets"][pair[f"{side}_targets"] != -100])


@pytest.mark.parametrize(
    ("template", "end"), [("tales", "<|end|>"), ("chatml", "<|im_end|>"), ("zephyr", "</s>"), ("llama-2", "</s>")]
)
def test_only_the_answer_is_trained_and_ends_once(tokenizer, template, end):
    (pair,) = encode_pairs(tokenizer, [preference()], template=template)
    assert set(pair) == {"chosen_ids", "chosen_targets", "rejected_ids", "rejected_targets"}
    for side, text in (("chosen", "the fox."), ("rejected", "no.")):
        said = trained(tokenizer, pair, side)
        assert said.strip().removesuffix(end).strip() == text and said.count(end) == 1
        ids, targets = pair[f"{side}_ids"], pair[f"{side}_targets"]
        assert ids.shape == targets.shape and ids.dtype == targets.dtype == np.int64
        real = targets != -100
        assert (targets[:-1][real[:-1]] == ids[1:][real[:-1]]).all()  # each predicts the token after it
        assert "who was it?" in tokenizer.decode(ids[: int(np.argmax(real)) + 1])
    shared = min(int(np.argmax(pair[f"{side}_targets"] != -100)) for side in ("chosen", "rejected")) + 1
    assert np.array_equal(pair["chosen_ids"][:shared], pair["rejected_ids"][:shared])


def test_an_answer_that_spells_the_end_token_says_it_and_does_not_end(tokenizer):
    (pair,) = encode_pairs(tokenizer, [preference("the fox.<|end|>")], template="tales")
    end = tokenizer.special_tokens["<|end|>"]
    assert (pair["chosen_targets"] == end).sum() == 1 and pair["chosen_targets"][-1] == end


def test_answers_in_the_prompt_are_read_and_not_learned(tokenizer):
    talk = [{"role": "system", "content": "well."}, user("who?"), assistant("the red fox."), user("who was it?")]
    (pair,) = encode_pairs(tokenizer, [preference("yes.", "no.", talk)], template="tales")
    assert trained(tokenizer, pair, "chosen") == "yes.<|end|>"
    assert "the red fox." in tokenizer.decode(pair["chosen_ids"])
    both = encode_answer(tokenizer, talk, [assistant("yes."), user("well?"), assistant("no.")], template="tales")
    assert tokenizer.decode(both["targets"][both["targets"] != -100]) == "yes.<|end|>no.<|end|>"


def test_a_pair_may_differ_in_a_prompt_of_any_kind_but_not_be_equal(tokenizer):
    with pytest.raises(ValueError, match="pair 1: the chosen and the rejected answer are equal; leave the pair out"):
        encode_pairs(tokenizer, [preference(), preference("yes.", "yes.")], template="tales")
    one = preference("yes.", "yes.")
    one["rejected"] = [assistant("yes."), user("well?"), assistant("no.")]
    assert len(encode_pairs(tokenizer, [one], template="tales")) == 1


def test_nothing_is_cut_to_fit(tokenizer):
    (pair,) = encode_pairs(tokenizer, [preference()], template="tales")
    longest = max(len(pair["chosen_ids"]), len(pair["rejected_ids"]))
    assert encode_pairs(tokenizer, [preference()], template="tales", context=longest)
    with pytest.raises(
        ValueError, match=rf"pair 0, \w+: {longest} tokens do not fit into the context of {longest - 1}"
    ):
        encode_pairs(tokenizer, [preference()], template="tales", context=longest - 1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"chosen": [assistant("")]}, ValueError, "pair 1, chosen: .*empty answer"),
        ({"rejected": [assistant("  \n")]}, ValueError, "pair 1, rejected: .*empty answer"),
        ({"rejected": [user("no.")]}, ValueError, "pair 1, rejected: none of the 2 messages is the assistant"),
        (
            {"prompt": [user("a"), assistant("b")], "rejected": [user("no.")]},
            ValueError,
            "pair 1, rejected: the assistant says nothing in it",
        ),
        ({"chosen": []}, TypeError, "pair 1, chosen: the answer is a list of at least one message"),
        ({"chosen": "the fox."}, TypeError, "pair 1, chosen: the answer is a list of at least one message"),
        ({"prompt": []}, TypeError, "pair 1, chosen: the prompt is a list of at least one message"),
        ({"prompt": [{"role": "wizard", "content": "who?"}]}, ValueError, "pair 1, chosen: .*unknown role 'wizard'"),
        ({"chosen": [{"content": "the fox."}]}, TypeError, "pair 1, chosen: "),
    ],
)
def test_what_does_not_fit_is_named(tokenizer, change, error, message):
    with pytest.raises(error, match=message):
        encode_pairs(tokenizer, [preference(), {**preference(), **change}], template="tales")


def test_what_is_no_preference_is_named(tokenizer):
    for row in ({"prompt": [], "chosen": []}, ["chosen", "rejected"], None):
        with pytest.raises(ValueError, match="pair 0 must have 'prompt', 'chosen' and 'rejected', got"):
            encode_pairs(tokenizer, [row], template="tales")
    with pytest.raises(ValueError, match="without a chat template: name one of"):
        encode_pairs(tokenizer, [preference()])
