"""Direct logit attribution: how much of a logit each part of a model has written itself.

What the head reads is a sum (`stream_parts`) and the head is linear, so a logit is the sum of what the head says to
each part alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from .stream import rounding, stream_parts


@dataclasses.dataclass(frozen=True)
class Attribution:
    """values (N, B, K): what part `names[n]` adds to each logit asked for; they add up to `logits` (B, K)."""

    names: list[str]
    values: np.ndarray
    logits: np.ndarray

    def largest(self, count: int = 10, *, row: int = 0, token: int = 0) -> list[tuple[str, float]]:
        """The parts that move one logit most, either way, the strongest first."""
        column = self.values[:, row, token]
        order = np.argsort(-np.abs(column), kind="stable")[:count]
        return [(self.names[n], float(column[n])) for n in order]


def direct_logit_attribution(
    model: Any, ids: Any, tokens: Sequence[int] | np.ndarray | None = None, *, position: int = -1, heads: bool = False
) -> Attribution:
    """Share out the logits of `tokens` (K,) at one position of ids (B, T) among the parts of the model.

    tokens: None for the whole vocabulary. The difference of two columns says who prefers one token to the other, in
    which whatever raises all logits alike drops out. position, heads: as for `stream_parts`; the head's bias is the
    part "head", and "head.rounding" what it rounds, where it does.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=2, n_head=2, n_embd=8, vocab_size=5, n_positions=8)
    >>> shares = direct_logit_attribution(model, [[3, 1]], [4, 0])
    >>> bool(np.allclose(shares.values.sum(axis=0), model([[3, 1]]).data[:, -1, [4, 0]], atol=1e-5))
    True

    Raises TypeError or ValueError for tokens that are no ids of the model and a position outside the text.
    """
    chosen = np.arange(model.spec.vocab_size) if tokens is None else np.asarray(tokens)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise TypeError(f"tokens must be a list of ids, got {tokens!r}")
    if chosen.min() < 0 or chosen.max() >= model.spec.vocab_size:
        raise ValueError(f"tokens must be ids in 0..{model.spec.vocab_size - 1}, got {tokens!r}")
    parts = stream_parts(model, ids, position=position, heads=heads)
    shares = np.stack([*parts.values(), np.zeros_like(next(iter(parts.values())))])  # the head says its bias to nothing
    with no_grad():
        values = model.head(Tensor(shares)).data
        logits = model(ids).data[:, position][:, chosen]
    bias, values = values[-1][..., chosen], values[:-1][..., chosen] - values[-1:][..., chosen]
    written = dict(zip(parts, values)) | ({"head": bias} if bias.any() else {})
    written |= rounding("head", model.head, logits, written)
    return Attribution(list(written), np.stack(list(written.values())), logits)
