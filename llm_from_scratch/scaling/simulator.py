"""The throughput of a run on a cluster: from sizes, degrees and links to seconds, tokens and bytes of every part.

The model is simple and says what it leaves out. Accelerators compute one thing after the other (`layer_work`); the sums
of tensor parallelism are waited for; a pipeline is played event by event (`pipeline_events`); the data-parallel
reduction hides behind computation or does not, as the run says. Left out are stragglers, failures, loading of data and
whatever the network carries for others, so that a prediction is for a good hour, not for a month.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import number
from .cluster import Cluster
from .layer_work import NUMBER, Efficiency, head_work, model_flops
from .parallel_run import Run, parameters_of, works_of
from .pipeline_events import play
from .quantities import in_bytes
from .run_memory import advice, memory_of

# Bytes of the optimiser's step for a parameter: the gradient twice (once for its norm), master copy and two averages
# read and written, the weight written.
OPTIMIZER_BYTES = 2 * 2 + 3 * 8 + 2
EFFICIENCY = Efficiency()


@dataclass(frozen=True)
class Step:
    """One step of a run. parts: of its seconds: compute, tensor (sums that are waited for), bubble (waiting for other
    stages and for messages), data (the reduction, as far as nothing hides it), optimizer. memory: bytes of the fullest
    accelerator: weights, gradients, optimizer, activations, reserved.

    mfu: FLOPs of the model (three times the forward, attention as if nothing were masked) by the peak; hfu: with what
    is computed again.
    """

    seconds: float
    parts: dict[str, float]
    tokens_per_second_per_gpu: float
    mfu: float
    hfu: float
    flops_per_second_per_gpu: float
    bubble: float
    memory: dict[str, float]
    capacity: float
    gpus: int

    @property
    def needed(self) -> float:
        """Bytes of memory."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.needed <= self.capacity

    def days(self, tokens: float) -> float:
        """For so many tokens."""
        return number("tokens", tokens) / (self.tokens_per_second_per_gpu * self.gpus) / 86_400

    def gpu_hours(self, tokens: float) -> float:
        """For so many tokens."""
        return number("tokens", tokens) / self.tokens_per_second_per_gpu / 3600


def simulate(run: Run, cluster: Cluster, *, efficiency: Efficiency | None = None, check_memory: bool = True) -> Step:
    """One step of `run` on all of `cluster`.

    Raises ValueError for degrees whose product is not the number of accelerators, for what cannot be divided, and,
    unless check_memory is False, for a run that does not fit into memory, with what would make it fit.

    >>> from ..checkpoints import spec
    >>> from .cluster import cluster_of
    >>> step = simulate(Run(spec("llama-65b"), 2048, tensor=8, data=256, zero=1), cluster_of(2048))
    >>> 300 < step.tokens_per_second_per_gpu < 460                                    # the paper: around 380
    True
    """
    for name, value, kind in (("run", run, Run), ("cluster", cluster, Cluster)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")
    if run.gpus != cluster.gpus:
        raise ValueError(
            f"tensor {run.tensor} · pipeline {run.pipeline} · data {run.data} = {run.gpus:,} accelerators, but the "
            f"cluster has {cluster.gpus:,}"
        )
    memory = memory_of(run)
    capacity = cluster.accelerator.bytes
    if check_memory and (needed := sum(memory.values())) > capacity:
        told = ", ".join(f"{name} {in_bytes(size)}" for name, size in memory.items())
        raise ValueError(
            f"{cluster.accelerator.name} has {in_bytes(capacity)}, the run takes {in_bytes(needed)} "
            f"({in_bytes(needed - capacity)} too much: {told}); {advice(run, capacity)}"
        )
    parts, idle = step_seconds(run, cluster, efficiency or EFFICIENCY)
    parts = {name: float(value) for name, value in parts.items()}
    seconds = sum(parts.values())
    forward = model_flops(run.spec, run._length)
    model = 3 * (forward["layers"] + forward["head"])
    again = {"none": 0.0, "selective": forward["attention"], "full": forward["layers"]}[run.recompute]
    speed = run.tokens / seconds / run.gpus
    peak = cluster.accelerator.peak(run.precision)
    return Step(
        seconds=seconds,
        parts=parts,
        tokens_per_second_per_gpu=speed,
        mfu=model * speed / peak,
        hfu=(model + again) * speed / peak,
        flops_per_second_per_gpu=(model + again) * speed,
        bubble=float(idle),
        memory=memory,
        capacity=capacity,
        gpus=run.gpus,
    )


def step_seconds(
    run: Run, cluster: Cluster, how: Efficiency, *, idle: float | None = None
) -> tuple[dict[str, Any], Any]:
    """The parts of a step, and the idle share of its pipeline.

    idle: takes the place of the played pipeline; then the constants may be arrays, and so are the parts.
    """
    chip, tokens = cluster.accelerator, run.micro_batch * run._length
    width = NUMBER * tokens * run.spec.hidden_size
    one_sum = cluster.seconds("all-reduce", width, run.tensor)
    works = works_of(run)
    times = {
        id(work): [w.seconds(chip, how, run.precision) for w in (work.forward, work.backward(run.recompute))]
        for work in works
    }
    head = head_work(run.spec, tokens=tokens, tensor=run.tensor)
    passes: list[list[Any]] = [[], []]  # forward, backward: seconds of every stage
    sums = []
    for stage, layers in enumerate(run.layers_of_stages):
        first, last = stage == 0, stage == run.pipeline * run.chunks - 1
        count = sum(works[i].sums for i in layers)
        # the embedding is summed forward, the gradient of what enters the head backward
        summed = (count + first) * one_sum, ((2 if run.recompute == "full" else 1) * count + last) * one_sum
        for way, at_head in enumerate((head, head.backward())):
            computed = sum(times[id(works[i])][way] for i in layers)
            computed = computed + (at_head.seconds(chip, how, run.precision) if last else 0.0)
            passes[way].append(computed + summed[way])
        sums.append(sum(summed))
    busy = [
        run.microbatches * sum(passes[0][device :: run.pipeline] + passes[1][device :: run.pipeline])
        for device in range(run.pipeline)
    ]
    longest = np.max(busy, axis=0)
    busiest = max(range(run.pipeline), key=lambda device: np.sum(busy[device]))
    if idle is None:
        send = cluster.send_seconds(width / run.tensor, run.tensor * run.data) if run.pipeline > 1 else 0.0
        idle = play(*passes, devices=run.pipeline, microbatches=run.microbatches, send=send).idle
    waited = run.microbatches * sum(sums[busiest :: run.pipeline])
    here = max(parameters_of(run))
    stepped = OPTIMIZER_BYTES * here / (run.data if run.zero else 1) / (chip.bandwidth * how.memory_share)
    parts = {
        "compute": longest - waited,
        "tensor": waited,
        "bubble": longest * idle / (1 - idle),
        "data": _data_seconds(run, cluster, NUMBER * here, *passes),
        "optimizer": stepped,
    }
    return parts, idle


def _data_seconds(run: Run, cluster: Cluster, size: float, forward: list[Any], backward: list[Any]) -> Any:
    """The seconds of gathering weights and reducing gradients of `size` bytes that no computation hides."""
    if run.data == 1:
        return 0.0
    once = cluster.seconds("reduce-scatter", size, run.data, run.tensor)
    ahead, back = sum(forward[:: run.pipeline]), sum(backward[:: run.pipeline])  # a micro-batch on the first device
    depth = max(1, len(run.spec.layers) // run.pipeline)
    # ZeRO 3 gathers the weights for both passes and reduces, each time. Otherwise the sum is a reduction, behind the
    # last backward pass, and a gathering, which ZeRO may leave to the next forward pass. The share of one layer, the
    # last to be ready, cannot be hidden.
    if run.zero == 3:
        times, pairs = run.microbatches, [(3 * once, ahead + back)]
    elif run.zero:
        times, pairs = 1, [(once, back), (once, ahead)]
    else:
        times, pairs = 1, [(2 * once, back)]
    if not run.overlap:
        return times * sum(total for total, _ in pairs)
    return times * sum(np.maximum(total - window, total / depth) for total, window in pairs)
