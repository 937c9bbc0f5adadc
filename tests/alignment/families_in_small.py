"""Tiny models of many families, with weights large enough that they differ: what tuning must work on."""

from __future__ import annotations

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.recipes.miniature import miniature

VOCABULARY = 40
# Grouped keys, learned positions, an embedding norm, no attention, experts, a gradient scale, a factorised embedding,
# parallel blocks, several kinds of layer.
FAMILIES = (
    "llama-2-70b",
    "gpt2",
    "bloom",
    "mamba-2.8b",
    "mixtral-8x7b",
    "glm-130b",
    "opt-350m",
    "falcon-7b",
    "decilm-7b",
)
# Sizes for `build`: the fewest designs that a new loss or head is tried on.
SIZES = {
    "llama": dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24),
    "gpt2": dict(n_embd=16, n_layer=1, n_head=2, n_positions=32),
    "mamba": dict(hidden_size=16, num_hidden_layers=1, state_size=4),
    "mixtral": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                    intermediate_size=24, num_local_experts=3),
}  # fmt: skip


def tiny(name: str, *, seed: int = 1, dtype=np.float64, scale: float = 3.0, **sizes):
    config = miniature(name, **{"layers": 2, "width": 16, "heads": 2, "context": 32, "vocabulary": VOCABULARY, **sizes})
    model = lfs.build(config.pop("model_type"), seed=seed, dtype=dtype, **config)
    for path, parameter in model.named_parameters():
        if path.endswith("weight") and parameter.ndim == 2:  # as initialised, everything would be equally likely
            parameter.data = parameter.data * parameter.dtype.type(scale)
    return model


def answers(rows: int = 3, length: int = 7, seed: int = 0, vocabulary: int = VOCABULARY):
    """A batch whose rows have prompts, answers and padding of different lengths."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, vocabulary, size=(rows, length))
    targets = np.full((rows, length), -100)
    for row in range(rows):
        end = length - row % 3
        begin = 1 + row % (end - 1)
        targets[row, begin:end] = rng.integers(0, vocabulary, size=end - begin)
        ids[row, end:] = 0
    return {"ids": ids, "targets": targets}


def slopes(objective, model, batch, *, step: float = 1e-6, seed: int = 0, rng=None):
    """The derivative along a direction of all parameters at once: by central differences, and by the gradient.

    A table whose gradient the family scales on purpose (GLM) is left out.
    """
    lfs.accumulate_gradients(model, batch, objective=objective, threads=1, rng=None if rng is None else rng())
    draw = np.random.default_rng(seed)
    scaled = () if model.spec.embedding_gradient_scale == 1.0 else ("embedding.weight",)
    trained = [p for name, p in model.named_parameters() if p.grad is not None and name not in scaled]
    directions = [draw.normal(size=p.shape) for p in trained]
    analytic = sum(float((p.grad * d).sum()) for p, d in zip(trained, directions))

    def at(distance):
        for p, d in zip(trained, directions):
            p.data = p.data + distance * d
        count = objective.count(batch)
        value = objective(model, batch, normaliser=count, rng=None if rng is None else rng()).item()
        for p, d in zip(trained, directions):
            p.data = p.data - distance * d
        return value

    return (at(step) - at(-step)) / (2 * step), analytic
