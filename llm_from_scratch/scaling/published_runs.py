"""What papers report of their runs, beside what the simulator says of them; and how its two constants were found.

Two numbers are fitted, the matrix share S and the size H of `layer_work.Efficiency`, one pair for all: the least mean
square of log(predicted / reported) over the runs whose degrees are published. How far such a prediction is off for a
run that was not looked at is told by leaving out each in turn. The other rows, where a degree had to be guessed, or the
report is rounded months of wall time with everything that went wrong in them, are predicted and not fitted.

Speeds are compared as tokens a second and accelerator. Where a paper prints FLOPs a second, they are divided by the
FLOPs of a token as that paper counts them: everything computed, attention as if nothing were masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checkpoints import spec as find_spec
from .cluster import Cluster, cluster_of
from .layer_work import Efficiency, model_flops
from .parallel_run import Run
from .simulator import EFFICIENCY, Step, simulate, step_seconds

_SLOW = 50e9  # a node's network where it was four ports of 100 gigabits: BLOOM's Omni-Path, the p4d nodes of AWS
_MEGATRON = "2104.04473, table 1"
_ZERO = "2104.04473, table 2"
_MTNLG = "2201.11990, section 3.3"
_KORTHIKANTI = "2205.05198, table 5"
_FOUNDRY = "github.com/mosaicml/llm-foundry, scripts/train/benchmarking"


@dataclass(frozen=True)
class PublishedRun:
    """A run, its cluster, and its reported speed: `value` in `unit`, which is one of

    "tokens/s" and "TFLOP/s" (of an accelerator, recomputation included), "s" (a step), "GPU hours" and "days" for
    `trained` tokens. assumed: what no paper says. fitted: whether the constants were chosen with it.
    """

    name: str
    run: Run
    cluster: Cluster
    value: float
    unit: str
    source: str
    assumed: str = ""
    fitted: bool = True
    trained: float = 0.0

    @property
    def tokens_per_second_per_gpu(self) -> float:
        """As reported."""
        run = self.run
        if self.unit == "tokens/s":
            return self.value
        if self.unit == "TFLOP/s":
            forward = model_flops(run.spec, run.length or run.spec.context_length)
            again = {"none": 0.0, "selective": forward["attention"], "full": forward["layers"]}[run.recompute]
            return self.value * 1e12 / (3 * (forward["layers"] + forward["head"]) + again)
        seconds = {"s": self.value * run.gpus, "GPU hours": self.value * 3600, "days": self.value * 86_400 * run.gpus}
        return (run.tokens if self.unit == "s" else self.trained) / seconds[self.unit]

    def predicted(self, efficiency: Efficiency | None = None) -> Step:
        """The simulator's step; memory is told, not enforced."""
        return simulate(self.run, self.cluster, efficiency=efficiency, check_memory=False)


def _gpt(width: int, layers: int, heads: int, vocabulary: int = 51_200, length: int = 2_048) -> Any:
    return find_spec({
        "model_type": "gpt2", "n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": length,
        "vocab_size": vocabulary,
    })  # fmt: skip


def _megatron(
    name: str, shape: tuple[int, int, int], gpus: int, batch: int, degrees: tuple[int, int], value: float,
    source: str, assumed: str = "", unit: str = "TFLOP/s", **settings: Any,
) -> PublishedRun:  # fmt: skip
    tensor, pipeline = degrees
    settings = dict[str, Any](recompute="full", flash=False, overlap=False) | settings
    run = Run(_gpt(*shape), batch, tensor=tensor, pipeline=pipeline, data=gpus // tensor // pipeline, **settings)
    return PublishedRun(name, run, cluster_of(gpus), value, unit, source, assumed)


def _foundry(
    width: int, layers: int, heads: int, gpus: int, micro: int, times: int, value: float,
    *, gpu: str = "a100", length: int = 2048, kept: bool = False, fitted: bool = True,
) -> PublishedRun:  # fmt: skip
    spec = find_spec({
        "model_type": "mpt", "d_model": width, "n_layers": layers, "n_heads": heads, "max_seq_len": length,
        "vocab_size": 50_368,
    })  # fmt: skip
    run = Run(spec, gpus * micro * times, micro, data=gpus, zero=3, recompute="none" if kept else "full")
    size = {8192: "70B", 7168: "30B", 5120: "13B", 4096: "7B", 2560: "3B", 2048: "1B"}[width]
    told = f"MPT-{size}, {length // 1024}k, {gpus} {gpu.upper().replace('A100-40GB', 'A100-40')}"
    return PublishedRun(told, run, cluster_of(gpus, gpu), value, "tokens/s", _FOUNDRY, fitted=fitted)


def _named(
    name: str, model: str, gpus: int, batch: int, value: float, unit: str, source: str, *, gpu: str = "a100",
    network: float | None = None, assumed: str = "", fitted: bool = True, trained: float = 0.0, **settings: Any,
) -> PublishedRun:  # fmt: skip
    data = gpus // settings.get("tensor", 1) // settings.get("pipeline", 1)
    run = Run(find_spec(model), batch, data=data, **settings)
    return PublishedRun(
        name, run, cluster_of(gpus, gpu, network=network), value, unit, source, assumed, fitted, trained
    )


_MICRO = "micro-batch"
_MOST = "degrees, micro-batch, recomputation"
_SIZES = "micro-batch and interleaving"
_PYTHIA = "2304.01373, table 5"
_LLAMA, _LLAMA_2 = "2302.13971, table 15", "2307.09288, table 2"


def _guess(what: str) -> dict[str, Any]:
    return {"assumed": what, "fitted": False}


def _llama(trained: float = 0.0) -> dict[str, Any]:
    told = "degrees (tensor as the files are split), micro-batch" + ", accelerators" * bool(trained)
    return {"zero": 1, "recompute": "selective", "sequence_parallel": True, "trained": trained, **_guess(told)}


_pythia = {"gpu": "a100-40gb", "zero": 1, "recompute": "full", "trained": 299.9e9, **_guess(_MOST)}
_falcon = {"gpu": "a100-40gb", "network": _SLOW, "zero": 1, **_guess("micro-batch, recomputation")}
_HUGE = (20480, 105, 128)

PUBLISHED_RUNS: tuple[PublishedRun, ...] = (
    _megatron("Megatron 1.7B", (2304, 24, 24), 32, 512, (1, 1), 137, _MEGATRON, _MICRO, micro_batch=4),
    _megatron("Megatron 3.6B", (3072, 30, 32), 64, 512, (2, 1), 138, _MEGATRON, _MICRO, micro_batch=4),
    _megatron("Megatron 7.5B", (4096, 36, 32), 128, 512, (4, 1), 142, _MEGATRON, _MICRO, micro_batch=4),
    _megatron("Megatron 18.4B", (6144, 40, 48), 256, 1024, (8, 1), 135, _MEGATRON, _MICRO, micro_batch=4),
    _megatron("Megatron 39.1B", (8192, 48, 64), 512, 1536, (8, 2), 138, _MEGATRON, _SIZES, chunks=2),
    _megatron("Megatron 76.1B", (10240, 60, 80), 1024, 1792, (8, 4), 140, _MEGATRON, _SIZES, chunks=3),
    _megatron("Megatron 145.6B", (12288, 80, 96), 1536, 2304, (8, 8), 148, _MEGATRON, _SIZES, chunks=2),
    _megatron("Megatron 310.1B", (16384, 96, 128), 1920, 2160, (8, 16), 155, _MEGATRON, _SIZES, chunks=2),
    _megatron("Megatron 529.6B", _HUGE, 2520, 2520, (8, 35), 163, _MEGATRON, _SIZES, chunks=3),
    _megatron("Megatron 1T", (25600, 128, 160), 3072, 3072, (8, 64), 163, _MEGATRON, _SIZES, chunks=2),
    _megatron("GPT-3 175B, 384", (12288, 96, 96), 384, 1536, (8, 12), 153, _ZERO),
    _megatron("GPT-3 175B, 768", (12288, 96, 96), 768, 1536, (8, 12), 149, _ZERO),
    _megatron("GPT-3 175B, 1,536", (12288, 96, 96), 1536, 1536, (8, 12), 141, _ZERO),
    _megatron("530B, 560", _HUGE, 560, 2240, (8, 35), 171, _ZERO),
    _megatron("530B, 2,240", _HUGE, 2240, 2240, (8, 35), 159, _ZERO),
    _megatron("MT-NLG 530B, 2,240", _HUGE, 2240, 1920, (8, 35), 60.1, _MTNLG, unit="s"),
    _megatron("MT-NLG 530B, 3,360", _HUGE, 3360, 1920, (8, 35), 44.4, _MTNLG, unit="s"),
    _megatron("22B, recomputed", (6144, 48, 64), 8, 4, (8, 1), 1.42, _KORTHIKANTI, unit="s", micro_batch=4),
    _megatron("22B, selective", (6144, 48, 64), 8, 4, (8, 1), 1.10, _KORTHIKANTI, unit="s", micro_batch=4,
              recompute="selective", sequence_parallel=True),
    _megatron("175B, recomputed", (12288, 96, 96), 64, 64, (8, 8), 18.13, _KORTHIKANTI, unit="s", chunks=3),
    _megatron("175B, selective", (12288, 96, 96), 64, 64, (8, 8), 13.75, _KORTHIKANTI, unit="s", chunks=3,
              recompute="selective", sequence_parallel=True),
    _megatron("530B, selective", _HUGE, 280, 280, (8, 35), 37.83, _KORTHIKANTI, unit="s", chunks=3,
              recompute="selective", sequence_parallel=True),
    _megatron("1T, selective", (25600, 128, 160), 512, 512, (8, 64), 71.49, _KORTHIKANTI, unit="s",
              recompute="selective", sequence_parallel=True),
    _named("GPT-NeoX-20B", "gpt-neox-20b", 96, 1536, 117, "TFLOP/s", "2204.06745, section 3; its 20B.yml",
           gpu="a100-40gb", network=100e9, micro_batch=4, tensor=2, pipeline=4, zero=1, recompute="full", flash=False),
    _named("BLOOM-176B", "bloom-176b", 384, 2048, 150, "TFLOP/s", "2211.05100, section 3.4; bigscience tr11-176B-ml",
           network=_SLOW, micro_batch=2, tensor=4, pipeline=12, zero=1, recompute="full", flash=False, overlap=False),
    _named("GLM-130B", "glm-130b", 768, 4224, 135, "TFLOP/s", "2210.02414, section 2.3; its glm-130b.sh",
           gpu="a100-40gb", tensor=4, pipeline=8, zero=1, recompute="full", flash=False, overlap=False),
    _named("OPT-175B", "opt-175b", 992, 992, 147, "TFLOP/s", "2205.01068, section 2.4",
           micro_batch=8, tensor=8, zero=3, recompute="full", flash=False, **_guess(_MOST)),
    _named("Pythia-1.4B", "pythia-1.4b", 64, 1024, 7_120, "GPU hours", _PYTHIA, micro_batch=16, **_pythia),
    _named("Pythia-6.9B", "pythia-6.9b", 128, 1024, 33_500, "GPU hours", _PYTHIA, micro_batch=8, tensor=2, **_pythia),
    _named("Pythia-12B", "pythia-12b", 256, 1024, 72_300, "GPU hours", _PYTHIA, micro_batch=8, tensor=4, **_pythia),
    _named("LLaMA 65B", "llama-65b", 2048, 2048, 380, "tokens/s", "2302.13971, section 2.4", tensor=8, **_llama()),
    _named("LLaMA 33B", "llama-33b", 2048, 2048, 530_432, "GPU hours", _LLAMA, tensor=4, **_llama(1.4e12)),
    _named("LLaMA 13B", "llama-13b", 1024, 2048, 135_168, "GPU hours", _LLAMA, tensor=2, **_llama(1e12)),
    _named("LLaMA 7B", "llama-7b", 512, 2048, 82_432, "GPU hours", _LLAMA, **_llama(1e12)),
    _named("LLaMA-2 7B", "llama-2-7b", 1024, 1024, 184_320, "GPU hours", _LLAMA_2, **_llama(2e12)),
    _named("LLaMA-2 13B", "llama-2-13b", 1024, 1024, 368_640, "GPU hours", _LLAMA_2, tensor=2, **_llama(2e12)),
    _named("LLaMA-2 70B", "llama-2-70b", 2048, 1024, 1_720_320, "GPU hours", _LLAMA_2, tensor=8, **_llama(2e12)),
    _named("Falcon-40B", "falcon-40b", 384, 1152, 61, "days", "its card: two months", tensor=8, pipeline=4,
           trained=1e12, **_falcon),
    _named("Falcon-180B", "falcon-180b", 4096, 2048, 7.0e6, "GPU hours", "its card, its announcement", tensor=8,
           pipeline=8, trained=3.5e12, **_falcon),
    _named("MPT-7B", "mpt-7b", 440, 1760, 9.5, "days", "its announcement", gpu="a100-40gb", zero=3, recompute="full",
           micro_batch=4, trained=1e12, **_guess("micro-batch, recomputation")),
    _foundry(8192, 80, 64, 64, 8, 4, 410),
    _foundry(8192, 80, 64, 32, 2, 16, 373),
    _foundry(7168, 48, 56, 8, 3, 21, 916),
    _foundry(5120, 40, 40, 8, 2, 3, 2262, kept=True),
    _foundry(4096, 32, 32, 8, 6, 2, 4641, kept=True),
    _foundry(4096, 32, 32, 8, 8, 2, 3206, length=8192),
    _foundry(2560, 32, 20, 8, 10, 2, 10_811, kept=True),
    _foundry(2048, 24, 16, 8, 14, 4, 20_513, kept=True),
    _foundry(7168, 48, 56, 128, 6, 1, 865, gpu="a100-40gb"),
    _foundry(5120, 40, 40, 128, 16, 1, 1972, gpu="a100-40gb"),
    _foundry(4096, 32, 32, 128, 18, 1, 3623, gpu="a100-40gb"),
    _foundry(8192, 80, 64, 64, 8, 4, 1039, gpu="h100", fitted=False),
    _foundry(4096, 32, 32, 8, 6, 1, 10_643, gpu="h100", kept=True, fitted=False),
)  # fmt: skip

SHARES = np.round(np.arange(0.50, 1.001, 0.01), 2)  # the grid of `fit`
SIZES = np.arange(0.0, 201.0, 5.0)


def log_errors(rows: tuple[PublishedRun, ...], efficiency: Efficiency) -> np.ndarray:
    """log(predicted / reported speed) of each row, (rows, ...) with what shape the constants have.

    The idle share of a pipeline hardly depends on the constants; it is played with the usual ones.
    """
    found = []
    for row in rows:
        idle = step_seconds(row.run, row.cluster, EFFICIENCY)[1]
        parts, _ = step_seconds(row.run, row.cluster, efficiency, idle=idle)
        found.append(np.log(row.run.tokens / sum(parts.values()) / row.run.gpus / row.tokens_per_second_per_gpu))
    return np.array(found)


@dataclass(frozen=True)
class Fitted:
    """The constants, and log errors of the fitted rows, by name: with them, with those that all other rows choose, and
    with those that the rows of all other sources choose.
    """

    efficiency: Efficiency
    errors: dict[str, float]
    left_out: dict[str, float]
    source_left_out: dict[str, float]


def root_mean_square(errors: dict[str, float]) -> float:
    """Of log errors: about a relative error.

    >>> root_mean_square({"a": 0.1, "b": -0.1})
    0.1
    """
    return float(np.sqrt(np.mean(np.square(list(errors.values())))))


def fit(rows: tuple[PublishedRun, ...] = PUBLISHED_RUNS) -> Fitted:
    """The constants of a grid that are best for the rows to be fitted; for each row also without it and its kin."""
    rows = tuple(row for row in rows if row.fitted)
    if len(rows) < 3:
        raise ValueError(f"two constants need at least 3 rows to be fitted, got {len(rows)}")
    shares, sizes = (grid.ravel() for grid in np.meshgrid(SHARES, SIZES, indexing="ij"))
    errors = log_errors(rows, Efficiency(shares, sizes))  # (rows, grid)
    squares = np.square(errors)
    sources = np.array([row.source for row in rows])

    def chosen(used: np.ndarray) -> int:
        return int(np.argmin(squares[used].sum(axis=0)))

    best = chosen(np.ones(len(rows), bool))
    places = np.arange(len(rows))
    return Fitted(
        Efficiency(float(shares[best]), float(sizes[best])),
        {row.name: float(errors[i, best]) for i, row in enumerate(rows)},
        {row.name: float(errors[i, chosen(places != i)]) for i, row in enumerate(rows)},
        {row.name: float(errors[i, chosen(sources != row.source)]) for i, row in enumerate(rows)},
    )
