"""What the contenders are given: sizes of models, arrays of numbers, a text; the same for all of them every time."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np


def synthetic_text(size: int = 5_000_000, seed: int = 0) -> str:
    """English-like text of about `size` bytes with words of a Zipf distribution, the same everywhere.

    >>> len(synthetic_text(1000)) >= 1000
    True
    """
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = [2.0 ** (-i / 4) for i in range(26)]
    words = ["".join(rng.choices(letters, weights, k=rng.randint(1, 11))) for _ in range(40_000)]
    frequencies = [1.0 / (rank + 3) for rank in range(len(words))]
    parts: list[str] = []
    length = 0
    while length < size:
        sentence = rng.choices(words, frequencies, k=rng.randint(4, 18))
        line = " ".join(sentence).capitalize() + rng.choice([".", ".", ".", "!", "?", ";", ","])
        parts.append(line + rng.choice([" ", " ", " ", "\n", "\n\n"]))
        length += len(parts[-1])
    return "".join(parts)


@dataclass(frozen=True)
class Size:
    """A GPT-2-style model and the batch of its training step."""

    layers: int
    width: int
    heads: int
    batch: int
    context: int
    vocab: int

    @property
    def title(self) -> str:
        """For the table."""
        return (
            f"training step, GPT {self.layers} layers x {self.width}, "
            f"batch {self.batch} x {self.context}, vocabulary {self.vocab}"
        )


SIZES = {
    "step-128": Size(4, 128, 4, 12, 64, 65),
    "step-384": Size(6, 384, 6, 8, 256, 65),
    "step-512": Size(6, 512, 8, 4, 256, 8192),
}


def attention_arrays(length: int) -> list[np.ndarray]:
    """q, k, v and the gradient of the output: eight heads of 64."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, 8, length, 64), dtype=np.float32) for _ in range(4)]


def scan_arrays() -> list[np.ndarray]:
    """x, delta, A, B, C, D and the gradient of the output."""
    rng = np.random.default_rng(0)
    length, channels, width = 256, 1536, 16
    x, step, dy = rng.standard_normal((3, 1, length, channels), dtype=np.float32)
    B, C = rng.standard_normal((2, 1, length, width), dtype=np.float32)
    A = -np.exp(rng.standard_normal((channels, width), dtype=np.float32))
    return [x, np.exp(step - 3), A, B, C, rng.standard_normal(channels, dtype=np.float32), dy]


def convolution_arrays(length: int) -> list[np.ndarray]:
    """x, poles, residues and the gradient of the output: 256 channels, two modes each."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 1, length, 256), dtype=np.float32)
    radius, angle = rng.uniform(0.5, 0.99, (256, 2)), rng.uniform(-3, 3, (256, 2))
    poles = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).astype(np.float32)
    return [x, poles, rng.standard_normal(poles.shape, dtype=np.float32), dy]
