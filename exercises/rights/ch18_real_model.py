"""Other right answers of chapter 18.

Remainders instead of bit masks, rows picked by a list of numbers, einsum, strings joined at the end.
"""

from __future__ import annotations

import numpy as np


def dequantize_q4_1(blocks):
    half = np.ascontiguousarray(blocks[:, :4]).view(np.dtype("<f2")).astype(np.float32)
    out = np.empty((len(blocks), 32), np.float32)
    out[:, :16] = blocks[:, 4:] % 16
    out[:, 16:] = blocks[:, 4:] // 16
    out *= half[:, :1]
    out += half[:, 1:]
    return out


def halves_from_interleaved(weight, heads):
    width = len(weight) // heads
    rows = np.arange(len(weight)).reshape(heads, width)
    return weight[np.concatenate([rows[:, 0::2], rows[:, 1::2]], axis=1).ravel()]


def logit_lens(states, norm_weight, head, eps=1e-5):
    root = np.sqrt(np.einsum("ltd,ltd->lt", states, states) / states.shape[-1] + states.dtype.type(eps))
    logits = np.einsum("ltd,vd->ltv", states / root[..., None] * norm_weight, head)
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def chatml(messages, default_system, add_generation_prompt):
    talk = [(m["role"], m["content"]) for m in messages]
    if talk and talk[0][0] != "system":
        talk = [("system", default_system)] + talk
    parts = [f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in talk]
    return "".join(parts + ["<|im_start|>assistant\n"] * add_generation_prompt)
