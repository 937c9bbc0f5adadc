"""Supervised tuning: which turns count, the mean over all targets however they are divided, and NEFTune's noise."""

import math

import numpy as np
import pytest
from families_in_small import FAMILIES, answers, slopes, tiny

import llm_from_scratch as lfs
from llm_from_scratch import alignment as A
from llm_from_scratch.alignment.supervised import real_lengths
from llm_from_scratch.data import collate, dialogue_examples
from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.training import evaluate, next_token

TOKENIZER = Tokenizer.train("go on " * 9, 270, special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"])
DIALOGUES = [
    [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 3, texts)]
    for texts in (("a", "go on"), ("go on, go on, go on", "no"), ("a", "b", "and then", "c c c c", "go", "on and on"))
]


def batch(train_on):
    settings = {"context": 64, "template": "tales", "train_on": train_on}
    return collate(dialogue_examples(TOKENIZER, DIALOGUES, **settings))


@pytest.mark.parametrize("train_on", ["assistant", "last", "all"])
@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_every_target_weighs_the_same_however_a_batch_is_divided(train_on, noise):
    """Rows of 6 and of 26 targets: a mean of their means would be another number, and another gradient."""
    whole = batch(train_on)
    aim = A.noisy_next_token(noise)
    total = aim.count(whole)
    rows = [aim.count({name: array[k : k + 1] for name, array in whole.items()}) for k in range(3)]
    assert sum(rows) == total and max(rows) > 1.5 * min(rows)

    def gradients(parts, threads):
        model = tiny("llama-2-70b", vocabulary=270, context=64)
        losses = [
            lfs.accumulate_gradients(
                model, {n: a[part] for n, a in whole.items()}, objective=aim, normaliser=total, threads=threads
            )
            for part in parts
        ]
        return sum(losses), [p.grad for p in model.parameters()]

    loss, wanted = gradients([slice(None)], 1)
    for parts, threads in (([slice(None)], 3), ([slice(0, 1), slice(1, 3)], 2)):
        other, found = gradients(parts, threads)
        assert other == pytest.approx(loss, rel=1e-12)
        for ours, theirs in zip(found, wanted):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())
    each = [
        evaluate(tiny("llama-2-70b", vocabulary=270, context=64), [{n: a[k : k + 1] for n, a in whole.items()}])
        for k in range(3)
    ]
    assert loss == pytest.approx(np.dot([one["loss"] for one in each], rows) / total, rel=1e-12)
    assert abs(loss - np.mean([one["loss"] for one in each])) > 1e-4


def test_what_counts_is_what_was_asked_for():
    counted = {train_on: (batch(train_on)["targets"] != -100).sum(axis=1) for train_on in ("assistant", "last", "all")}
    assert (counted["last"][:2] == counted["assistant"][:2]).all() and counted["last"][2] < counted["assistant"][2]
    assert (counted["assistant"] < counted["all"]).all()


# --- Noise


class Listening:
    """A stand-in whose embeddings are zeros, and which keeps what it is given."""

    width = 8

    def embed(self, ids):
        return lfs.Tensor(np.zeros((*ids.shape, self.width), np.float32), requires_grad=True)

    def loss(self, batch, *, normaliser, rng=None):
        self.given, self.rng = batch, rng
        return batch["embeddings"].sum() / normaliser if "embeddings" in batch else lfs.Tensor(0.0)


def heard(alpha, given, seed=0):
    model = Listening()
    A.noisy_next_token(alpha)(model, given, normaliser=1.0, rng=np.random.default_rng(seed))
    return model


def test_noise_is_even_and_as_long_as_the_paper_says():
    lengths = [1, 7, 400]
    ids = np.zeros((3, 500), int)
    targets = np.full(ids.shape, -100)
    for row, length in enumerate(lengths):
        targets[row, length - 1] = 1  # what comes after the last target is padding
    noise = heard(5.0, {"ids": ids, "targets": targets}).given["embeddings"].data
    assert noise.dtype == np.float32
    for row, length in enumerate(lengths):
        reach = 5.0 / math.sqrt(length * 8)
        assert (noise[row, length:] == 0).all() and (noise[row, :length] != 0).all()
        assert np.abs(noise[row]).max() <= reach
    assert np.abs(noise[2]).max() > 0.99 * 5.0 / math.sqrt(400 * 8)
    assert noise[2, :400].std() == pytest.approx(5.0 / math.sqrt(3 * 400 * 8), rel=0.02)
    assert abs(noise[2, :400].mean()) < 0.1 * noise[2, :400].std()
    twice = heard(10.0, {"ids": ids, "targets": targets}).given["embeddings"].data
    np.testing.assert_allclose(twice, 2 * noise, rtol=1e-6)


def test_padding_beside_a_row_changes_none_of_its_noise():
    """The fault of counting padded places: the longer the batch, the less noise."""
    wide = {"ids": np.ones((1, 50), int), "targets": np.full((1, 50), -100)}
    wide["targets"][0, 4] = 2
    narrow = {name: array[:, :5] for name, array in wide.items()}
    sizes = [heard(5.0, given).given["embeddings"].data[0, :5].std() for given in (wide, narrow)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.3)


def test_each_document_of_a_packed_row_has_its_own_length():
    segments = np.array([[0] * 4 + [1] * 100 + [-1] * 8])
    given = {"ids": np.ones(segments.shape, int), "targets": np.ones(segments.shape, int), "segments": segments}
    noise = heard(5.0, given).given["embeddings"].data[0]
    assert (noise[104:] == 0).all()
    assert np.abs(noise[:4]).max() <= 5 / math.sqrt(32) and np.abs(noise[:4]).max() > 5 / math.sqrt(800)
    assert np.abs(noise[4:104]).max() <= 5 / math.sqrt(800)


def test_real_tokens():
    targets = np.array([[-100, 5, -100, 6, -100], [-100] * 5])
    given = {"ids": np.ones((2, 5), int), "targets": targets}
    assert real_lengths(given).tolist() == [[4, 4, 4, 4, 0], [0] * 5]
    mask = np.array([[0, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    assert real_lengths({**given, "mask": mask}).tolist() == [[0, 4, 4, 4, 4], [1, 0, 0, 0, 0]]


def test_without_training_there_is_no_noise():
    model, given = Listening(), {"ids": np.ones((1, 3), int), "targets": np.ones((1, 3), int)}
    A.noisy_next_token(5.0)(model, given, normaliser=1.0)
    assert model.given.keys() == {"ids", "targets"} and model.rng is None
    assert A.noisy_next_token(0) is next_token
    real = tiny("gpt2")
    first, second = (
        evaluate(real, [answers()], objective=aim)["loss"] for aim in (next_token, A.noisy_next_token(9.0))
    )
    assert first == second


def test_the_rest_of_the_batch_and_the_generator_go_on_to_the_model():
    given = {name: np.ones((2, 3), int) for name in ("ids", "targets", "positions")} | {
        "prefix_length": np.array([1, 1])
    }
    model = heard(5.0, given)
    assert model.given.keys() == {"embeddings", "targets", "positions", "prefix_length"} and model.rng is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_noise_works_on_every_family(name):
    model, given = tiny(name), answers()
    aim = A.noisy_next_token(3.0)

    def rng():
        return np.random.default_rng(11)

    count = aim.count(given)
    noisy = [aim(model, given, normaliser=count, rng=np.random.default_rng(seed)).item() for seed in (1, 1, 2)]
    assert noisy[0] == noisy[1] != noisy[2]
    assert noisy[0] != next_token(model, given, normaliser=count, rng=np.random.default_rng(1)).item()
    numeric, analytic = slopes(aim, model, given, rng=rng)
    assert numeric == pytest.approx(analytic, rel=1e-5) and abs(analytic) > 1e-3
    assert model.embedding.weight.grad is not None


@pytest.mark.parametrize("alpha", [-1.0, math.inf, math.nan])
def test_what_is_refused(alpha):
    with pytest.raises(ValueError, match="NEFTune's alpha"):
        A.noisy_next_token(alpha)
