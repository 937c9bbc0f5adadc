"""What a run does to take less memory: two bytes a number, and activations that are computed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .config import TrainingSettings
from .storage import stored_as


@contextmanager
def saving_memory(model: Any, settings: TrainingSettings) -> Iterator[None]:
    """What the settings say of `storage` and `recompute` holds for the model inside the block, and not behind it.

    TypeError for a model in float64 that is to be stored in bfloat16, or whose activations cannot be recomputed.
    """
    parts = [part for _, part in model.named_modules()] if hasattr(model, "named_modules") else []
    decoders = [part for part in parts if hasattr(part, "recompute")] if settings.recompute else []
    if settings.recompute and not decoders:
        raise TypeError(
            f"recompute is for models whose blocks can run twice: {type(model).__name__} has no part with recompute()"
        )
    with stored_as(model, settings.storage):
        before = [decoder.recompute(True) for decoder in decoders]
        try:
            yield
        finally:
            for decoder, had in zip(decoders, before):
                decoder.recompute(had)
