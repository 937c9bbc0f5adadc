"""Other right answers of chapter 5.

Averages as corrections of the old ones, PyTorch's order of the divisions, decay before the step.
"""

from __future__ import annotations

import math

import numpy as np


def adam_step(parameter, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m = m + (1 - beta1) * (gradient - m)
    v = v * beta2 + np.square(gradient) * (1 - beta2)
    c1, c2 = 1 - beta1**step, math.sqrt(1 - beta2**step)  # as PyTorch writes it
    new = parameter.copy()
    new -= (lr / c1) * m / (np.sqrt(v) / c2 + eps)
    return new, m, v


def adamw_step(parameter, gradient, m, v, step, lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    p, m, v = adam_step(parameter * (1 - lr * weight_decay), gradient, m, v, step, lr, beta1, beta2, eps)
    return p, m, v


def clip_by_global_norm(gradients, limit):
    flat = np.concatenate([g.ravel().astype(np.float64) for g in gradients])
    norm = float(np.linalg.norm(flat))
    if norm != norm or norm == float("inf"):
        raise ValueError("non-finite")
    scale = min(1.0, limit / max(norm, 1e-300))
    return [(scale * g).astype(g.dtype) for g in gradients], norm


def cosine_schedule(step, peak, warmup_steps, total_steps, floor=0.0):
    if step < warmup_steps:
        return (step + 1) * (peak / warmup_steps)
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if step >= total_steps:
        done = 1.0
    return floor + 0.5 * (peak - floor) * (1.0 + np.cos(np.pi * done))
