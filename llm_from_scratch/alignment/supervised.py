"""Supervised tuning: next tokens of dialogues, and NEFTune's noise on their embeddings.

Chat and instruction tuning need no objective of their own: which turns count is decided by the targets of the examples
(`lfs.data.dialogue_examples(train_on=...)`), and `next_token` is their mean over all targets of a step, however these
are spread over rows, shards and micro-batches. What may be new is noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..training import Objective, next_token, objective
from ..training.objectives import IGNORE, count_targets


def noisy_next_token(noise: float) -> Objective:
    """The objective of supervised tuning: `next_token`, in training with noise on the embeddings; 0 is `next_token`.

    noise: NEFTune's alpha (the paper tries 5, 10 and 15): every entry of an embedded token is moved by a number drawn
    evenly from ± alpha / √(L d), where d is the width of the embeddings and L the number of real tokens in the row, or
    in the document where rows are packed. Noise thus has the same expected length whatever is padded beside it;
    padding itself is left alone. Evaluations (`rng=None`) have none.

    Raises ValueError for a noise that is negative or not finite.

    >>> noisy_next_token(0.0) is next_token
    True

    Source: Jain et al. 2023, arXiv:2310.05914, algorithm 1.
    """
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is NEFTune's alpha, a number of at least 0 (5 to 15 are usual); got {noise}")
    if noise == 0:
        return next_token

    @objective(count=count_targets)
    def noisy(
        model: Any, batch: Mapping[str, Any], *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        if rng is None:
            return next_token(model, batch, normaliser=normaliser)
        embeddings = model.embed(batch["ids"])
        lengths = real_lengths(batch)[..., None]
        reach = noise / np.sqrt(np.maximum(lengths, 1) * embeddings.shape[-1]) * (lengths > 0)
        moved = rng.uniform(-1.0, 1.0, embeddings.shape) * reach
        others = {name: array for name, array in batch.items() if name != "ids"}
        embeddings = embeddings + moved.astype(embeddings.dtype)
        return next_token(model, {"embeddings": embeddings, **others}, normaliser=normaliser, rng=rng)

    return noisy


def real_lengths(batch: Mapping[str, Any]) -> np.ndarray:
    """For each token how many real ones its row (packed: its document) has, (B, T); 0 for padding.

    Padding is what "mask" or "segments" (-1) say. A batch without them is padded on the right, and nothing after a
    row's last target can matter.

    >>> real_lengths({"ids": np.array([[5, 6, 7, 0]]), "targets": np.array([[-100, 7, 8, -100]])})
    array([[3, 3, 3, 0]])
    >>> real_lengths({"ids": np.array([[5, 6, 7, 0]]), "segments": np.array([[0, 0, 1, -1]])})
    array([[2, 2, 1, 0]])
    """
    if "segments" in batch:
        segments = batch["segments"]
        real = segments != -1
    else:
        segments = np.zeros(batch["ids"].shape, np.int64)
        if "mask" in batch:
            real = batch["mask"].astype(bool)
        else:
            counts = batch["targets"] != IGNORE
            real = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] > 0
    same = (segments[:, :, None] == segments[:, None, :]) & real[:, None, :]
    return same.sum(axis=2) * real
