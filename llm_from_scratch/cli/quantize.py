"""`python -m llm_from_scratch quantize`: a model in fewer bits, layer by layer, and what that costs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "put a model's matrices into 8, 4, 3 or 2 bits, and measure what that costs"
EPILOG = """
examples:
  python -m llm_from_scratch quantize runs/quickstart runs/small --method gptq --bits 4
  python -m llm_from_scratch quantize smollm2 runs/smollm2-3 --method awq --bits 3 --group 64 --calibration text.txt
  python -m llm_from_scratch quantize runs/mixtral runs/nf4 --method nf4 --keep "layers.0.*"
  python -m llm_from_scratch quantize runs/quickstart runs/quickstart.gguf --method gguf:Q4_1
  python -m llm_from_scratch generate --model runs/small --prompt "Once upon a time"

methods:
  gptq   rounds input by input, later weights make up for the error      awq   scales inputs up where they are large
  rtn    rounds to nearest                                  nf4, int8   QLoRA's four bits, LLM.int8()'s eight bits a row
  gguf:KIND   a file for llama.cpp: gguf:Q8_0, gguf:Q4_1, gguf:Q4_K, gguf:F16 …

MODEL is a directory, a .gguf file, or smollm2. Matrices of linear layers are quantised; embeddings, heads, norms,
biases and routers stay in float, and OUT/quantization.json names each. Interrupted, the same command goes on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("model", metavar="MODEL", help="the model to quantise")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new directory, or with gguf:KIND a new .gguf file")
    parser.add_argument("--method", default="gptq", metavar="NAME", help="see below (default gptq)")
    parser.add_argument("--bits", type=int, metavar="B", help="2, 3, 4 or 8, of gptq, awq and rtn (default 4)")
    parser.add_argument(
        "--group", type=int, metavar="N", help="inputs that share a scale (default 64, or fewer where that divides all)"
    )
    parser.add_argument(
        "--calibration", default="tales:1000", metavar="SOURCE",
        help="text of the kind that the model will read: a file, a folder, tales:1000 (the default)",
    )  # fmt: skip
    parser.add_argument("--tokens", type=int, default=16384, metavar="N", help="to calibrate with (default 16384)")
    parser.add_argument(
        "--context", type=int, metavar="N", help="tokens of a row (default 512, or what the model reads)"
    )
    parser.add_argument("--text", metavar="SOURCE", help="for the perplexity (default: the end of --calibration)")
    parser.add_argument("--scored", type=int, default=8192, metavar="N", help="tokens of it (default 8192)")
    parser.add_argument("--keep", action="append", default=[], metavar="PATTERN", help='"layers.0.*" stays in float')
    parser.add_argument("--symmetric", action="store_true", help="zero in the middle of every group's range")
    parser.add_argument("--act-order", action="store_true", help="gptq: inputs with the largest squares first")
    parser.add_argument("--damping", type=float, default=0.01, metavar="X", help="gptq: of the Hessian (default 0.01)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from tqdm import tqdm

    from ..files.download import find_model
    from ..recipes.quantizing import Plan, quantize_checkpoint
    from ._telling import say_to

    plan = Plan(
        args.method, args.bits, args.group, args.symmetric, args.act_order, args.damping, tuple(args.keep),
        args.calibration, args.text, args.tokens, args.scored, args.context,
    )  # fmt: skip
    say = say_to(sys.stderr)
    with tqdm(total=None, desc="layers", disable=None, file=sys.stderr, leave=False) as bar:

        def on_layer(number: int, layers: int, report: Any) -> None:
            bar.total = layers
            bar.update(1)
            say(f"layer {number}: {_errors(number, report)}")

        report = quantize_checkpoint(find_model(args.model), args.out, plan, say=say, on_layer=on_layer)
    if args.json:
        print(json.dumps({"out": str(args.out), **report}, ensure_ascii=False))
    else:
        print(_summary(report, args.out))
    return 0


def _errors(number: int, report: Any) -> str:
    """The relative errors of a layer's matrices: what of the output's mean square is lost."""
    start = f"layers.{number}."
    found = {m.path.removeprefix(start): m.error for m in report.matrices if m.path.startswith(start)}
    if len(found) > 12:
        worst = max(found, key=lambda path: found[path])
        mean = sum(found.values()) / len(found)
        return f"{len(found)} matrices, {mean:.2%} lost in the mean, most in {worst}: {found[worst]:.2%}"
    return ", ".join(f"{path.rpartition('.')[2]} {error:.2%}" for path, error in found.items()) or "nothing quantised"


def _summary(report: dict[str, Any], out: Path) -> str:
    before, after = report["before"], report["after"]
    lines = []
    if "tensors" in report:
        kinds: dict[str, int] = {}
        for kind in report["tensors"].values():
            kinds[kind] = kinds.get(kind, 0) + 1
        lines.append("tensors: " + ", ".join(f"{count} in {kind}" for kind, count in kinds.items()))
    else:
        matrices = report["matrices"]
        mean = sum(matrix["error"] for matrix in matrices) / len(matrices)
        lines.append(f"{len(matrices)} matrices in {report['method']}, {mean:.2%} of their outputs lost in the mean")
        for why in dict.fromkeys(report["kept"].values()):
            names = [name for name, reason in report["kept"].items() if reason == why]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"in float, {why}: {', '.join(names[:3])}{more}")
        if report["starved"]:
            lines.append(
                f"too few tokens reached {len(report['starved'])} matrices ({', '.join(report['starved'][:3])}, …): "
                "give more --tokens"
            )
    for when, score in (("before", before), ("after", after)):
        low, high = score["interval"]
        lines.append(f"perplexity {when:6} {score['perplexity']:8.4g}  ({low:.4g} to {high:.4g})")
    low, high = report["factor"]["interval"]
    lines.append(f"that is {report['factor']['value']:.4f} times what it was ({low:.4f} to {high:.4f}, token by token)")
    size = out.stat().st_size if out.is_file() else sum(f.stat().st_size for f in out.glob("*.safetensors"))
    lines.append(f"{out}: {size / 1e6:,.1f} MB of weights")
    return "\n".join(lines)
