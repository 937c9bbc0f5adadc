"""The logit lens: what the head would say if the layers that are still to come did nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad


def logit_lens(model: Any, ids: Any) -> np.ndarray:
    """The logits read off before each layer and at the end: ids (B, T) -> (layers + 1, B, T, V).

    Entry i is head(norm(what layer i reads)); the last is what the model says. That an early entry is nonsense does
    not mean that nothing is known there, only that it is not yet written in the head's code.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("llama", hidden_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=11)
    >>> said = logit_lens(model, [[3, 1, 4]])
    >>> said.shape, bool(np.array_equal(said[-1], model([[3, 1, 4]]).data))
    ((3, 1, 3, 11), True)

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    with no_grad(), model.record() as seen:
        said = model(ids).data
        length = said.shape[1]
        states = [state[:, -length:] for state in seen["hidden"][:-1]]  # a learned prefix stands before them
        return np.stack([*(_read(model, state) for state in states), said])


def _read(model: Any, state: np.ndarray) -> np.ndarray:
    x = Tensor(state)
    x = x if model.norm is None else model.norm(x)
    x = x if model.head_projection is None else model.head_projection(x)
    return model.head(x).data
