"""A small classifier of quality: is a text more like these or like those?

A text is its words and pairs of neighbouring words, hashed into a table of weights; logistic regression on them, by
stochastic gradient descent. The idea is fastText's (Joulin et al. 2016, arXiv:1607.01759: pairs, hashing, a linear
classifier, a learning rate that falls to nothing), without its inner layer, which two classes do not need: two factors
of a linear map are one. Such classifiers chose pages for GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix A) and
LLaMA (Touvron et al. 2023, arXiv:2302.13971, section 2.1: pages like the references of Wikipedia).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_from_scratch.files.safetensors import SafetensorsFile, write_safetensors

from .pieces import check_number, check_text, words
from .rule import Removed

_FORMAT = "llm_from_scratch quality classifier 1"
_MOST_WORDS = 20_000  # of a text that are looked at
Features = tuple[np.ndarray, np.ndarray]


def features(text: str, buckets: int) -> Features:
    """The places in the table that a text's words and pairs fall on, and their values: (n,) int64, (n,) float64.

    Values are counts over the length of the vector of counts: a long text is not more of anything than a short one.

    >>> places, values = features("To be or to be", 1024)
    >>> len(places), float(round(values @ values, 6))   # to, be, or; to be, be or, or to
    (6, 1.0)
    """
    found = words(check_text("quality", text).lower())[:_MOST_WORDS]
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    numbers: dict[str, int] = {}
    for word in found:
        if word not in numbers:
            numbers[word] = zlib.crc32(word.encode("utf-8", "replace"))
    single = np.array([numbers[word] for word in found], np.uint64)
    pairs = single[:-1] * np.uint64(0x9E3779B97F4A7C15) + single[1:] + np.uint64(1)  # modulo 2**64, in this order
    mixed = np.concatenate([single, pairs]) * np.uint64(0xD1B54A32D192ED03)
    places, counts = np.unique((mixed >> np.uint64(32)) % np.uint64(buckets), return_counts=True)
    return places.astype(np.int64), counts / np.sqrt((counts * counts).sum())


def loss_and_gradient(
    weights: np.ndarray,
    bias: float,
    batch: Sequence[Features],
    labels: np.ndarray,
    importance: np.ndarray,
    decay: float,
) -> tuple[float, np.ndarray, float]:
    """The loss over a batch, and its gradients for weights and bias.

    Loss: mean of importance * log(1 + exp(-s * logit)) plus decay/2 * |weights|², s = 1 for label 1 and -1 for label 0.
    weights: (buckets,) float64; labels, importance: (batch,).
    """
    rows = np.repeat(np.arange(len(batch)), [len(places) for places, _ in batch])
    places = np.concatenate([places for places, _ in batch])
    values = np.concatenate([values for _, values in batch])
    logits = bias + np.bincount(rows, values * weights[places], len(batch))
    signs = 2.0 * labels - 1.0
    loss = np.mean(importance * np.logaddexp(0.0, -signs * logits)) + 0.5 * decay * (weights @ weights)
    slopes = importance * (_sigmoid(logits) - labels) / len(batch)
    gradient = np.bincount(places, values * slopes[rows], len(weights)) + decay * weights
    return float(loss), gradient, float(slopes.sum())


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))


class QualityClassifier:
    """How good a text is, from 0 to 1, by texts that were called good and bad. Make one with `fit` or `load`.

    >>> good = ["the river rose in the night", "nobody had seen it come", "by morning the fields were wet"]
    >>> bad = ["buy cheap watches now", "click here for cheap deals", "best price watches buy buy"]
    >>> classifier = QualityClassifier.fit(good, bad, seed=0)
    >>> classifier.score("the night was wet") > 0.5 > classifier.score("cheap deals here")
    True
    """

    def __init__(self, weights: np.ndarray, bias: float) -> None:
        self.weights, self.bias = weights, bias

    @classmethod
    def fit(
        cls,
        good: Iterable[str],
        bad: Iterable[str],
        *,
        seed: int = 0,
        epochs: int = 10,
        buckets: int = 1 << 18,
        decay: float = 1e-4,
        learning_rate: float = 4.0,
        batch_size: int = 16,
    ) -> QualityClassifier:
        """Learn from two sets of texts; the smaller counts as much as the larger. The same seed gives the same weights.

        ValueError when a set is empty or has no words.
        """
        for name, number, low in (("seed", seed, 0), ("epochs", epochs, 1), ("buckets", buckets, 2),
                                  ("batch_size", batch_size, 1)):  # fmt: skip
            check_number("quality", name, number, low, whole=True)
        check_number("quality", "decay", decay, 0, 1)
        check_number("quality", "learning_rate", learning_rate, 0, 1e3)
        sets = []
        for name, texts in (("good", good), ("bad", bad)):
            if isinstance(texts, str):
                raise TypeError(f"quality: {name} is one text, expected several, such as a list of them")
            sets.append([found for found in (features(text, buckets) for text in texts) if len(found[0])])
            if not sets[-1]:
                raise ValueError(f"quality: {name} has no text with words in it; both sets need some")
        samples = [*sets[0], *sets[1]]
        labels = np.repeat([1.0, 0.0], [len(sets[0]), len(sets[1])])
        importance = len(samples) / 2 / np.repeat([len(sets[0]), len(sets[1])], [len(sets[0]), len(sets[1])])
        weights, bias = np.zeros(buckets), 0.0
        rng = np.random.default_rng(seed)
        steps = epochs * -(-len(samples) // batch_size)
        step = 0
        for _ in range(epochs):
            order = rng.permutation(len(samples))
            for begin in range(0, len(order), batch_size):
                chosen = order[begin : begin + batch_size]
                batch = [samples[i] for i in chosen]
                _, dweights, dbias = loss_and_gradient(weights, bias, batch, labels[chosen], importance[chosen], decay)
                rate = learning_rate * (1 - step / steps)
                weights -= rate * dweights
                bias -= rate * dbias
                step += 1
        return cls(weights.astype(np.float32), float(np.float32(bias)))

    def score(self, text: str) -> float:
        """From 0, like the bad texts, to 1, like the good ones; 0.5 is as much like either."""
        places, values = features(text, len(self.weights))
        return float(_sigmoid(np.float64(self.bias + self.weights[places].astype(np.float64) @ values)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and bias as safetensors."""
        tensors = {"weights": self.weights, "bias": np.array([self.bias], np.float32)}
        write_safetensors(path, tensors, {"format": _FORMAT})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QualityClassifier:
        """What `save` wrote. ValueError when the file is something else."""
        if not Path(path).is_file():
            raise ValueError(f"{path} is no file: expected what QualityClassifier.save wrote")
        file = SafetensorsFile(path)
        if file.metadata.get("format") != _FORMAT or set(file) != {"weights", "bias"}:
            raise ValueError(f"{path} holds no quality classifier: expected what QualityClassifier.save wrote")
        weights, bias = np.array(file["weights"]), np.array(file["bias"])
        if weights.ndim != 1 or len(weights) < 2 or bias.shape != (1,) or weights.dtype != np.float32:
            raise ValueError(f"{path} holds weights of shape {weights.shape}, expected one row of float32")
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ValueError(f"{path} holds weights that are not finite: fit the classifier again")
        return cls(weights, float(bias[0]))


@dataclass(frozen=True)
class Quality:
    """Removes texts that the classifier scores below `least`. classifier: one, or the file where one was saved."""

    classifier: QualityClassifier | str | os.PathLike[str]
    least: float = 0.5
    name = "quality"

    def __post_init__(self) -> None:
        check_number("quality", "least", self.least, 0, 1)
        if isinstance(self.classifier, (str, os.PathLike)):
            object.__setattr__(self, "classifier", QualityClassifier.load(self.classifier))
        if not isinstance(self.classifier, QualityClassifier):
            raise TypeError(f"quality: classifier is {self.classifier!r}, expected a QualityClassifier or its file")

    @property
    def does(self) -> str:
        return f"removes texts that the classifier scores below {self.least:g}"

    def __call__(self, text: str) -> str | Removed:
        assert isinstance(self.classifier, QualityClassifier)
        score = self.classifier.score(text)
        return text if score >= self.least else Removed(f"quality {score:.2f}, below {self.least:g}", text[:200])
