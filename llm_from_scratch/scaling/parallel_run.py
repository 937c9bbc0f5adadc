"""A run as it is described: a model, how it is divided among accelerators, and what each of them gets of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..models.decoder import Decoder
from ..models.spec import ModelSpec
from .checking import whole
from .layer_work import LayerWork, layer_work

RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True)
class Run:
    """How a model is trained. tensor · pipeline · data accelerators work on one step.

    micro_batch: texts at once on a data-parallel rank; global_batch: texts of a step. length: tokens of a text, by
    default the model's context. zero: what data-parallel ranks share: 1 the optimiser, 2 gradients too, 3 weights too.
    recompute: in the backward pass, "none", "selective" (attention alone) or "full" (each layer). chunks: stages a
    device, 1 without interleaving. flash: attention in one kernel, its scores never written. sequence_parallel: norms
    and residuals are divided among tensor-parallel ranks. overlap: the data-parallel reduction goes on while the
    backward pass computes.
    """

    spec: ModelSpec
    global_batch: int
    micro_batch: int = 1
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    length: int | None = None
    zero: int = 0
    recompute: str = "none"
    chunks: int = 1
    flash: bool = True
    sequence_parallel: bool = False
    overlap: bool = True
    precision: str = "bfloat16"

    def __post_init__(self) -> None:
        if not isinstance(self.spec, ModelSpec):
            raise TypeError(f"spec must be a ModelSpec, not {type(self.spec).__name__}")
        for name in ("global_batch", "micro_batch", "tensor", "pipeline", "data", "chunks"):
            whole(name, getattr(self, name))
        if self.length is not None:
            whole("length", self.length)
            if self.spec.positions is not None and self.length > self.spec.positions.count:
                raise ValueError(f"length is {self.length}, but the model has {self.spec.positions.count} positions")
        for name, value, known in (("zero", self.zero, range(4)), ("recompute", self.recompute, RECOMPUTE)):
            if isinstance(value, bool) or value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}; got {value!r}")
        if self.global_batch % (self.data * self.micro_batch):
            raise ValueError(
                f"a global batch of {self.global_batch} is no whole number of micro-batches for each of {self.data} "
                f"data-parallel ranks: take a multiple of {self.data} · {self.micro_batch} = "
                f"{self.data * self.micro_batch}"
            )
        if self.zero > 1 and self.pipeline > 1:
            raise ValueError(
                f"with a pipeline gradients and weights stay until all micro-batches are through: zero is 0 or 1, "
                f"not {self.zero}"
            )
        if self.chunks > 1 and (self.pipeline == 1 or self.microbatches % self.pipeline):
            raise ValueError(
                f"interleaving ({self.chunks} chunks) needs a pipeline and a multiple of {self.pipeline} micro-batches "
                f"a rank; there are {self.microbatches}"
            )
        _ = self.layers_of_stages  # raises if they cannot be divided

    @property
    def gpus(self) -> int:
        """Accelerators at work."""
        return self.tensor * self.pipeline * self.data

    @property
    def microbatches(self) -> int:
        """Of a data-parallel rank in a step."""
        return self.global_batch // (self.data * self.micro_batch)

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.global_batch * self._length

    @property
    def _length(self) -> int:
        return self.length or self.spec.context_length

    @property
    def layers_of_stages(self) -> list[range]:
        """The layers of each stage: equally many; if that is impossible, the embedding and the head count as a layer.

        (The latter is how BLOOM's 70 layers went into 12 stages, and GLM-130B's into 8.)
        """
        layers, stages = len(self.spec.layers), self.pipeline * self.chunks
        ends = int(bool(layers % stages))
        each, rest = divmod(layers + 2 * ends, stages)
        if rest or each <= ends:
            fitting = [n for n in range(1, layers + 1) if not layers % n or not (layers + 2) % n]
            raise ValueError(
                f"{layers} layers, or {layers + 2} places with the embedding and the head, cannot be divided among "
                f"{stages} stages (pipeline {self.pipeline} · chunks {self.chunks}); "
                f"{', '.join(map(str, fitting))} would do"
            )
        borders = [0, *(each * (i + 1) - ends for i in range(stages - 1)), layers]
        return [range(*pair) for pair in zip(borders, borders[1:])]


def works_of(run: Run) -> list[LayerWork]:
    """The work of every layer; equal layers share one."""
    made: list[tuple[Any, LayerWork]] = []
    found = []
    for layer in run.spec.layers:
        work = next((work for other, work in made if other == layer), None)
        if work is None:
            work = layer_work(
                layer, run.spec.hidden_size, rows=run.micro_batch, length=run._length, tensor=run.tensor,
                flash=run.flash, split_sequence=run.sequence_parallel,
            )  # fmt: skip
            made.append((layer, work))
        found.append(work)
    return found


def parameters_of(run: Run) -> list[float]:
    """Of every device, after they are divided among tensor-parallel ranks."""
    layers = [0.0] * len(run.spec.layers)
    outside = {"embedding": 0.0, "head": 0.0}
    for name, parameter in Decoder(run.spec).named_parameters():
        first, *rest = name.split(".")
        if first == "layers":
            layers[int(rest[0])] += parameter.size
        else:
            outside["head" if first in ("head", "norm") else "embedding"] += parameter.size
    if run.spec.tied and run.pipeline > 1:  # both ends have the matrix
        outside["head"] += run.spec.vocab_size * (run.spec.embedding_size or run.spec.hidden_size)
    found = [0.0] * run.pipeline
    for stage, mine in enumerate(run.layers_of_stages):
        found[stage % run.pipeline] += sum(layers[i] for i in mine)
    found[0] += outside["embedding"]
    found[-1] += outside["head"]
    return [count / run.tensor for count in found]
