"""`python -m llm_from_scratch adapt`: train a few numbers beside a model that stays as it is; merge them, list them."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from . import _memory, _tuning

HELP = "train an adapter beside a model (LoRA and others), merge it into the model, or look at one"
RANKS = True  # as several processes, too: see cli/_ranks.py
EPILOG = """
examples:
  python -m llm_from_scratch adapt --methods
  python -m llm_from_scratch adapt --table
  python -m llm_from_scratch adapt --method lora --rank 8 --model runs/quickstart --data tales --out runs/lora
  python -m llm_from_scratch adapt --method prefix --length 10 --model smollm2 --data talks.jsonl --out runs/prefix
  python -m llm_from_scratch adapt list runs/lora
  python -m llm_from_scratch chat --model runs/quickstart --adapter runs/lora
  python -m llm_from_scratch adapt merge --model runs/quickstart --adapter runs/lora --out runs/merged

DATA is a file of dialogues (JSON, JSONL or Parquet, in any of the usual shapes), or tales: questions about tales, whose
answers can be computed (a specialist: tales:rewriting). The adapter is written in peft's format
(adapter_config.json, adapter_model.safetensors).
"""
_OWN = ("rank", "alpha", "dropout", "length", "size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("action", nargs="?", choices=("merge", "list"), help="nothing: train")
    parser.add_argument("directory", nargs="?", type=Path, help="with list: the adapter's directory")
    parser.add_argument("--method", metavar="NAME", help="the technique; --methods shows them (default lora)")
    parser.add_argument("--methods", action="store_true", help="print the techniques with their settings, and stop")
    parser.add_argument("--table", action="store_true", help="print which technique goes with which family, and stop")
    _tuning.add_arguments(parser, data="a file of dialogues, or tales (default tales)")
    _memory.add_arguments(parser)
    group = parser.add_argument_group("of the technique")
    group.add_argument("--rank", type=int, metavar="R", help="LoRA: the width of the middle (default 8)")
    group.add_argument("--alpha", type=float, metavar="A", help="LoRA: alpha / rank is its scale (default 16)")
    group.add_argument("--dropout", type=float, metavar="P", help="LoRA: on what goes through it (default 0)")
    group.add_argument("--targets", metavar="A,B", help="matrices: query,value or all-linear or patterns of paths")
    group.add_argument("--length", type=int, metavar="P", help="prefix and prompt: positions (default 20)")
    group.add_argument("--size", type=int, metavar="N", help="bottlenecks: the inner width (default 16)")
    group = parser.add_argument_group("merging")
    group.add_argument("--adapter", type=Path, metavar="DIR", help="the adapter that is merged into --model")
    group.add_argument("--dequantize", action="store_true", help="make plain float32 matrices of packed ones")
    group.add_argument("--untie", action="store_true", help="give a tied head a matrix of its own where that is needed")


def run(args: argparse.Namespace, exchange: Any = None) -> int:
    """Carry out the command; the exit code."""
    if args.action == "list":
        return _list(args)
    if args.directory is not None:
        raise ValueError(f"{args.directory} is one argument too many: only `adapt list DIR` takes a directory so")
    if args.action == "merge":
        return _merge(args)
    if args.table:
        from ..recipes.technique_table import technique_table

        print(technique_table())
        return 0
    if args.methods:
        from ..recipes.techniques import techniques_table

        print(techniques_table())
        return 0
    for name in ("adapter", "dequantize", "untie"):
        if getattr(args, name):
            raise ValueError(f"--{name} belongs to `adapt merge`")
    from ..recipes.adapting import prepare_run

    return _tuning.run(args, "adapt", settings_of, prepare_run, exchange)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of a new run."""
    from ..files.download import find_model
    from ..recipes.adapting import resolved

    names = ("tokens", "steps", "lr", "batch", "threads", "seed", "checkpoint_every", "template", *_OWN)
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    given |= _memory.settings_of(args)
    if args.targets is not None:
        given["targets"] = tuple(args.targets.split(","))
    data, model = _tuning.data_of(args, "tales", "tales:KINDS"), str(find_model(args.model))
    return resolved(args.method or "lora", model=model, data=data, **given)


def _merge(args: argparse.Namespace) -> int:
    from ..adapters import load_adapter, merge_adapter
    from ..checkpoints import from_pretrained
    from ..files.download import find_model
    from ..tokenizers import Tokenizer

    for name in ("model", "adapter", "out"):
        if getattr(args, name) is None:
            raise ValueError(f"adapt merge needs --{name}")
    if args.out.exists() and any(args.out.iterdir() if args.out.is_dir() else [args.out]):
        raise ValueError(f"{args.out} is there already: choose another --out")
    path = find_model(args.model)
    packed = path.suffix.lower() == ".gguf" and not args.dequantize
    model = from_pretrained(path, packed=packed)
    load_adapter(model, args.adapter)
    merge_adapter(model, keep=False, dequantize=args.dequantize, untie=args.untie)
    model.check_saving()
    tokenizer = Tokenizer.from_pretrained(path)
    model.save_pretrained(args.out)
    tokenizer.save(args.out)
    template = args.adapter / "chat_template.jinja"
    if template.exists():
        (args.out / template.name).write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    if args.json:
        print(json.dumps({"out": str(args.out), "parameters": model.parameter_count}))
    else:
        print(f"{args.adapter} is merged into {path}: {args.out} holds a model of {model.parameter_count:,} parameters")
    return 0


def _list(args: argparse.Namespace) -> int:
    from ..adapters.peft_config import WEIGHTS, read_config
    from ..files.sharded import open_checkpoint

    if args.directory is None:
        raise ValueError("adapt list needs the directory of an adapter")
    config = read_config(args.directory)
    store = open_checkpoint(args.directory / WEIGHTS)
    shapes = {name: tuple(store.entry(name).shape) for name in store}
    numbers = sum(math.prod(shape) for shape in shapes.values())
    keys = ("peft_type", "base_model_name_or_path", "r", "lora_alpha", "use_rslora", "use_dora", "target_modules",
            "feedforward_modules", "modules_to_save", "num_virtual_tokens", "activation")  # fmt: skip
    told = {key: config[key] for key in keys if config.get(key) not in (None, False, [])}
    if args.json:
        print(json.dumps({**told, "tensors": {name: list(shape) for name, shape in shapes.items()}}))
        return 0
    for key, value in told.items():
        print(f"{key:26}{', '.join(value) if isinstance(value, list) else value}")
    print(f"{'numbers':26}{numbers:,} in {len(shapes)} tensors")
    for name, shape in shapes.items():
        print(f"  {name}  {shape}")
    return 0
