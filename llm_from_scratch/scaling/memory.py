"""Bytes: to load a model, to train it by one optimiser or another, and for what the backward pass has to see again.

A rule of thumb says two bytes a parameter and a tenth more. The two bytes are in the file. The tenth is not: it is room
for the key-value cache and for a layer's activations, and with the models that are called 30B most of it is a rounded
name (LLaMA "30B" has 32.5 billion parameters). `loading` counts what the rule guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..layers import AttentionSpec, FeedForwardSpec, MixtureSpec
from ..models.decoder import Decoder
from ..models.spec import ModelSpec
from ..training.config import OPTIMIZERS, TrainingSettings
from .checking import number, whole

# Bytes of weight, gradient, master copy and of each number that the optimiser keeps. "mixed" is what was usual in 2023;
# "bfloat16" keeps everything in two bytes, and needs stochastic rounding.
TRAINING = {"float32": (4, 4, 0, 4), "mixed": (2, 2, 4, 4), "bfloat16": (2, 2, 0, 2)}


def rule_of_thumb(parameters: float, bits: float = 16) -> float:
    """Bytes to load a model by the rule: its weights and a tenth more.

    >>> [round(rule_of_thumb(n, bits) / 1e9, 1) for n, bits in ((100e9, 16), (30e9, 16), (30e9, 8), (30e9, 4))]
    [220.0, 66.0, 33.0, 16.5]
    """
    return 1.1 * number("parameters", parameters) * number("bits", bits) / 8


@dataclass(frozen=True)
class Loading:
    """Bytes of a model that answers: its weights, its cache, and the activations of a pass."""

    weights: float
    cache: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.cache + self.activations

    @property
    def extra(self) -> float:
        """What comes beside the weights, as a share of them: the rule of thumb's tenth."""
        return (self.cache + self.activations) / self.weights


def loading(spec: ModelSpec, *, bits: float = 16, length: int | None = None, rows: int = 1) -> Loading:
    """A model in so many bits a parameter, with `rows` texts of `length` tokens (default: its context) in its memory.

    The cache is in 16 bits; activations are those of one layer at a time, read at once, and one row of logits a text.

    >>> from llm_from_scratch.checkpoints import spec
    >>> thirty = loading(spec("llama-33b"), rows=2)
    >>> print(f"{thirty.weights / 1e9:.2f} GB of weights, {thirty.extra:.1%} more")
    65.06 GB of weights, 11.4% more
    """
    length = whole("length", spec.context_length if length is None else length)
    rows, bits = whole("rows", rows), number("bits", bits)
    held = spec.memory_bytes(length)
    if held is None:
        raise ValueError("a mixer of this model does not say how much it remembers: give it memory_bytes(length)")
    cache = rows * (held - spec.cache_bytes(length) // 2)
    largest = max(_kept(spec, layer) for layer in spec.layers)
    passing = 2 * rows * (length * largest + spec.vocab_size)
    return Loading(Decoder(spec).parameter_count * bits / 8, cache, passing)


@dataclass(frozen=True)
class Training:
    """Bytes that every step of training needs beside activations."""

    weights: float
    gradients: float
    master: float
    optimizer: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.master + self.optimizer


def training_memory(parameters: float, *, optimizer: str = "adamw", precision: str = "mixed") -> Training:
    """Weights, gradients, master copies and the optimiser's own numbers.

    optimizer: one of the package's; how many numbers it keeps for a parameter it says itself. precision: "float32",
    "mixed" (bfloat16 to compute with, float32 to add up in) or "bfloat16".

    >>> [training_memory(1, optimizer=name).total for name in ("adamw", "lion", "sgd")]
    [16.0, 12.0, 12.0]
    >>> [training_memory(1, precision=name).total for name in ("float32", "mixed", "bfloat16")]
    [16.0, 16.0, 8.0]
    """
    n = number("parameters", parameters)
    for name, value, known in (("optimizer", optimizer, OPTIMIZERS), ("precision", precision, TRAINING)):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    weight, gradient, master, each = TRAINING[precision]
    return Training(n * weight, n * gradient, n * master, n * each * _numbers_kept(optimizer))


def _numbers_kept(name: str) -> int:
    """How many numbers an optimiser remembers for a parameter: one is asked."""
    weight = Tensor(np.zeros(1, np.float32), requires_grad=True)
    optimizer = TrainingSettings(steps=1, optimizer=name, threads=1).make_optimizer([weight])
    return len(optimizer._keeps(optimizer.param_groups[0]))


def activation_memory(
    spec: ModelSpec, *, rows: int = 1, length: int | None = None, bytes_each: int = 2, recompute: bool = False
) -> int:
    """Bytes that a forward pass keeps for the backward, for `rows` texts of `length` tokens (default: the context).

    Kept are what comes out of every norm, matrix and activation, and of attention, whose scores are computed again (as
    in flash attention, and in this package). For a GPT that is 16 numbers a token, layer and unit of width: the 34
    bytes of Korthikanti et al. 2022 (arXiv:2205.05198) without dropout's masks. The logits count in four bytes. A mixer
    that is not attention is counted by its matrices: what enters each and what leaves it.

    recompute: each layer keeps what enters it, and one at a time is run again.

    >>> from llm_from_scratch.checkpoints import spec
    >>> for again in (False, True):
    ...     print(f"{activation_memory(spec('llama-7b'), recompute=again) / 1e9:.1f} GB")
    8.9 GB
    1.1 GB
    """
    length = whole("length", spec.context_length if length is None else length)
    tokens = whole("rows", rows) * length
    layers = [_kept(spec, layer) for layer in spec.layers]
    inside = spec.hidden_size * len(layers) + max(layers) if recompute else sum(layers)
    outside = 2 * spec.hidden_size  # the embedding, and what the last norm makes
    return tokens * (whole("bytes_each", bytes_each) * (inside + outside) + 4 * spec.vocab_size)


def _kept(spec: ModelSpec, layer: Any) -> int:
    """Numbers a token that a layer keeps: of each norm and each part what comes out, and what it made on the way."""
    return sum(_inside(part) for part in layer.functions.values()) + spec.hidden_size * len(layer.norms)


def _inside(part: Any) -> int:
    if isinstance(part, MixtureSpec):
        return part.experts + part.chosen * _inside(part.expert)
    if isinstance(part, FeedForwardSpec):
        return (3 if part.gated else 2) * part.intermediate_size + part.hidden_size
    if isinstance(part, AttentionSpec):
        return 2 * (part.heads + part.key_value_heads) * part.head_dim + part.hidden_size
    return sum(sum(weight.shape[-2:]) for weight in part.build(None).parameters() if len(weight.shape) > 1)
