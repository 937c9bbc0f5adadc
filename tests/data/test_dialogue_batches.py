"""Dialogues as examples: shifted, cut between turns, packed without leakage."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data.dialogue_batches import dialogue_example, dialogue_examples, pack_dialogues, packed_rows
from llm_from_scratch.tokenizers import Tokenizer

SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train("one two three four", 262, special_tokens=SPECIAL)


def dialogue(turns, system=None, word="x"):
    talk = [] if system is None else [{"role": "system", "content": system}]
    for k in range(turns):
        talk += [{"role": "user", "content": f"{word}{k}?"}, {"role": "assistant", "content": f"{word}{k}!"}]
    return talk


def targets(tokenizer, example):
    return tokenizer.decode(example["targets"][example["targets"] >= 0])


def test_an_example_predicts_what_is_trained(tokenizer):
    (example,) = dialogue_examples(tokenizer, [dialogue(2)], context=64, template="tales")
    assert targets(tokenizer, example) == "x0!<|end|>x1!<|end|>"
    ids, wanted = example["ids"], example["targets"]
    known = np.flatnonzero(wanted[:-1] >= 0)
    assert np.array_equal(wanted[known], ids[known + 1])
    with pytest.raises(ValueError, match="two equal rows"):
        dialogue_example(np.arange(3), np.ones(2, bool))


def test_what_is_too_long_is_cut_between_exchanges(tokenizer):
    whole = dialogue(4, system="S")
    length = {
        n: len(dialogue_examples(tokenizer, [dialogue(n, system="S")], context=99, template="tales")[0]["ids"])
        for n in (1, 2, 3, 4)
    }

    def cut(context, how, **more):
        (example,) = dialogue_examples(tokenizer, [whole], context=context, template="tales", too_long=how, **more)
        assert len(example["ids"]) <= context
        return tokenizer.decode(example["ids"]), targets(tokenizer, example)

    assert cut(length[4], "front")[1].count("<|end|>") == 4
    text, trained = cut(length[4] - 1, "front")
    assert trained == "x1!<|end|>x2!<|end|>x3!<|end|>" and text.startswith("<|endoftext|>S<|user|>x1?")
    text, trained = cut(length[2], "back")
    assert trained == "x0!<|end|>x1!<|end|>" and text.startswith("<|endoftext|>S<|user|>x0?")
    assert cut(length[1], "front", train_on="last")[1] == "x3!<|end|>"
    with pytest.raises(ValueError, match="cut the front"):
        cut(length[1], "back", train_on="last")
    short = dialogue(1)
    for how in ("front", "leave out"):
        kept = dialogue_examples(tokenizer, [whole, short], context=length[1] - 1, template="tales", too_long=how)
        assert [targets(tokenizer, example) for example in kept] == ["x0!<|end|>"]
    with pytest.raises(ValueError, match=f"dialogue 1 has {length[4]} tokens, more than the context of 20"):
        dialogue_examples(tokenizer, [short, whole], context=20, template="tales", too_long="error")
    with pytest.raises(ValueError, match="none of the 2 dialogues fits a context of 3 tokens"):
        dialogue_examples(tokenizer, [short, whole], context=3, template="tales")
    with pytest.raises(ValueError, match="dialogue 1: message 0 has the unknown role 'bot'"):
        dialogue_examples(tokenizer, [short, [{"role": "bot", "content": "x"}]], context=30, template="tales")
    with pytest.raises(ValueError, match="too_long one of"):
        dialogue_examples(tokenizer, [short], context=30, template="tales", too_long="middle")


def test_what_is_cut_begins_with_a_question_also_where_somebody_speaks_twice(tokenizer):
    talk = [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}, {"role": "assistant", "content": "f"},
        {"role": "user", "content": "g"},
    ]  # fmt: skip
    (example,) = dialogue_examples(tokenizer, [talk], context=12, template="tales")
    assert tokenizer.decode(example["ids"]) == "<|endoftext|><|user|>e<|end|><|assistant|>f<|end|><|user|>g"
    (example,) = dialogue_examples(tokenizer, [talk], context=14, template="tales", too_long="back")
    assert targets(tokenizer, example) == "c<|end|>d<|end|>"


FAMILIES = {
    "llama": dict(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
    ),
    "mamba": dict(d_model=16, n_layer=2),
    "gpt2": dict(n_layer=2, n_head=2, n_embd=16, n_positions=64),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_dialogues_do_not_see_each_other(tokenizer, family):
    model = lfs.build(family, vocab_size=tokenizer.vocab_size, seed=0, **FAMILIES[family])
    rng = np.random.default_rng(0)
    for parameter in model.parameters():  # far from zero, so that a leak shows
        parameter.data += 0.3 * rng.normal(size=parameter.shape).astype(parameter.dtype)
    examples = dialogue_examples(
        tokenizer,
        [dialogue(n, word=w) for n, w in ((2, "a"), (1, "b"), (3, "c"), (1, "d"))],
        context=48,
        template="tales",
    )
    rows = packed_rows(examples, 48)
    assert len(rows) < len(examples)
    seen = 0
    for row in rows:
        batch = {name: array[None] for name, array in row.items()}
        if family == "gpt2":
            batch["positions"] = lfs.data.packing.document_positions(batch["segments"])
        given = {name: batch[name] for name in ("segments", "positions") if name in batch}
        packed = model(batch["ids"], **given).data[0]
        leaky = model(batch["ids"]).data[0]
        for number in range(row["segments"].max() + 1):
            where = row["segments"] == number
            alone = model(row["ids"][where][None]).data[0]
            np.testing.assert_allclose(packed[where], alone, atol=2e-5)
            if number:  # the check can fail: without segments they do see each other
                assert abs(leaky[where] - alone).max() > 1e-2
            seen += 1
            (twin,) = [e for e in examples if np.array_equal(e["ids"], row["ids"][where])]
            assert np.array_equal(row["targets"][where], twin["targets"])
        assert (row["targets"][row["segments"] < 0] == -100).all()
    assert seen == len(examples)


def test_packed_and_padded_batches_have_the_same_loss(tokenizer):
    model = lfs.build("llama", vocab_size=tokenizer.vocab_size, seed=0, **FAMILIES["llama"])
    examples = dialogue_examples(tokenizer, [dialogue(n) for n in (1, 2, 3)], context=40, template="tales")
    packed = next(pack_dialogues(examples, 8, 40))
    padded = lfs.data.collate(examples)
    assert packed["ids"].shape[0] == 2 < padded["ids"].shape[0] == 3
    assert float(lfs.accumulate_gradients(model, packed)) == pytest.approx(
        float(lfs.accumulate_gradients(model, padded)), rel=1e-5
    )
    sampler = lfs.data.ExampleSampler(packed_rows(examples, 40), batch_size=2)
    assert set(next(sampler)) == {"ids", "targets", "segments"}
