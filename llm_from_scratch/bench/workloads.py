"""What the contenders are given: sizes of models, arrays of numbers, a text; the same for all of them every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
COMMON, WORDS = 7873, 2_000_000  # words that everybody uses, and words
STEEP = 1.77  # how the frequency of the others falls with their rank; that of the common ones with 1 / rank


def synthetic_text(size: int = 5_000_000, seed: int = 0) -> str:
    """English-like text of at least `size` bytes, the same everywhere.

    Its words have the frequencies of English: Zipf's law for the common ones, and rare ones that keep coming, so that 5
    MB hold 57 thousand different words and 100 MB 280 thousand. (A list of words repeated would have next to nothing
    left to learn after the first megabytes.)

    >>> len(synthetic_text(1000)) >= 1000
    True

    Source: Gerlach & Altmann 2013, arXiv:1212.1362, whose two numbers these are.
    """
    rng = np.random.default_rng(seed)
    ranks = np.arange(1.0, WORDS + 1)
    frequencies = np.cumsum(np.where(ranks <= COMMON, 1 / ranks, COMMON ** (STEEP - 1) * ranks**-STEEP))
    count = size // 4 + 100
    chosen = np.searchsorted(frequencies, rng.random(count) * frequencies[-1])
    used = np.zeros(WORDS, bool)
    used[chosen] = True
    chosen = (np.cumsum(used) - 1)[chosen].tolist()
    # Frequent words are short, and each letter is less frequent than the one before.
    lengths = np.clip(rng.poisson(1.5 + 0.6 * np.log(ranks[used])), 1, 16)
    shares = np.cumsum(2.0 ** (-np.arange(26) / 4))
    spelt = "".join(LETTERS[np.searchsorted(shares, rng.random(lengths.sum()) * shares[-1])])
    ends = np.cumsum(lengths).tolist()
    words = [spelt[start:end] for start, end in zip([0, *ends], ends)]
    marks = rng.choice([". ", ". ", ". ", "! ", "? ", "; ", ", ", ".\n", ".\n\n"], count // 4)
    parts: list[str] = []
    start = length = 0
    for mark, many in zip(marks.tolist(), rng.integers(4, 19, count // 4).tolist()):
        sentence = " ".join([words[rank] for rank in chosen[start : start + many]])
        parts.append(sentence.capitalize() + mark)
        start += many
        length += len(parts[-1])
        if length >= size:
            break
    return "".join(parts)


@dataclass(frozen=True)
class Size:
    """A GPT-2-style model and the batch of its training step; LLaMA-style if it says how many key-value heads."""

    layers: int
    width: int
    heads: int
    batch: int
    context: int
    vocab: int
    key_value_heads: int = 0
    feed_forward: int = 0

    @property
    def title(self) -> str:
        """For the table."""
        style = "LLaMA-style" if self.key_value_heads else "GPT"
        return (
            f"training step, {style} {self.layers} layers x {self.width}, "
            f"batch {self.batch} x {self.context}, vocabulary {self.vocab}"
        )


SIZES = {
    "step-128": Size(4, 128, 4, 12, 64, 65),
    "step-384": Size(6, 384, 6, 8, 256, 65),
    "step-512": Size(6, 512, 8, 4, 256, 8192),
    "llama-128": Size(4, 128, 4, 8, 256, 1024, key_value_heads=2, feed_forward=352),
    "llama-256": Size(8, 256, 8, 8, 256, 1024, key_value_heads=4, feed_forward=704),
}


def weight_shapes(size: Size) -> list[tuple[int, int]]:
    """(in, out) of the matrices that a step multiplies with."""
    width, inner = size.width, size.feed_forward or 4 * size.width
    if size.key_value_heads:
        shared = width // size.heads * size.key_value_heads
        layer = [(width, width), (width, shared), (width, shared), (width, width)]
        layer += [(width, inner), (width, inner), (inner, width)]
    else:
        layer = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    return [*(layer * size.layers), (width, size.vocab)]


def head_arrays(tokens: int = 512, width: int = 576, vocab: int = 49152) -> list[np.ndarray]:
    """States of tokens, a tied head and targets."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((vocab, width), dtype=np.float32) * np.float32(0.02)
    return [rng.standard_normal((tokens, width), dtype=np.float32), weight, rng.integers(0, vocab, tokens)]


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
