"""Tuning the real 135M model as contenders: one step on a row of tokens, or on pairs; all weights, or adapters alone.

The peers are the transformers library with PyTorch, and peft on top of it, with a LLaMA of the same shape in float32.
A step is forward, backward, clipping and AdamW.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adapters import add_lora
from ..alignment import dpo_loss, preference_objective
from ..quantization import to_nf4
from ..training import AdamW, accumulate_gradients, next_token
from ..training.clip import clip_scale, grad_norm
from . import models
from .case import Work

TOKENS = 256
_IDS = np.random.default_rng(0).integers(0, 49152, (1, TOKENS + 1))
_RATE = 1e-5
_PAIRS, _LENGTH, _PROMPT = 2, 128, 64  # for DPO: pairs, tokens of a row, of which the prompt
_ROWS = np.random.default_rng(1).integers(0, 49152, (2, _PAIRS, _LENGTH + 1))  # chosen, rejected
_BETA = 0.1


def full(threads: int) -> Work:
    """Every weight of SmolLM2-135M trains."""
    return _step(models.real_model(packed=False), threads)


def lora(threads: int) -> Work:
    """LoRA of rank 8 on query and value trains, beside frozen weights in float32."""
    model = models.real_model(packed=False)
    add_lora(model, rank=8, alpha=16, targets=("query", "value"))
    return _step(model, threads)


def qlora(threads: int, packed: bool = True) -> Work:
    """LoRA of rank 8 on all linear layers trains, beside NF4 with double quantisation.

    packed: the matrices come from the file's own blocks one by one; else the model is expanded to float32 first.
    """
    model = models.real_model(packed=packed)
    to_nf4(model)
    add_lora(model, rank=8, alpha=16, targets="all-linear")
    return _step(model, threads)


def dpo(threads: int) -> Work:
    """DPO on two pairs of 128 tokens, the reference's log-probabilities computed beforehand; every weight trains."""
    batch: dict[str, np.ndarray] = {}
    for side, rows in zip(("chosen", "rejected"), _ROWS):
        targets = rows[:, 1:].copy()
        targets[:, : _PROMPT - 1] = -100
        batch |= {f"{side}_ids": rows[:, :-1], f"{side}_targets": targets}
        batch |= {f"reference_{side}": np.full(_PAIRS, -600.0, np.float32)}
    aim = preference_objective(functools.partial(dpo_loss, beta=_BETA))
    return _step(models.real_model(packed=False), threads, batch, aim)


def _step(model: Any, threads: int, batch: Any = None, objective: Any = next_token) -> Work:
    batch = {"ids": _IDS[:, :-1], "targets": _IDS[:, 1:]} if batch is None else batch
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(parameters, lr=_RATE, threads=threads)

    def step() -> float:
        optimizer.zero_grad()
        loss = accumulate_gradients(model, batch, objective=objective, threads=threads)
        norm = grad_norm(parameters, threads=threads)
        optimizer.step(clip_scale(norm, 1.0), norm=norm)
        return loss

    return step


def their_full(threads: int) -> Work:
    """Every weight of the transformers library's LLaMA trains, with PyTorch's fused AdamW."""
    torch, model = models.their_model(threads)
    return _their_step(torch, model.train())


def their_lora(threads: int) -> Work:
    """peft's LoRA of rank 8 on query and value."""
    from peft import LoraConfig, get_peft_model

    torch, model = models.their_model(threads)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
    return _their_step(torch, get_peft_model(model.train(), config))


def their_dpo(threads: int) -> Work:
    """DPO's formula on the same pairs, both answers in one forward pass."""
    torch, model = models.their_model(threads)
    rows = torch.from_numpy(_ROWS.reshape(-1, _LENGTH + 1))
    reference = torch.full((2, _PAIRS), -600.0)

    def loss() -> Any:
        logits = model(input_ids=rows[:, :-1]).logits[:, _PROMPT - 1 :]
        found = torch.log_softmax(logits, -1).gather(-1, rows[:, _PROMPT:, None]).sum((1, 2)).view(2, _PAIRS)
        chosen, rejected = found - reference
        return -torch.nn.functional.logsigmoid(_BETA * (chosen - rejected)).mean()

    return _their_step(torch, model.train(), loss)


def _their_step(torch: Any, model: Any, objective: Callable[[], Any] | None = None) -> Work:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, fused=True)
    ids, labels = torch.from_numpy(_IDS[:, :-1]), torch.from_numpy(_IDS[:, 1:])

    def next_tokens() -> Any:
        return torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0], labels[0])

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = (objective or next_tokens)()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step
