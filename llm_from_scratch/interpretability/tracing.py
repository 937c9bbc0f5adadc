"""Activation patching: which part, at which token, carries what makes the difference between two texts.

Run the model on a text that it gets right and on one that is corrupted in a word; run the corrupted one again with one
activation taken from the right one. Where that brings the answer back, the information passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..models.patching import watched


def activation_patching(
    model: Any, clean: Any, corrupted: Any, metric: Callable[[np.ndarray], float], *, part: str = ""
) -> np.ndarray:
    """How much of the metric comes back when one activation is taken from the clean run: (layers, T).

    clean, corrupted (1, T): token ids of the same length. metric: of logits (1, T, V), such as the difference of two
    logits at the end. part: whose output is replaced, at one token of one layer: "" the layer's own (the stream),
    "mixer", "feed_forward". 0: the answer is as wrong as in the corrupted run, 1: as right as in the clean one. A layer
    without such a part is nan.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=2, n_head=2, n_embd=8, vocab_size=9, n_positions=8)
    >>> came_back = activation_patching(model, [[3, 1, 4]], [[5, 1, 4]], lambda logits: float(logits[0, -1, 2]))
    >>> came_back.shape, abs(came_back[-1]).round(6)       # in the end only the last token's stream is read
    ((2, 3), array([0., 0., 1.]))

    Source: Meng et al. 2022, arXiv:2202.05262, section 2 ("causal tracing"); Wang et al. 2022, arXiv:2211.00593.
    """
    clean, corrupted = np.asarray(clean), np.asarray(corrupted)
    if clean.shape != corrupted.shape or clean.ndim != 2 or len(clean) != 1:
        raise ValueError(
            f"the two texts must be single rows of the same length, got {clean.shape} and {corrupted.shape}"
        )
    paths = [
        f"layers.{i}.{part}" if part else f"layers.{i}"
        for i, layer in enumerate(model.layers)
        if not part or hasattr(layer, part)
    ]
    if not paths:
        raise ValueError(f"no layer has a part {part!r}; they have {', '.join(_functions(model))}")
    with no_grad():
        with watched(model, paths) as seen:
            right = float(metric(model(clean).data))
        wrong = float(metric(model(corrupted).data))
        if not np.isfinite(right - wrong) or right == wrong:
            raise ValueError(
                f"the metric is {right:g} for the clean text and {wrong:g} for the corrupted one: no effect"
            )
        result = np.full((len(model.layers), clean.shape[1]), np.nan)
        for path in paths:
            kept = seen[path][1].data
            for t in range(clean.shape[1]):
                with model.patch(path, lambda out, kept=kept, t=t: _with(out, kept, t - clean.shape[1])):
                    result[int(path.split(".")[1]), t] = (float(metric(model(corrupted).data)) - wrong) / (
                        right - wrong
                    )
    return result


def _with(out: Tensor, kept: np.ndarray, t: int) -> Tensor:
    values = out.data.copy()
    values[:, t] = kept[:, t]
    return Tensor(values)


def _functions(model: Any) -> list[str]:
    return sorted({name for layer in model.spec.layers for name in layer.functions})
