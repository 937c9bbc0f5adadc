"""Whether a run fits into memory, by what, and what would make it fit."""

from __future__ import annotations

import dataclasses
from typing import Any

from .memory import training_memory
from .parallel_run import Run, parameters_of, works_of
from .quantities import in_bytes

RESERVED = 2e9  # bytes of an accelerator that its driver and the buffers of its messages take: an assumption


def memory_of(run: Run) -> dict[str, float]:
    """Bytes of the fullest accelerator."""
    works, ranges = works_of(run), run.layers_of_stages
    logits = 2 * 4 * run.micro_batch * run._length * run.spec.vocab_size / run.tensor  # and their gradient
    found = []
    for device, count in enumerate(parameters_of(run)):
        mine = [i for layers in ranges[device :: run.pipeline] for i in layers]
        held = _held(run, device) / run.chunks  # micro-batches whose activations wait, in whole devices
        waiting = held * sum(works[i].remembered(run.recompute) for i in mine)
        once = max(works[i].kept + works[i].scores for i in mine) if run.recompute == "full" else 0.0
        once += max(works[i].scores for i in mine) if run.recompute == "selective" else 0.0
        state = training_memory(count)
        gathered = 2 * state.weights / len(mine) if run.zero == 3 and run.data > 1 else 0.0  # a layer, and the next
        shares = [run.data if run.zero >= stage else 1 for stage in (3, 2, 1)]
        found.append({
            "weights": state.weights / shares[0] + gathered,
            "gradients": state.gradients / shares[1],
            "optimizer": (state.master + state.optimizer) / shares[2],
            "activations": waiting + once + logits * (device == run.pipeline - 1),
            "reserved": RESERVED,
        })  # fmt: skip
    return max(found, key=lambda memory: sum(memory.values()))


def _held(run: Run, device: int) -> int:
    """Of how many stages a device holds the activations at most: `pipeline_events.play` counts the same."""
    first = run.pipeline - device - 1
    first = first if run.chunks == 1 else 2 * first + (run.chunks - 1) * run.pipeline
    return min(first + 1, run.microbatches * run.chunks)


def advice(run: Run, capacity: float) -> str:
    """What would make a run fit."""
    changes: list[dict[str, Any]] = [{"zero": 1}, {"flash": True}, {"recompute": "selective"}, {"recompute": "full"},
                                     {"sequence_parallel": True}, {"micro_batch": 1}]  # fmt: skip
    changes += [] if run.pipeline > 1 else [{"zero": 2}, {"zero": 3}]
    changes += [{"recompute": "full", "zero": 1}, {"recompute": "full", "zero": 1, "micro_batch": 1}]
    found = []
    for change in changes:
        other = dataclasses.replace(run, **change)
        weaker = change.get("zero", 3) < run.zero or (run.recompute == "full" and change == {"recompute": "selective"})
        if other != run and not weaker and (needed := sum(memory_of(other).values())) <= capacity:
            told = ", ".join(f"{name} {value}" for name, value in change.items())
            found.append(f"{told} would do ({in_bytes(needed)})")
    if found:
        return "; ".join(found[:2])
    return "raise the tensor or pipeline degree, or take accelerators with more memory"
