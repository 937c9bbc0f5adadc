"""The plain way on: every row gets one token, drawn from what the model expects next; then the model reads it."""

from __future__ import annotations

from collections.abc import Sequence

from .rows import Row
from .sampling import Sampling
from .stepping import Stepper, read_prompts, read_tokens


def add_tokens(model: Stepper, rows: Sequence[Row], sampling: Sampling) -> None:
    """Continue every row until it has ended. When half of them have, the memory keeps the others only."""
    running = list(rows)  # those that the memory holds, in its order
    memory, logits = read_prompts(model, running)
    while True:
        for row, scores in zip(running, logits):
            if not row.ended:
                row.add(sampling.choose(scores, row.seen, row.rng))
        going = [place for place, row in enumerate(running) if not row.ended]
        if not going:
            return
        if len(going) <= len(running) / 2 and hasattr(memory, "select"):  # half of the work would be for nothing
            memory.select(going)
            running = [running[place] for place in going]
        logits = read_tokens(model, [row.new[-1] for row in running], memory)
