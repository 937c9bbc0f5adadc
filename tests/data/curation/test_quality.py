import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.data.curation import Quality, QualityClassifier, Removed
from llm_from_scratch.data.curation.quality import features, loss_and_gradient
from llm_from_scratch.files.safetensors import write_safetensors

HERE = Path(__file__).parent
texts = runpy.run_path(str(HERE / "make_quality_reference.py"))["texts"]
GOOD, BAD = texts(0)


@pytest.fixture(scope="module")
def classifier():
    return QualityClassifier.fit(GOOD, BAD, seed=0, buckets=1 << 12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_gradient_is_that_of_the_loss(decay):
    rng = np.random.default_rng(1)
    batch = [features(text, 32) for text in (*GOOD[:3], *BAD[:2], "")]
    labels, importance = np.array([1.0, 1, 1, 0, 0, 0]), rng.uniform(0.5, 2, 6)
    weights, bias = rng.normal(size=32), 0.3
    _, dweights, dbias = loss_and_gradient(weights, bias, batch, labels, importance, decay)

    def loss(weights, bias):
        return loss_and_gradient(weights, bias, batch, labels, importance, decay)[0]

    step = 1e-6
    for i in range(32):
        side = np.eye(32)[i] * step
        assert dweights[i] == pytest.approx(
            (loss(weights + side, bias) - loss(weights - side, bias)) / 2 / step, abs=1e-8
        )
    assert dbias == pytest.approx((loss(weights, bias + step) - loss(weights, bias - step)) / 2 / step, abs=1e-8)


def test_the_loss_is_finite_far_out():
    batch = [features("a", 8)]
    loss, gradient, _ = loss_and_gradient(np.full(8, 1e4), 0.0, batch, np.zeros(1), np.ones(1), 0.0)
    assert loss == pytest.approx(1e4) and np.isfinite(gradient).all()


def test_it_finds_the_optimum_that_scikit_learn_finds():
    frozen = json.loads((HERE / "fixtures" / "quality_reference.json").read_text(encoding="utf-8"))
    settings = {"buckets": frozen["buckets"], "decay": frozen["decay"]}
    classifier = QualityClassifier.fit(GOOD, BAD, epochs=400, batch_size=len(GOOD) + len(BAD), **settings)
    scores = [classifier.score(text) for text in (*GOOD, *BAD)]
    np.testing.assert_allclose(scores, frozen["scores"], atol=2e-3)
    by_batches = QualityClassifier.fit(GOOD, BAD, epochs=200, **settings)
    np.testing.assert_allclose([by_batches.score(text) for text in (*GOOD, *BAD)], frozen["scores"], atol=2e-2)


def test_it_tells_texts_apart_that_it_has_not_seen(classifier):
    good, bad = texts(1)
    right = [classifier.score(text) > 0.5 for text in good] + [classifier.score(text) < 0.5 for text in bad]
    assert np.mean(right) > 0.9


def test_the_smaller_set_counts_as_much():
    settings = {"buckets": 256, "decay": 1e-2, "epochs": 100, "batch_size": 1000}
    once, often = QualityClassifier.fit(GOOD, BAD, **settings), QualityClassifier.fit(GOOD, BAD * 4, **settings)
    np.testing.assert_allclose(once.weights, often.weights, atol=1e-5)


def test_the_same_seed_gives_the_same_and_another_another():
    first, again, other = (QualityClassifier.fit(GOOD, iter(BAD), seed=seed, buckets=64) for seed in (3, 3, 4))
    assert np.array_equal(first.weights, again.weights) and first.bias == again.bias
    assert not np.array_equal(first.weights, other.weights)


def test_saved_and_loaded_it_scores_the_same(classifier, tmp_path):
    path = tmp_path / "quality.safetensors"
    classifier.save(path)
    loaded = QualityClassifier.load(path)
    assert [loaded.score(text) for text in GOOD] == [classifier.score(text) for text in GOOD]
    assert Quality(str(path))(GOOD[0]) == Quality(loaded)(GOOD[0]) == GOOD[0]
    bad = Quality(path)(BAD[0])
    assert isinstance(bad, Removed) and "below 0.5" in bad.reason


@pytest.mark.parametrize("text", ["", " \n", "夜里河水上涨", "\ud800", "word " * 100_000, "x" * 1_000_000])
def test_any_text_has_a_score(classifier, text):
    score = classifier.score(text)
    assert type(score) is float and 0 <= score <= 1
    assert isinstance(Quality(classifier, 0.0)(text), str)


def test_features_are_words_and_pairs_in_order():
    assert not np.array_equal(features("a b", 1 << 20)[0], features("b a", 1 << 20)[0])
    places, values = features("The the", 1 << 20)
    assert sorted(values.round(6)) == [0.447214, 0.894427] and len(places) == 2
    assert all((0 <= features(text, 7)[0]).all() and (features(text, 7)[0] < 7).all() for text in GOOD)


@pytest.mark.parametrize(
    ("good", "bad", "settings", "error"),
    [
        ("one text", BAD, {}, TypeError),
        ([], BAD, {}, ValueError),
        (GOOD, ["", " "], {}, ValueError),
        (GOOD, [b"x"], {}, TypeError),
        (GOOD, BAD, {"epochs": 0}, ValueError),
        (GOOD, BAD, {"seed": -1}, ValueError),
        (GOOD, BAD, {"buckets": 1}, ValueError),
        (GOOD, BAD, {"learning_rate": float("nan")}, ValueError),
        (GOOD, BAD, {"batch_size": True}, TypeError),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(good, bad, settings, error):
    with pytest.raises(error, match="^quality"):
        QualityClassifier.fit(good, bad, **settings)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(ValueError, match="is no file"):
        Quality(str(path))
    one = np.ones(4, np.float32)
    marked = {"format": "llm_from_scratch quality classifier 1"}
    for tensors, metadata, problem in [
        ({"weights": one, "bias": one[:1]}, None, "no quality classifier"),
        ({"weights": one}, marked, "no quality classifier"),
        ({"weights": one.reshape(2, 2), "bias": one[:1]}, marked, "of shape"),
        ({"weights": one * np.nan, "bias": one[:1]}, marked, "not finite"),
    ]:
        write_safetensors(path, tensors, metadata)
        with pytest.raises(ValueError, match=problem):
            QualityClassifier.load(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="not a usable safetensors"):
        QualityClassifier.load(path)
    with pytest.raises(TypeError, match="expected a QualityClassifier"):
        Quality(3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Quality(QualityClassifier(one, 0.0), least=2)
