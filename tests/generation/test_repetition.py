"""A penalty counts once; an n-gram that was there does not come again, wherever it stood."""

import numpy as np
import pytest

from llm_from_scratch.checkpoints import build
from llm_from_scratch.generation import forbid_repeated_ngrams, penalise_repetition


def test_repetition_penalty_counts_a_token_once():
    logits = np.array([2.0, -2.0, 1.0], np.float32)
    out = penalise_repetition(logits, [1, 0, 0, 0], 1.5)
    np.testing.assert_allclose(out, [2 / 1.5, -3.0, 1.0], rtol=1e-6)
    assert out.dtype == np.float32 and logits[0] == 2.0
    with pytest.raises(ValueError, match="0..2"):
        penalise_repetition(logits, [3], 1.5)
    np.testing.assert_array_equal(penalise_repetition(logits, [], 1.5), logits)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 2, 30])
def test_forbidden_is_exactly_what_would_complete_an_ngram_again(n, length):
    seen = np.random.default_rng(n).integers(0, 3, length).tolist()
    there = {tuple(seen[i : i + n]) for i in range(length - n + 1)}
    expected = [tuple((seen + [token])[-n:]) in there and length + 1 >= n for token in range(3)]
    scores = np.array([0.5, -1.0, 2.0], np.float32)
    out = forbid_repeated_ngrams(scores, seen, n)
    assert (out == -np.inf).tolist() == expected and out.dtype == np.float32
    np.testing.assert_array_equal(out[np.isfinite(out)], scores[~np.array(expected)])
    assert scores.tolist() == [0.5, -1.0, 2.0]


def test_ids_outside_the_vocabulary_are_refused():
    for function, setting in ((forbid_repeated_ngrams, 2), (penalise_repetition, 1.5)):
        with pytest.raises(ValueError, match="0..2"):
            function(np.zeros(3), [0, 3], setting)


@pytest.mark.parametrize("family", ["gpt2", "mamba"])
def test_generated_rows_repeat_nothing_and_padding_is_no_part_of_them(family):
    sizes = {
        "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
        "mamba": {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
    }[family]
    model = build(family, seed=1, dtype=np.float64, vocab_size=9, initializer_range=0.5, **sizes)
    prompts = [[1, 2, 3, 1, 2], [4]]
    ids = np.array([prompts[0], [0, 0, 0, 0, 4]])  # 0 0 stands in the padding and may well be written
    settings = {"max_new_tokens": 30, "temperature": 0.0, "no_repeat_ngram_size": 2, "stop_tokens": ()}
    together = model.generate(ids, mask=[[1] * 5, [0, 0, 0, 0, 1]], **settings)
    for row, prompt in zip(together, prompts):
        text = row[5 - len(prompt) :].tolist()
        pairs = list(zip(text, text[1:]))
        allowed = 1 if prompt == prompts[0] else 0  # 1 2 came twice in the prompt itself
        assert len(pairs) - len(set(pairs)) == allowed
        assert text == model.generate([prompt], **settings)[0].tolist()
    free = model.generate([[4]], **{**settings, "no_repeat_ngram_size": None})[0].tolist()
    assert len(set(zip(free, free[1:]))) < 20  # without it the same model goes round in circles
