"""Rows that have ended cost nothing for long, and leave the others as they were."""

import numpy as np

from llm_from_scratch.checkpoints import build
from llm_from_scratch.generation import generate


def test_rows_that_have_ended_are_no_longer_computed():
    model = build("gpt2", n_embd=16, n_layer=2, n_head=2, vocab_size=50, n_positions=32, initializer_range=0.3, seed=1,
                  dtype=np.float64)  # fmt: skip

    class Counting:
        position_limit = None

        def new_memory(self, batch_size):
            return model.new_memory(batch_size)

        def step(self, ids, memory, mask=None):
            rows.append(len(ids))
            return model.step(ids, memory, mask)

    rows = []
    settings = {"max_new_tokens": 25, "stop_tokens": list(range(1, 7)), "seed": 3}
    ids = np.random.default_rng(0).integers(7, 50, size=(12, 3))
    together = generate(Counting(), ids, **settings)
    assert rows[0] == 12 and rows == sorted(rows, reverse=True) and 0 < rows[-1] < 6
    for row in range(12):
        alone = model.generate(ids[row : row + 1], **{**settings, "seed": 3 + row})[0]
        assert together[row, : len(alone)].tolist() == alone.tolist()
