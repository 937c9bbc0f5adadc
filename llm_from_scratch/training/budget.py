"""How many steps fit into so many minutes: measured once, before training begins.

The answer becomes a setting of the run like any other. From then on the clock decides nothing, so that a run with a
time budget can be resumed to the byte too.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from typing import Any

import numpy as np

from .accumulate import accumulate_gradients
from .clip import grad_norm
from .config import TrainingSettings
from .memory import saving_memory
from .objectives import Objective, next_token


def seconds_per_step(
    model: Any, sampler: Any, settings: TrainingSettings, *, objective: Objective = next_token, seconds: float = 3.0
) -> float:
    """Measure a training step for about so many seconds; weights, gradients and sampler are afterwards as before.

    The first step is not counted: it compiles the kernels. The figure is the median of at least three.
    """
    params = [p for _, p in model.named_parameters() if p.requires_grad]
    numbers = [p.data for p in params]  # storing them in two bytes rounds them
    position = sampler.state()
    times: list[float] = []
    try:
        with saving_memory(model, settings):
            scratch = [copy.deepcopy(p) for p in params]
            optimizer = settings.make_optimizer(scratch)
            began = time.perf_counter()
            while len(times) < 4 or time.perf_counter() - began < seconds:
                start = time.perf_counter()
                for _ in range(settings.micro_batches):
                    accumulate_gradients(
                        model,
                        next(sampler),
                        objective=objective,
                        threads=settings.threads,
                        rng=np.random.default_rng(0),
                    )
                grad_norm(params, threads=settings.threads)
                for mine, theirs in zip(scratch, params):
                    mine.grad, theirs.grad = theirs.grad, None
                optimizer.step()
                times.append(time.perf_counter() - start)
                if len(times) == 1:
                    began = time.perf_counter()
    finally:
        for p, array in zip(params, numbers):
            p.data, p.grad = array, None
        sampler.restore(position)
    return float(np.median(times[1:]))


def fit_steps(settings: TrainingSettings, step_seconds: float, minutes: float) -> TrainingSettings:
    """The settings with as many steps as fit into the budget, at least 10; the warmup in proportion.

    >>> fit_steps(TrainingSettings(steps=100, warmup=10), 0.5, minutes=2.0).steps
    240
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise ValueError(f"minutes must be a finite number above 0, got {minutes}")
    if not step_seconds > 0:
        raise ValueError(f"step_seconds must be above 0, got {step_seconds}")
    steps = max(10, int(minutes * 60 / step_seconds))
    warmup = min(steps, max(1, round(settings.warmup * steps / settings.steps))) if settings.warmup else 0
    every: dict[str, Any] = {
        name: 0 if not getattr(settings, name) else max(1, round(getattr(settings, name) * steps / settings.steps))
        for name in ("evaluate_every", "checkpoint_every")
    }
    return dataclasses.replace(settings, steps=steps, warmup=warmup, **every)
