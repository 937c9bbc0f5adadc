"""Perplexity of a text: exp of the mean surprise a token, over windows as long as the model's context.

Which tokens are scored, and after how much context, decides what the number means. Here a window puts `context` tokens
in and predicts the one after each; windows begin every `stride` tokens; every token after the first is scored once, by
the first window that reaches it. With stride = context each token is predicted from what its window holds before it,
some from a single token; the smaller the stride, the more context, the lower the number, and the more work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..checks import check_ids
from .intervals import Estimate, bootstrap

_IGNORED = -100
_BLOCK = 64  # neighbouring tokens that are drawn together when the interval is made: they are not independent


@dataclass(frozen=True)
class Perplexity(Estimate):
    """value: the perplexity; count: the tokens scored; log_probabilities (N - 1,): of each token after the first."""

    log_probabilities: np.ndarray

    @property
    def nats(self) -> float:
        """The mean surprise a token."""
        return float(np.log(self.value))


def perplexity(
    model: Any,
    ids: Any,
    *,
    context: int,
    stride: int | None = None,
    batch_size: int = 8,
    seed: int = 0,
    beyond: bool = False,
) -> Perplexity:
    """Perplexity of ids (N,) under the model, N at least 2; or of a list of such arrays, each a text scored from its
    own beginning.

    context: tokens that a window puts in; stride: how far windows are apart, at most `context` (the default). Where a
    text begins with a begin token, it should stand in `ids`: it is read and not scored. batch_size: windows at a time.
    beyond: allow windows longer than the model was made for, where its positions can be computed.
    The interval is from blocks of 64 neighbouring tokens drawn with replacement.

    Raises TypeError or ValueError for ids that are no row of token ids, and for windows that leave tokens out.
    """
    several = isinstance(ids, (list, tuple)) and any(isinstance(text, np.ndarray) and text.ndim for text in ids)
    texts = [np.asarray(text) for text in ids] if several else [np.asarray(ids)]
    if not several and texts[0].ndim == 2 and len(texts[0]) == 1:
        texts = [texts[0][0]]
    for text in texts:
        if text.ndim != 1 or len(text) < 2:
            raise ValueError(f"a text of at least 2 tokens (N,) was expected, got {text.shape}")
    stride = context if stride is None else stride
    for name, number in (("context", context), ("stride", stride), ("batch_size", batch_size)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name} must be a positive integer, not {number!r}")
    if stride > context:
        raise ValueError(f"a stride of {stride} beyond the context of {context} would leave tokens out: lower it")
    limit = getattr(model, "position_limit", None)
    if limit is not None and context > limit:
        raise ValueError(f"windows of {context} tokens exceed the {limit} positions of this model")
    if not beyond and context > model.spec.context_length:
        raise ValueError(
            f"windows of {context} tokens exceed the {model.spec.context_length} that this model was made for: lower "
            "context, or pass beyond=True to see what it makes of more"
        )
    for text in texts:
        check_ids(text, model.spec.vocab_size)
    scores = np.concatenate([_scored(model, text, context, stride, batch_size) for text in texts])
    borders = np.arange(0, len(scores), _BLOCK)
    sizes = np.diff(np.append(borders, len(scores)))
    mean = bootstrap(-np.add.reduceat(scores, borders), seed, counts=sizes)
    with np.errstate(over="ignore"):
        low, high = np.exp(mean.interval)
        return Perplexity(float(np.exp(mean.value)), (float(low), float(high)), len(scores), scores)


def _windows(length: int, context: int, stride: int) -> Any:
    """Where each window starts and ends, and the first token that it scores: windows [start, end), tokens to end."""
    scored = 1
    for start in range(0, length, stride):
        end = min(start + context, length - 1)
        if end >= scored:
            yield start, end, scored
        scored = end + 1
        if scored == length:
            return


def _scored(model: Any, ids: np.ndarray, context: int, stride: int, batch_size: int) -> np.ndarray:
    """The log-probability of each token after the first."""
    scores = np.empty(len(ids) - 1)
    windows = list(_windows(len(ids), context, stride))
    while windows:
        alike = [w for w in windows[:batch_size] if w[1] - w[0] == windows[0][1] - windows[0][0]]
        windows = windows[len(alike) :]
        targets = np.stack([ids[start + 1 : end + 1] for start, end, _ in alike]).astype(np.int64)
        for row, (start, _, new) in zip(targets, alike):
            row[: new - start - 1] = _IGNORED
        batch = {"ids": np.stack([ids[start:end] for start, end, _ in alike]), "targets": targets}
        with no_grad():
            found = model.token_log_probabilities(batch).data
        for row, (start, end, new) in zip(found, alike):
            scores[new - 1 : end] = row[new - start - 1 :]
    return scores
