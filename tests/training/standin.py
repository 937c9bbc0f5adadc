"""A tiny model, sampler and run for the tests of training: small enough that a step takes a millisecond."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.data.sampler import BatchSampler, evaluation_batches
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers.module import Module

VOCABULARY, WIDTH = 11, 6


class StandIn(Module):
    """Predicts the next token from this one: embedding, a hidden layer, a norm's scale, a head."""

    def __init__(self, seed: int = 0, dtype=np.float64, dropout: float = 0.0) -> None:
        rng = np.random.default_rng(seed)

        def weight(*shape):
            return Tensor(rng.normal(size=shape).astype(dtype) * 0.5, requires_grad=True)

        self.embedding = weight(VOCABULARY, WIDTH)
        self.hidden = weight(WIDTH, WIDTH)
        self.scale = Tensor(np.ones(WIDTH, dtype), requires_grad=True)
        self.head = weight(WIDTH, VOCABULARY)
        self.dropout = dropout

    def hidden_states(self, ids, rng=None):
        if ids.max() >= VOCABULARY:
            raise ValueError(f"id {ids.max()} is outside the vocabulary of {VOCABULARY}")
        x = F.tanh(F.linear(F.embedding(self.embedding, ids), self.hidden))
        if rng is not None and self.dropout:
            x = F.dropout(x, rate=self.dropout, rng=rng)
        return x * self.scale

    def loss(self, batch, *, normaliser=None, rng=None):
        ids, targets = np.asarray(batch["ids"]), np.asarray(batch["targets"])
        x = self.hidden_states(ids, rng).reshape(-1, WIDTH)
        return F.linear_cross_entropy(x, self.head, targets.reshape(-1), normaliser=normaliser, transposed=False)

    def token_log_probabilities(self, batch, *, rng=None):
        """(B, T), 0 where targets are -100; as strict about names as a real model."""
        assert set(batch) == {"ids", "targets"}
        logits = F.linear(self.hidden_states(np.asarray(batch["ids"]), rng), self.head)
        return -F.cross_entropy(logits, np.asarray(batch["targets"]), reduction="none")

    def save_pretrained(self, directory, dtype=None):
        write_safetensors(Path(directory) / "model.safetensors", self.state_dict())


def open_stand_in(directory, dtype=None):
    """What `checkpoints.from_pretrained` is for real models."""
    model = StandIn(dtype=dtype)
    model.load_state_dict(read_safetensors(Path(directory) / "model.safetensors"))
    return model


def stream(count: int = 4000, seed: int = 3) -> np.ndarray:
    """Ids with something to learn: mostly the last id plus one."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(count) < 0.8, 1, rng.integers(0, VOCABULARY, size=count))
    return np.cumsum(steps) % VOCABULARY


def sampler(seed: int = 1, batch_size: int = 4, context: int = 8) -> BatchSampler:
    return BatchSampler(stream(), batch_size, context, seed=seed)


def validation():
    return evaluation_batches(stream(200, seed=9), 4, 8)
