"""`python -m llm_from_scratch scaling`: what a model costs, what a budget should buy, laws fitted to runs, clusters."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..checkpoints import spec as find_spec
from ..files.jsonl import read_jsonl
from ..files.strict_json import read_json_object
from ..models.spec import ModelSpec
from ..scaling.bill import BITS, costs
from ..scaling.energy import ACCELERATORS, UTILISATION, footprint, gpu_hours
from ..scaling.laws import LAWS, optimal_allocation
from ..scaling.memory import TRAINING, activation_memory, loading, training_memory
from ..scaling.planning import CONTEXT, PRICE, VOCABULARY, Plan, plan
from ..scaling.quantities import in_bytes, in_letters, parse_quantity
from ..training.config import OPTIMIZERS
from . import _simulating

HELP = "what a model costs to train, load and serve, what a budget should buy, how fast a cluster trains"

EXAMPLES = f"""examples:
  python -m llm_from_scratch scaling plan --flops 5.76e23           what Gopher's budget should have bought
  python -m llm_from_scratch scaling plan --gpu-hours 100K --gpu a100 --utilisation 0.4
  python -m llm_from_scratch scaling plan --tokens 300B             the size that so much text deserves
  python -m llm_from_scratch scaling plan --tokens 1.4T --parameters 65B
  python -m llm_from_scratch scaling plan --flops 1e23 --serve 10T  smaller, because it will be used
  python -m llm_from_scratch scaling costs llama-2-7b --tokens 2T   a released size, a config.json or a checkpoint
  python -m llm_from_scratch scaling fit runs.jsonl                 lines with "parameters", "tokens" and "loss"

{_simulating.EXAMPLES.lstrip()}
Numbers may be written as 1e21, 300B, 1.4T, 70_000. Sizes and tokens of a plan follow a law of the loss: "replication"
(the default) or "chinchilla", the constants printed in the paper, which its other two approaches contradict.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "words", nargs="+", metavar="plan | costs MODEL | fit RUNS.jsonl | simulate MODEL", help="what to do"
    )
    money = parser.add_argument_group("a budget (plan: one of them)")
    money.add_argument("--flops", metavar="F", help="of training, counted as 6 × parameters × tokens")
    money.add_argument("--gpu-hours", metavar="H", help="hours of one accelerator, all of them together")
    money.add_argument("--tokens", metavar="T", help="of training; costs: for the FLOPs, hours and energy of a run")
    money.add_argument("--parameters", metavar="N", help="plan: the size, where it is given and not to be found")
    money.add_argument("--serve", metavar="T", help="plan: tokens that will be served; training and serving count")
    how = parser.add_argument_group("how it is done")
    how.add_argument("--gpu", default="a100", metavar="NAME", help=f"{', '.join(ACCELERATORS)} (default a100)")
    how.add_argument("--gpus", type=int, metavar="N", help="at once (default: as many as the memory of training takes)")
    how.add_argument(
        "--utilisation", type=float, default=UTILISATION, metavar="U", help=f"of the peak (default {UTILISATION})"
    )
    how.add_argument("--law", default="replication", metavar="NAME", help=f"{', '.join(LAWS)} (default replication)")
    how.add_argument(
        "--price",
        type=float,
        default=PRICE,
        metavar="P",
        help=f"of a GPU hour, an assumption (default {PRICE} dollars)",
    )
    how.add_argument("--length", type=int, metavar="N", help="tokens of a text (default: the context of the model)")
    how.add_argument(
        "--rows", type=int, default=1, metavar="N", help="costs: texts at once, for activations (default 1)"
    )
    how.add_argument(
        "--vocabulary", type=int, default=VOCABULARY, metavar="N", help=f"plan: of the model (default {VOCABULARY})"
    )
    how.add_argument(
        "--bootstrap", type=int, default=0, metavar="N", help="fit: draws for the intervals (default none)"
    )
    _simulating.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    task, *names = args.words
    tasks: dict[str, tuple[Callable[..., tuple[Any, list[str]]], int]] = {
        "plan": (_plan, 0), "costs": (_costs, 1), "fit": (_fit, 1),
    }  # fmt: skip
    if task == "simulate":
        result, lines = _simulating.run_simulate(args, names, _spec)
    elif task not in tasks:
        raise ValueError(f"scaling does {', '.join(tasks)}, simulate, not {task!r}")
    else:
        do, wanted = tasks[task]
        if len(names) != wanted:
            takes = {"plan": "no name", "costs": "a model, such as llama-2-7b", "fit": "a file of runs"}[task]
            raise ValueError(f"scaling {task} takes {takes}; got {' '.join(names) or 'none'}")
        result, lines = do(args, *names)
    print(json.dumps(result, indent=2) if args.json else "\n".join(lines))
    return 0


def _plan(args: argparse.Namespace) -> tuple[Any, list[str]]:
    if args.law not in LAWS:
        raise ValueError(f"--law is one of {', '.join(LAWS)}, not {args.law!r}")
    given = {name: _quantity(args, name) for name in ("flops", "gpu_hours", "tokens", "parameters", "serve")}
    if given["flops"] is given["gpu_hours"] is given["tokens"] is given["parameters"] is None:
        raise ValueError("a plan needs a budget: --flops 1e21, --gpu-hours 10K, --tokens 300B or --parameters 7B")
    found = plan(
        flops=given["flops"],
        hours=given["gpu_hours"],
        tokens=given["tokens"],
        parameters=given["parameters"],
        served=given["serve"] or 0.0,
        gpu=args.gpu,
        gpus=args.gpus,
        utilisation=args.utilisation,
        law=LAWS[args.law],
        context=_context(args),
        vocabulary=args.vocabulary,
        price=args.price,
    )
    return found.to_json(), _shown(found, args)


def _shown(found: Plan, args: argparse.Namespace) -> list[str]:
    config, used = found.config, found.used
    rows = {
        "parameters": in_letters(found.parameters),
        "tokens": f"{in_letters(found.tokens)}, {found.tokens / found.parameters:.3g} a parameter",
        "FLOPs of training": f"{found.flops:.3g} (6ND), {found.counted_flops:.3g} counted for the model below",
        "loss by the law": f"{found.loss:.3f} ({args.law}; of a text like that of the law's runs)",
        "a LLaMA of that size": f"{config['num_hidden_layers']} layers of width {config['hidden_size']}, feed-forward "
        f"{config['intermediate_size']}, {config['num_attention_heads']} heads, vocabulary {config['vocab_size']}: "
        f"{in_letters(found.config_parameters)}",
        "bytes to load": f"{in_bytes(found.bytes_to_load)} in 16 bits",
        "bytes to train": f"{in_bytes(found.bytes)} with AdamW in mixed precision, "
        f"and {in_bytes(found.activation_bytes)} of activations a text, recomputed by layer",
        "time": f"{used.gpu_hours:,.4g} GPU hours ({ACCELERATORS[found.gpu].name} at {args.utilisation:.0%}): "
        f"{_days(found.days)} on {found.gpus:,}",
        "energy": f"{used.kilowatt_hours / 1000:,.3g} MWh, {used.kilograms / 1000:,.3g} t CO2 (PUE 1.1, 0.385 kg/kWh)",
        "price": f"{_rounded(found.price)} dollars at {args.price:g} an hour",
    }
    if found.serving_flops:
        rows["FLOPs of serving"] = f"{found.serving_flops:.3g} for {in_letters(_quantity(args, 'serve') or 0)} tokens"
    return [f"{name:22} {text}" for name, text in rows.items()]


def _costs(args: argparse.Namespace, name: str) -> tuple[Any, list[str]]:
    spec, tokens = _spec(name), _quantity(args, "tokens")
    length = spec.context_length if args.length is None else args.length
    if length < 1:
        raise ValueError(f"--length must be at least 1, not {args.length}")
    bill = costs(spec, length=length)
    total = bill.parameters
    result: dict[str, Any] = {
        "model": name, "length": length, "parameters": total, "active_parameters": bill.active_parameters,
        "parts": bill.parts, "bytes_to_load": {kind: total * bits / 8 for kind, bits in BITS.items()},
        "training_bytes": {
            kind: {name: training_memory(total, optimizer=name, precision=kind).total for name in OPTIMIZERS}
            for kind in TRAINING
        },
        "activation_bytes": {
            how: activation_memory(spec, rows=args.rows, length=length, recompute=again)
            for how, again in (("kept", False), ("recomputed", True))
        },
        "flops_per_token": {
            "matrices": bill.matrix_flops_per_token, "attention": bill.attention_flops_per_token,
            **bill.step_flops(1, recompute=True),
        },
    }  # fmt: skip
    lines = [
        f"{name}: {total:,} parameters"
        + f", {bill.active_parameters:,} used by a token" * (total != bill.active_parameters)
    ]
    lines += _section("parameters", {part: f"{count:>18,}  {count / total:6.1%}" for part, count in bill.parts.items()})
    lines += _section("to load", {kind: in_bytes(size) for kind, size in result["bytes_to_load"].items()})
    if spec.memory_bytes(length) is not None:
        extra = loading(spec, length=length, rows=args.rows)
        result["loading"] = {"cache": extra.cache, "activations": extra.activations, "extra": extra.extra}
        lines += [f"  in 16 bits, with {args.rows} × {length:,} tokens in its cache: {in_bytes(extra.total)}"]
    kinds = {
        kind: ", ".join(f"{o} {in_bytes(b)}" for o, b in by.items()) for kind, by in result["training_bytes"].items()
    }
    lines += _section("to train, without activations", kinds)
    kept = {how: in_bytes(size) for how, size in result["activation_bytes"].items()}
    lines += _section(f"activations of {args.rows} × {length:,} tokens, 16 bits", kept)
    flops = {kind: f"{value:.3e}" for kind, value in result["flops_per_token"].items()}
    lines += _section(f"FLOPs a token, on the average of {length:,}; with activations recomputed", flops)
    if tokens is not None:
        of = bill.training_flops(tokens)
        hours = gpu_hours(of["6ND"], args.gpu, args.utilisation)
        used = footprint(hours, watts=ACCELERATORS[args.gpu.lower()].watts)
        result["training"] = {"tokens": tokens, "flops": of, **vars(used)}
        lines += _section(f"a run over {in_letters(tokens)} tokens", {
            "FLOPs": f"{of['6ND']:.3e} (6ND), {of['counted']:.3e} counted",
            "time": f"{hours:,.4g} GPU hours ({ACCELERATORS[args.gpu.lower()].name} at {args.utilisation:.0%})",
            "energy": f"{used.kilowatt_hours / 1000:,.3g} MWh, {used.kilograms / 1000:,.3g} t CO2",
        })  # fmt: skip
    return result, lines


def _fit(args: argparse.Namespace, name: str) -> tuple[Any, list[str]]:
    import numpy as np

    from ..scaling.fitting import bootstrap, fit_parametric  # SciPy is slow to import, and no other task needs it

    runs = _runs(Path(name))
    if args.bootstrap < 0 or args.bootstrap == 1:
        raise ValueError(f"--bootstrap is 0 or at least 2 draws, not {args.bootstrap}")
    spread = None
    try:
        if args.bootstrap:
            spread = bootstrap(*runs, np.random.default_rng(0), draws=args.bootstrap)
            law = spread.law
        else:
            law = fit_parametric(*runs)
    except (ValueError, TypeError) as error:  # of the numbers, so of the file
        raise ValueError(f"{name}: {error}") from None
    a, b = law.exponents
    values = {**{key: getattr(law, key) for key in ("E", "A", "B", "alpha", "beta")}, "a": a}
    asked: dict[str, Any] = {**{key: key for key in values if key != "a"}, "a": lambda law: law.exponents[0]}
    result: dict[str, Any] = {"runs": len(runs[0]), **values, "b": b}
    if spread:
        result["intervals"] = {key: spread.interval(ask) for key, ask in asked.items()}
    lines = [f"L(N, D) = E + A/N^alpha + B/D^beta, from {len(runs[0])} runs"]
    for key, value in values.items():
        between = "" if not spread else "   95 %: {:.4g} to {:.4g}".format(*result["intervals"][key])
        told = f"   N* goes with C^{a:.3f}, D* with C^{b:.3f}" if key == "a" and not spread else ""
        lines.append(f"  {key:6} {value:12.5g}{between}{told}")
    most = max(6 * n * d for n, d in zip(*runs[:2]))
    lines.append("")
    for flops in (most, 10 * most):
        n, d = optimal_allocation(flops, law)
        lines.append(
            f"  at {flops:.3g} FLOPs: {in_letters(n)} parameters, {in_letters(d)} tokens, loss {law.loss(n, d):.3f}"
        )
    return result, lines


def _runs(path: Path) -> tuple[list[float], list[float], list[float]]:
    """Parameters, tokens and losses, a line each."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file of runs: JSON lines with parameters, tokens and loss")
    columns: dict[str, list[float]] = {"parameters": [], "tokens": [], "loss": []}
    for number, row in enumerate(read_jsonl(path), start=1):
        for key, column in columns.items():
            value = row.get(key) if isinstance(row, dict) else None
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{path}, line {number}: a run has a number {key!r}, here is {value!r}")
            column.append(value)
    if not columns["loss"]:
        raise ValueError(f"{path} holds no run: a run is a line of JSON with parameters, tokens and loss")
    return columns["parameters"], columns["tokens"], columns["loss"]


def _spec(name: str) -> ModelSpec:
    path = Path(name)
    return find_spec(read_json_object(path) if path.is_file() and path.suffix == ".json" else name)


def _quantity(args: argparse.Namespace, name: str) -> float | None:
    text = getattr(args, name)
    if text is None:
        return None
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ValueError(f"--{name.replace('_', '-')}: {error}") from None


def _context(args: argparse.Namespace) -> int:
    return CONTEXT if args.length is None else args.length


def _section(title: str, rows: dict[str, str]) -> list[str]:
    return ["", title, *(f"  {name:<14} {text}" for name, text in rows.items())]


def _rounded(value: float) -> str:
    """Without digits that nobody knows."""
    return f"{value:,.0f}" if value < 1e12 else f"{value:.3g}"


def _days(days: float) -> str:
    if days >= 1:
        return f"{_rounded(days)} days"
    return f"{24 * days:.3g} hours" if days * 24 >= 1 else f"{24 * 60 * days:.3g} minutes"
