"""The loss on held-out text, per token and per byte.

A loss per token depends on how much text a token holds, so two tokenizers cannot be compared by it; bits per byte can.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd import no_grad
from .accumulate import IGNORE, check_batch, split_rows
from .workers import one_blas_thread, resolve_threads, run_together


def evaluate(
    model: Any,
    batches: Iterable[Mapping[str, Any]],
    *,
    token_bytes: np.ndarray | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """The mean loss over all targets of all batches, nothing recorded for gradients.

    Returns {"loss": nats per token, "perplexity": e^loss, "tokens": how many targets}, and with `token_bytes` (V,), the
    bytes of text each token stands for (`token_byte_lengths`), also "bytes" and "bits_per_byte". Every target counts
    the same, whichever batch it stands in. Raises ValueError when there is no target at all.
    """
    total, tokens, size = 0.0, 0, 0
    for batch in batches:
        arrays, count = check_batch(batch)
        if count == 0:
            continue
        shards = split_rows(arrays, resolve_threads(threads, most=len(arrays["ids"])))
        if len(shards) == 1:
            total += _loss_sum(model, shards[0])
        else:
            with one_blas_thread():
                total += sum(run_together([functools.partial(_loss_sum, model, shard) for shard in shards]))
        tokens += count
        if token_bytes is not None:
            targets = arrays["targets"]
            size += int(token_bytes[targets[targets != IGNORE]].sum())
    if tokens == 0:
        raise ValueError("there is nothing to evaluate: no batch, or none with a target")
    loss = total / tokens
    result: dict[str, Any] = {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "tokens": tokens}
    if token_bytes is not None:
        result["bytes"] = size
        result["bits_per_byte"] = total / math.log(2) / size if size else math.inf
    return result


def token_byte_lengths(tokenizer: Any, vocabulary_size: int) -> np.ndarray:
    """`tokenizer.byte_lengths()` for a model's vocabulary, (V,): ids that only the model has count as zero bytes.

    Raises ValueError when the tokenizer has more tokens than the model.
    """
    known = tokenizer.byte_lengths()
    if len(known) > vocabulary_size:
        raise ValueError(
            f"the tokenizer has {len(known)} tokens, the model only {vocabulary_size}: they do not belong together"
        )
    lengths = np.zeros(vocabulary_size, np.int64)
    lengths[: len(known)] = known
    return lengths


def _loss_sum(model: Any, batch: dict[str, np.ndarray]) -> float:
    with no_grad():  # the switch is per thread
        return float(model.loss(batch, normaliser=1).data)
