from __future__ import annotations

import numpy as np
import pytest
from standin import StandIn, validation

from llm_from_scratch.training import evaluate


def test_evaluation_counts_every_target_once():
    model = StandIn(seed=2)
    batches = list(validation())
    losses, counts = [], []
    for batch in batches:
        for row in range(len(batch["ids"])):
            part = {name: array[row : row + 1] for name, array in batch.items()}
            counts.append(int((part["targets"] != -100).sum()))
            losses.append(model.loss(part, normaliser=1).item())
    token_bytes = np.arange(11)
    found = evaluate(model, batches, token_bytes=token_bytes)
    all_targets = np.concatenate([b["targets"][b["targets"] != -100] for b in batches])
    assert found["tokens"] == sum(counts) == 199
    assert found["loss"] == pytest.approx(sum(losses) / sum(counts), rel=1e-12)
    assert found["bytes"] == token_bytes[all_targets].sum()
    assert found["bits_per_byte"] == pytest.approx(sum(losses) / np.log(2) / found["bytes"])
    assert found["perplexity"] == pytest.approx(np.exp(found["loss"]))
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(model, [])
