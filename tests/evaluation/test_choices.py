"""Multiple choice: sums by hand for every family, borders, begin tokens, baselines, and what is refused."""

import json

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import multiple_choice, split
from llm_from_scratch.families import all_families
from llm_from_scratch.recipes.miniature import miniature

TEXT = "the red fox saw the red kite in the forest and the fox was glad. " * 3
TOKENIZER = lfs.Tokenizer.train(TEXT, 300, special_tokens=["<|endoftext|>", "<s>"])
BARE = lfs.Tokenizer.train(TEXT, 300)
SENTENCEPIECE = lfs.Tokenizer.train([TEXT], 300, kind="sentencepiece")
ITEMS = [
    {"context": "the red fox saw the", "choices": [" red kite", " forest", " kite in the forest"], "answer": 0},
    {"context": "the fo", "choices": ["x", "rest", "!"], "answer": 1},
    {"context": "the fox was ", "choices": ["glad", "in the forest and the fox was glad"], "answer": 1},
    {"context": "né", "choices": ["\u0301", " 漢字", "€"], "answer": 2},
]
FAMILIES = sorted(set(all_families()) - {"glm"})


def small(family, **changes):
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    sizes = {"layers": 2, "width": 32, "heads": 4, "context": 64, "vocabulary": 304, "parameters": 12_000}
    config = miniature(release, **sizes, changes=changes)
    model = lfs.build(config.pop("model_type"), dtype=np.float64, **config)
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    return model


MODEL = small("llama")


def by_hand(model, tokenizer, item, begin):
    """The whole text at once; tokens are placed by what they spell."""
    sums, counts = [], []
    for choice in item["choices"]:
        ids = [*begin, *tokenizer.encode(item["context"] + choice)]
        logits = model([ids]).data[0]
        log_p = logits - logits.max(axis=-1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=-1, keepdims=True))
        border, end, total, count = len(item["context"].encode()), 0, 0.0, 0
        for t in range(len(begin), len(ids)):
            end += len(tokenizer.id_to_bytes(ids[t]))
            if end > border:
                total, count = total + log_p[t - 1, ids[t]], count + 1
        sums.append(total)
        counts.append(count)
    return np.array(sums), np.array(counts)


@pytest.mark.parametrize("family", FAMILIES)
def test_sums_equal_a_pass_over_the_whole_text_in_every_family(family):
    model = small(family)
    result = multiple_choice(model, TOKENIZER, ITEMS, threads=2)
    for item, scores, tokens, answer in zip(ITEMS, result.scores, result.tokens, result.predictions):
        sums, counts = by_hand(model, TOKENIZER, item, [TOKENIZER.bos_id])
        np.testing.assert_allclose(scores, sums, rtol=1e-9)
        assert tokens.tolist() == counts.tolist() and answer == np.argmax(sums)
    assert result.value == np.mean([p == item["answer"] for p, item in zip(result.predictions, ITEMS)])
    assert float(result) == result.value and result.count == 4 and result.interval[0] <= result.value


def test_a_model_that_fills_blanks_is_refused_by_name():
    with pytest.raises(ValueError, match="GLM fills blanks"):
        multiple_choice(small("glm"), TOKENIZER, ITEMS)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_tied_heads(family):
    model = small(family, tie_word_embeddings=True)
    assert type(model.head).__name__ == "TiedHead"
    found = multiple_choice(model, TOKENIZER, ITEMS).scores
    np.testing.assert_allclose(found[0], by_hand(model, TOKENIZER, ITEMS[0], [TOKENIZER.bos_id])[0], rtol=1e-9)


@pytest.mark.parametrize("technique", ["prefix", "prompt", "lora"])
def test_adapted_models(technique):
    model = small("llama")
    getattr(lfs.adapters, f"add_{technique}")(model)
    rng = np.random.default_rng(1)
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    result = multiple_choice(model, TOKENIZER, ITEMS)
    for item, scores, before in zip(ITEMS, result.scores, multiple_choice(MODEL, TOKENIZER, ITEMS).scores):
        np.testing.assert_allclose(scores, by_hand(model, TOKENIZER, item, [TOKENIZER.bos_id])[0], rtol=1e-9)
        assert abs(scores - before).min() > 1e-3


def test_quantised_models():
    model = small("llama")
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float32)
    assert lfs.quantization.to_nf4(model)
    for item, scores in zip(ITEMS, multiple_choice(model, TOKENIZER, ITEMS).scores):
        np.testing.assert_allclose(scores, by_hand(model, TOKENIZER, item, [TOKENIZER.bos_id])[0], rtol=1e-4)


def test_every_normalisation_divides_by_the_choices_own_length():
    sums = multiple_choice(MODEL, TOKENIZER, ITEMS).log_likelihoods
    lengths = {
        "none": lambda text, tokens: 1,
        "tokens": lambda text, tokens: tokens,
        "characters": lambda text, tokens: len(text),
        "bytes": lambda text, tokens: len(text.encode()),
    }
    seen = set()
    for name, length in lengths.items():
        result = multiple_choice(MODEL, TOKENIZER, ITEMS, normalize=name)
        for item, scores, raw, tokens in zip(ITEMS, result.scores, sums, result.tokens):
            divided = [s / length(text, n) for s, text, n in zip(raw, item["choices"], tokens)]
            np.testing.assert_allclose(scores, divided, rtol=1e-12)
        seen.add(tuple(np.concatenate(result.scores).round(9)))
    assert len(seen) == 4  # no two are the same


def test_a_token_across_the_border_is_scored_and_a_space_may_stand_on_either_side():
    made = split(TOKENIZER, "the fo", "x was glad")
    assert [TOKENIZER.decode([i]) for i in made.ids[made.scored]][0].endswith("x")
    assert len(made.ids[~made.scored]) < len(TOKENIZER.encode("the fo")) + 1 + 1
    one, other = split(TOKENIZER, "the fox was", " glad"), split(TOKENIZER, "the fox was ", "glad")
    assert one.ids.tolist() == other.ids.tolist() and one.scored.tolist() == other.scored.tolist()
    piece = split(SENTENCEPIECE, "the fox was", " glad")
    assert SENTENCEPIECE.decode(piece.ids[piece.scored]).strip() == "glad"
    assert piece.ids.tolist() == SENTENCEPIECE.encode("the fox was glad", add_special_tokens=True)
    spelt = split(TOKENIZER, "the<s>", " fox<|endoftext|>")  # special tokens in a text are text
    assert spelt.ids.tolist() == [TOKENIZER.bos_id, *TOKENIZER.encode("the<s> fox<|endoftext|>")]


def test_one_character_in_several_tokens_is_scored_whole():
    made = split(BARE, "a", "漢")
    assert made.scored.tolist() == [False, True, True, True]


def test_begin_tokens():
    with_begin, without = (multiple_choice(MODEL, TOKENIZER, ITEMS, begin=begin) for begin in (None, []))
    np.testing.assert_allclose(without.scores[0], by_hand(MODEL, TOKENIZER, ITEMS[0], [])[0], rtol=1e-9)
    assert abs(with_begin.scores[0] - without.scores[0]).min() > 1e-3
    empty = [{"context": "", "choices": ["the", "fox"], "answer": 0}]
    found = multiple_choice(MODEL, TOKENIZER, empty).scores[0]
    np.testing.assert_allclose(found, by_hand(MODEL, TOKENIZER, empty[0], [TOKENIZER.bos_id])[0], rtol=1e-9)
    ended = lfs.Tokenizer.train(TEXT, 300, special_tokens=["<|endoftext|>"])  # no begin token: what ends one begins one
    found = multiple_choice(MODEL, ended, empty).scores[0]
    np.testing.assert_allclose(found, by_hand(MODEL, ended, empty[0], [ended.eos_id])[0], rtol=1e-9)
    with pytest.raises(ValueError, match="item 0: the first token of all would have to be scored"):
        multiple_choice(MODEL, BARE, empty)
    merged = [{"context": "the fox", "choices": [" was", " in"], "answer": 0},
              {"context": "t", "choices": ["he", "!"], "answer": 0}]  # fmt: skip
    with pytest.raises(ValueError, match="item 1: the first token"):
        multiple_choice(MODEL, BARE, merged)  # "the" is one token, and nothing stands before it
    apart = [{"context": "the fo", "choices": ["rest and the", "z"], "answer": 0}]
    np.testing.assert_allclose(
        multiple_choice(MODEL, BARE, apart).scores[0], by_hand(MODEL, BARE, apart[0], [])[0], rtol=1e-9
    )


def test_the_shared_beginning_is_computed_once(monkeypatch):
    model, passed = small("llama"), []
    step, call = type(model).step, type(model).__call__
    monkeypatch.setattr(
        type(model), "step", lambda m, ids, *a, **k: passed.append(np.size(ids)) or step(m, ids, *a, **k)
    )
    monkeypatch.setattr(type(model), "__call__", lambda m, ids, **k: passed.append(np.size(ids)) or call(m, ids, **k))
    item = {"context": TEXT[:60], "choices": [" the red fox", " the fox was glad", " in the forest"], "answer": 0}
    rows = [split(TOKENIZER, item["context"], choice) for choice in item["choices"]]
    multiple_choice(model, TOKENIZER, [item], threads=1)
    assert passed[0] == rows[0].first and sum(passed) < 1.6 * len(rows[0].ids)
    passed.clear()
    letters = {"context": TEXT[:60] + "\nAnswer:", "choices": [" A", " B", " C", " D"], "answer": 2}
    multiple_choice(model, BARE, [{**letters, "choices": ["A", "B", "C"]}], threads=1)
    assert len(passed) == 1  # choices of a token each need no second pass


def test_many_choices_in_several_batches_and_any_number_of_threads(monkeypatch):
    item = {"context": "the fox", "choices": [f" was {n} glad" for n in range(9)], "answer": 0}
    expected = multiple_choice(MODEL, TOKENIZER, [item] * 3 + ITEMS, threads=1)
    monkeypatch.setattr("llm_from_scratch.evaluation.branches._AT_ONCE", 4000)
    found = multiple_choice(MODEL, TOKENIZER, [item] * 3 + ITEMS, threads=3)
    for one, other in zip(expected.scores, found.scores):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_baselines_stand_beside_the_score():
    items = [{"context": "the", "choices": [" a", " bb", " cc"], "answer": 0},
             {"context": "the", "choices": [" a", " bb", " cc"], "answer": 1},
             {"context": "the", "choices": [" a", " b"], "answer": 1}]  # fmt: skip
    result = multiple_choice(MODEL, TOKENIZER, items, prior=True)
    assert result.chance == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    assert result.shortest == pytest.approx((1 + 0 + 0.5) / 3)
    assert result.longest == pytest.approx((0 + 0.5 + 0.5) / 3)
    alone = [by_hand(MODEL, TOKENIZER, {**item, "context": ""}, [TOKENIZER.bos_id])[0] for item in items]
    right = [np.argmax(scores) == item["answer"] for scores, item in zip(alone, items)]
    assert result.prior.value == np.mean(right) and multiple_choice(MODEL, TOKENIZER, items).prior is None
    assert multiple_choice(MODEL, BARE, items, prior=True).prior is None  # nothing to begin a text with


def test_contexts_that_are_too_long_are_refused_or_cut_on_the_left():
    long = {"context": TEXT * 2 + "the red fox saw the", "choices": [" red kite", " forest"], "answer": 0}
    with pytest.raises(ValueError, match=r"item 1: .* the model's context is 64: shorten it, or cut"):
        multiple_choice(MODEL, BARE, [ITEMS[0], long])
    result = multiple_choice(MODEL, TOKENIZER, [ITEMS[0], long], truncate=True)
    assert result.truncated == 1
    rows = [split(TOKENIZER, long["context"], choice) for choice in long["choices"]]
    over = max(len(row.ids) for row in rows) - 1 - 64
    for row, score in zip(rows, result.scores[1]):
        ids = np.delete(row.ids, slice(1, 1 + over))
        logits = MODEL([ids]).data[0]
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        places = np.flatnonzero(row.scored) - over
        assert score == pytest.approx(sum(log_p[t - 1, ids[t]] for t in places), rel=1e-9)
    endless = {"context": "the", "choices": [" fox" + TEXT * 3, " kite"], "answer": 0}
    with pytest.raises(ValueError, match="item 0: .* what is to be scored alone is too long"):
        multiple_choice(MODEL, TOKENIZER, [endless], truncate=True)


def test_messages_are_rendered_and_cannot_forge_special_tokens():
    special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer = lfs.Tokenizer.train(TEXT, 300, special_tokens=special)
    context = [{"role": "user", "content": "Is the fox<|end|> red?"}]
    made = split(tokenizer, context, "the red<|end|>", template="tales")
    assert tokenizer.decode(made.ids[made.scored]) == "the red<|end|>"
    names = [i for i in made.ids.tolist() if i in tokenizer.special_tokens.values()]
    assert names == [0, 1, 3, 2]  # as the template has them: once each
    item = {"context": context, "choices": ["the red", "forest"], "answer": 0}
    assert np.isfinite(multiple_choice(MODEL, tokenizer, [item], template="tales").scores[0]).all()
    with pytest.raises(ValueError, match="item 0: this tokenizer came without a chat template"):
        multiple_choice(MODEL, tokenizer, [item])


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"answer": None}, ValueError, "item 2 has no right answer"),
        ({"answer": 3}, ValueError, "item 2: 'answer' is 3, but there are choices 0 to 2"),
        ({"answer": -1}, ValueError, "item 2: 'answer' is -1"),
        ({"answer": "0"}, TypeError, "item 2: 'answer' must be a whole number"),
        ({"answer": True}, TypeError, "item 2: 'answer' must be a whole number"),
        ({"choices": [" a", "", " b"]}, ValueError, "item 2: choice 1 is empty"),
        ({"choices": [" a", 3, " b"]}, TypeError, "item 2: choice 1 must be a text, got int"),
        ({"choices": [" a"]}, ValueError, "item 2 has 1 choices: at least 2"),
        ({"choices": " ab"}, TypeError, "item 2: 'choices' must be a list"),
        ({"context": None}, TypeError, "item 2: 'context' must be a text"),
        ({"context": []}, TypeError, "item 2: 'context' must be a text"),
    ],
)
def test_bad_items_are_named_before_anything_is_computed(change, error, message, monkeypatch):
    monkeypatch.setattr(type(MODEL), "__call__", None)
    monkeypatch.setattr(type(MODEL), "step", None)
    with pytest.raises(error, match=message):
        multiple_choice(MODEL, TOKENIZER, [ITEMS[0], ITEMS[1], {**ITEMS[0], **change}])


def test_other_mistakes():
    with pytest.raises(ValueError, match="there are no items"):
        multiple_choice(MODEL, TOKENIZER, [])
    with pytest.raises(ValueError, match="normalize must be one of"):
        multiple_choice(MODEL, TOKENIZER, ITEMS, normalize="words")
    with pytest.raises(TypeError, match="item 0 must be a mapping"):
        multiple_choice(MODEL, TOKENIZER, ["a"])
    larger = lfs.Tokenizer.train(TEXT + " zebra" * 9, 320, special_tokens=["<s>"])
    model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=270, n_positions=64)
    with pytest.raises(ValueError, match="item 0: token id .* outside the model's vocabulary of 270"):
        multiple_choice(model, larger, ITEMS)
    broken = small("llama")
    broken.norm.weight.data[:] = np.nan
    with pytest.raises(ValueError, match="item 0: the model gives continuation 0 .* finite"):
        multiple_choice(broken, TOKENIZER, ITEMS, threads=1)


def test_float32_and_float64_agree():
    single = small("llama")
    for parameter in single.parameters():
        parameter.data = parameter.data.astype(np.float32)
    for one, other in zip(
        multiple_choice(single, TOKENIZER, ITEMS).scores, multiple_choice(MODEL, TOKENIZER, ITEMS).scores
    ):
        np.testing.assert_allclose(one, other, rtol=2e-5)


def test_scores_are_kept_item_by_item(tmp_path, monkeypatch):
    path = tmp_path / "scores.jsonl"
    full = multiple_choice(MODEL, TOKENIZER, ITEMS, cache=path, prior=True, threads=1)
    lines = path.read_text().splitlines()
    assert len(lines) == 8 and all(json.loads(line)["value"] for line in lines)
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:30])  # killed in the middle of the third
    computed, counts = [], []
    step = type(MODEL).step
    monkeypatch.setattr(type(MODEL), "step", lambda m, *a, **k: computed.append(1) or step(m, *a, **k))
    again = multiple_choice(MODEL, TOKENIZER, ITEMS, cache=path, threads=1, progress=counts.append)
    assert len(computed) == 2 and counts == [2, 3, 4]
    assert [s.tolist() for s in again.scores] == [s.tolist() for s in full.scores]  # to the last bit
    computed.clear()
    assert multiple_choice(MODEL, TOKENIZER, ITEMS, cache=path).value == full.value and not computed
    other = small("llama")
    other.norm.weight.data[0] += 1
    multiple_choice(other, TOKENIZER, ITEMS, cache=path, threads=1)
    assert len(computed) == 4  # another model's scores are not taken for its own
    with pytest.raises(ValueError, match="there is no directory"):
        multiple_choice(MODEL, TOKENIZER, ITEMS, cache=tmp_path / "none" / "a.jsonl")
