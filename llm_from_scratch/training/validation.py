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
from .exchange import Exchange
from .objectives import IGNORE, Batch, Objective, check_batch, checksum, counted, named, next_token, shards_of, value_of
from .workers import one_blas_thread, resolve_threads, run_together


def evaluate(
    model: Any,
    batches: Iterable[Mapping[str, Any]],
    *,
    objective: Objective = next_token,
    token_bytes: np.ndarray | None = None,
    threads: int | None = None,
    exchange: Exchange | None = None,
) -> dict[str, Any]:
    """The mean of the objective over everything it counts in all batches, nothing recorded for gradients.

    Returns {"loss": nats per token, "perplexity": e^loss, "tokens": how many targets}, and with `token_bytes` (V,), the
    bytes of text each token stands for (`token_byte_lengths`), also "bytes" and "bits_per_byte". Another objective than
    `next_token` has neither perplexity nor bytes, and "tokens" is what it counts. Every target counts the same,
    whichever batch it stands in. exchange: its ranks share out each batch. Raises ValueError when there is no target at
    all, and when ranks were given other batches.
    """
    check_token_bytes(token_bytes, objective)
    exchange = exchange or Exchange()
    tokens: float = 0
    total, size, read = 0.0, 0, 0
    for batch in batches:
        arrays = check_batch(batch)
        read = checksum(arrays, read)
        tokens += counted(objective, arrays)
        shards = exchange.own(shards_of(objective, arrays, exchange.size * resolve_threads(threads)))
        jobs = [functools.partial(_sum, objective, model, shard) for shard in shards]
        if len(jobs) == 1:
            total += jobs[0]()
        elif jobs:
            with one_blas_thread():
                total += sum(run_together(jobs))
        if token_bytes is not None:
            targets = arrays["targets"]
            size += int(token_bytes[targets[targets != IGNORE]].sum())
    if tokens == 0:
        raise ValueError("there is nothing to evaluate: no batch, or none with a target")
    exchange.agree(lambda: {"what is evaluated": {"checksum": read, "targets": tokens, "bytes": size}})
    total = exchange.sum(total)
    loss = total / tokens
    result: dict[str, Any] = {"loss": loss, "tokens": tokens}
    if objective is next_token:
        result["perplexity"] = math.exp(min(loss, 700.0))
    if token_bytes is not None:
        result["bytes"] = size
        result["bits_per_byte"] = total / math.log(2) / size if size else math.inf
    return result


def check_token_bytes(token_bytes: np.ndarray | None, objective: Objective) -> None:
    """ValueError for bytes of tokens where it is not tokens that are counted."""
    if token_bytes is not None and objective is not next_token:
        raise ValueError(f"bits per byte belong to next_token, not to {named(objective)}: leave token_bytes out")


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


def _sum(objective: Objective, model: Any, batch: Batch) -> float:
    with no_grad():  # the switch is per thread
        return float(value_of(objective, model, batch, 1).data)
