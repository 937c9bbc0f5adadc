"""Tuning the real 135M model as contenders: one step on one row of tokens, all of it or adapters alone.

The peers are the transformers library with PyTorch, and peft on top of it, with a LLaMA of the same shape in float32.
A step is forward, backward, clipping and AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..training import AdamW, accumulate_gradients, clip_grad_norm
from . import models

Work = Callable[[], Any]
TOKENS = 256
_IDS = np.random.default_rng(0).integers(0, 49152, (1, TOKENS + 1))
_RATE = 1e-5


def full(threads: int) -> Work:
    """Every weight of SmolLM2-135M trains."""
    return _step(models.real_model(packed=False), threads)


def _step(model: Any, threads: int) -> Work:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(parameters, lr=_RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = accumulate_gradients(model, _IDS[:, :-1], _IDS[:, 1:], threads=threads)
        clip_grad_norm(parameters, 1.0)
        optimizer.step()
        return loss

    return step


def their_full(threads: int) -> Work:
    """Every weight of the transformers library's LLaMA trains, with PyTorch's fused AdamW."""
    torch, model = models.their_model(threads)
    return _their_step(torch, model.train())


def _their_step(torch: Any, model: Any) -> Work:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, fused=True)
    ids = torch.from_numpy(_IDS[:, :-1])

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step
