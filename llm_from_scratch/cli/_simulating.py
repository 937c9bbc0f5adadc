"""`scaling simulate`: the step of a run on a described cluster, and what papers report beside what is predicted."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..files.strict_json import read_json_object
from ..models.spec import ModelSpec
from ..scaling.cluster import Cluster, cluster_from, cluster_of
from ..scaling.parallel_run import RECOMPUTE, Run
from ..scaling.quantities import in_bytes, in_letters, parse_quantity
from ..scaling.simulator import Step, simulate

EXAMPLES = """
a cluster's throughput:
  python -m llm_from_scratch scaling simulate llama-65b --gpus 2048 --tensor 8 --zero 1 --global-batch 2048
  python -m llm_from_scratch scaling simulate bloom-176b --cluster cluster.json --tensor 4 --pipeline 12 \\
      --micro-batch 2 --global-batch 2048 --zero 1 --recompute full --no-flash
  python -m llm_from_scratch scaling simulate --published           what papers report, and what is predicted

cluster.json: {"accelerator": "a100", "nodes": 48, "gpus_per_node": 8, "link": 300e9, "network": 50e9}, bytes a second
and direction: link of one accelerator to others in its node, network of a whole node. An accelerator that has no name
here is an object with "name", "flops", "bytes" and "bandwidth".
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a cluster and of a run on it."""
    group = parser.add_argument_group("a cluster and a run on it (simulate)")
    group.add_argument("--model", metavar="MODEL", help="as the word behind simulate: a released size or a config.json")
    group.add_argument("--cluster", type=Path, metavar="FILE", help="a cluster described in JSON, instead of --gpus")
    group.add_argument("--network", metavar="B", help="bytes a second and direction of a node, such as 200G")
    for name, word in (("tensor", "tensor-parallel"), ("pipeline", "pipeline")):
        group.add_argument(f"--{name}", type=int, default=1, metavar="N", help=f"{word} degree (default 1)")
    group.add_argument("--data", type=int, metavar="N", help="data-parallel degree (default: what is left of the GPUs)")
    group.add_argument("--micro-batch", type=int, default=1, metavar="N", help="texts at once (default 1)")
    group.add_argument("--global-batch", type=int, metavar="N", help="texts a step (default: a micro-batch a stage)")
    group.add_argument("--chunks", type=int, default=1, metavar="N", help="stages a device: interleaving (default 1)")
    group.add_argument(
        "--zero",
        type=int,
        default=0,
        metavar="N",
        help="data-parallel ranks share: 1 optimiser, 2 gradients, 3 weights",
    )
    group.add_argument("--recompute", choices=RECOMPUTE, default="none", help="what the backward pass makes again")
    group.add_argument("--precision", default="bfloat16", metavar="NAME", help="of the products (default bfloat16)")
    group.add_argument("--sequence-parallel", action="store_true", help="divide norms and residuals, too")
    group.add_argument("--no-flash", dest="flash", action="store_false", help="attention writes its scores out")
    group.add_argument(
        "--no-overlap", dest="overlap", action="store_false", help="gradients are reduced after the backward pass"
    )
    group.add_argument("--ignore-memory", action="store_true", help="predict even what does not fit")
    group.add_argument("--published", action="store_true", help="compare with what papers report")


def run_simulate(args: argparse.Namespace, names: list[str], find: Callable[[str], ModelSpec]) -> tuple[Any, list[str]]:
    """The result and how it is shown."""
    if args.published:
        if names or args.model or args.cluster:
            raise ValueError("scaling simulate --published has its own runs: leave the model and the cluster out")
        return _published()
    names = [*names, *[args.model] * (args.model is not None)]
    if len(names) != 1:
        raise ValueError(f"scaling simulate takes one model, such as llama-65b; got {' and '.join(names) or 'none'}")
    cluster = _cluster(args)
    busy = args.tensor * args.pipeline
    data = args.data
    if data is None:
        if busy < 1 or cluster.gpus % busy:
            raise ValueError(f"--tensor {args.tensor} · --pipeline {args.pipeline} must divide {cluster.gpus:,} GPUs")
        data = cluster.gpus // busy
    run = Run(
        find(names[0]),
        data * args.micro_batch * args.pipeline if args.global_batch is None else args.global_batch,
        args.micro_batch,
        tensor=args.tensor,
        pipeline=args.pipeline,
        data=data,
        length=args.length,
        zero=args.zero,
        recompute=args.recompute,
        chunks=args.chunks,
        flash=args.flash,
        sequence_parallel=args.sequence_parallel,
        overlap=args.overlap,
        precision=args.precision,
    )
    tokens = None if args.tokens is None else _number("--tokens", args.tokens)
    step = simulate(run, cluster, check_memory=not args.ignore_memory)
    result = asdict(step) | {"model": names[0], "fits": step.fits, "microbatches": run.microbatches}
    if tokens is not None:
        result |= {"tokens": tokens, "days": step.days(tokens), "gpu_hours": step.gpu_hours(tokens)}
    return result, _shown(names[0], run, cluster, step, tokens)


def _cluster(args: argparse.Namespace) -> Cluster:
    if args.cluster is not None:
        if args.gpus is not None or args.network is not None:
            raise ValueError("--cluster describes the GPUs and their network: leave --gpus and --network out")
        if not args.cluster.is_file():
            raise ValueError(f"--cluster {args.cluster} is not a file: it is JSON such as "
                             '{"accelerator": "a100", "nodes": 48}')  # fmt: skip
        try:
            return cluster_from(read_json_object(args.cluster))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{args.cluster}: {error}") from None
    network = None if args.network is None else _number("--network", args.network)
    return cluster_of(1 if args.gpus is None else args.gpus, args.gpu, network=network)


def _shown(model: str, run: Run, cluster: Cluster, step: Step, tokens: float | None) -> list[str]:
    speed = step.tokens_per_second_per_gpu
    lines = [
        f"{model} on {cluster.gpus:,} × {cluster.accelerator.name}: tensor {run.tensor} · pipeline {run.pipeline} · "
        f"data {run.data}, {run.microbatches} micro-batches of {run.micro_batch} a rank",
        f"{'tokens a second, GPU':22} {speed:,.4g}, all {in_letters(speed * step.gpus)}",
        f"{'of the peak':22} {step.mfu:.1%} (MFU), {step.hfu:.1%} with what is computed again (HFU)",
        f"{'a step':22} {step.seconds:.4g} s, {in_letters(run.tokens)} tokens",
    ]  # fmt: skip
    lines += [f"  {name:20} {part:10.4g} s {part / step.seconds:7.1%}" for name, part in step.parts.items()]
    enough = "" if step.fits else f": {in_bytes(step.needed - step.capacity)} too much"
    lines += [f"{'memory of a GPU':22} {in_bytes(step.needed)} of {in_bytes(step.capacity)}{enough}"]
    lines += [f"  {name:20} {in_bytes(size):>12}" for name, size in step.memory.items()]
    if tokens is not None:
        lines.append(
            f"{in_letters(tokens) + ' tokens':22} {step.days(tokens):,.3g} days, "
            f"{step.gpu_hours(tokens):,.4g} GPU hours"
        )
    return lines


def _published() -> tuple[Any, list[str]]:
    from ..scaling.published_runs import PUBLISHED_RUNS, fit, root_mean_square  # simulates fifty runs

    fitted = fit(PUBLISHED_RUNS)
    lines = [f"{'run':28} {'reported':>16} {'tokens/s/GPU':>13} {'predicted':>10} {'error':>7} {'left out':>9}  source"]
    rows, others = [], {}
    for row in PUBLISHED_RUNS:
        step = row.predicted(fitted.efficiency)
        reported, predicted = row.tokens_per_second_per_gpu, step.tokens_per_second_per_gpu
        left = math.exp(fitted.left_out[row.name]) - 1 if row.fitted else None
        rows.append({
            "name": row.name, "value": row.value, "unit": row.unit, "gpus": row.run.gpus, "reported": reported,
            "predicted": predicted, "error": predicted / reported - 1, "left_out_error": left, "mfu": step.mfu,
            "hfu": step.hfu, "fitted": row.fitted, "assumed": row.assumed, "source": row.source,
        })  # fmt: skip
        if not row.fitted:
            others[row.name] = math.log(predicted / reported)
        told = "" if left is None else f"{left:+9.1%}"
        assumed = f"; assumed: {row.assumed}" * bool(row.assumed)
        lines.append(
            f"{row.name:28} {f'{row.value:,.7g} {row.unit}':>16} {reported:13,.1f} {predicted:10,.1f} "
            f"{predicted / reported - 1:+7.1%} {told:>9}  {row.source}{assumed}"
        )
    kinds = {"with the constants": fitted.errors, "left out": fitted.left_out,
             "their source left out": fitted.source_left_out}  # fmt: skip
    errors = {kind: root_mean_square(found) for kind, found in kinds.items()}
    errors["of the other runs"] = root_mean_square(others)
    how = fitted.efficiency
    lines += [
        "",
        f"two constants for all: matrix share {how.matrix_share:g}, size {how.size:g}; "
        f"chosen with the {len(fitted.errors)} runs that show a number under 'left out'",
        "root mean square error: " + ", ".join(f"{value:.1%} {kind}" for kind, value in errors.items()),
    ]
    return {"matrix_share": how.matrix_share, "size": how.size, "root_mean_square": errors, "runs": rows}, lines


def _number(option: str, text: str) -> float:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None
