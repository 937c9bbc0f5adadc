"""`python -m llm_from_scratch merge RECIPE OUT`: one model out of several, by a recipe in mergekit's format."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

HELP = "one model out of several: soups, SLERP, task arithmetic, TIES, DARE, stacked layers"
EPILOG = """
examples:
  python -m llm_from_scratch merge ties.yaml runs/merged
  python -m llm_from_scratch merge --methods                   the methods, and what their settings mean
  python -m llm_from_scratch zoo tree runs/merged              what it was made from

a recipe, ties.yaml:
  merge_method: ties
  base_model: runs/quickstart            # what the models were tuned from
  models:
    - model: runs/poet
      parameters: {weight: 1.0, density: 0.5}
    - model: runs/clerk
      parameters: {weight: 1.0, density: [0.2, 0.8]}     # from the first layer to the last
  parameters:
    normalize: true
  dtype: float32                         # of the result; left away: as the base is stored
  tokenizer_source: runs/poet            # whose tokenizer and chat template; left away: the base's

Models are directories with safetensors of one architecture, size and vocabulary. They are read tensor by tensor:
no more of them has to fit into memory than one tensor of each.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE", help="a YAML file, in mergekit's format")
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="the new directory that is written")
    parser.add_argument("--methods", action="store_true", help="print the methods with their settings, and stop")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what DARE drops (default 0)")
    parser.add_argument(
        "--shard-size", default="5GB", metavar="SIZE", help="of a file of weights at most (default 5GB)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without a progress bar")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from ..merging import METHODS, run_recipe

    if args.methods:
        for name, method in METHODS.items():
            print(f"{name:16}{method.about}{'; needs a base_model' * method.base}")
            for key, parameter in method.parameters.items():
                print(f"  {key:14}{parameter.about} ({parameter.told})")
        return 0
    if args.recipe is None or args.out is None:
        raise ValueError("merge needs a RECIPE and a directory OUT (merge --help shows a recipe)")
    from tqdm import tqdm

    merged = run_recipe(
        args.recipe, args.out, seed=args.seed, max_shard_size=args.shard_size,
        progress=iter if args.json else lambda parts: tqdm(parts, unit="tensor", desc="merging"),
    )  # fmt: skip
    if args.json:
        print(json.dumps(dataclasses.asdict(merged), ensure_ascii=False))
        return 0
    print(f"{merged.method} of {', '.join(merged.models)}")
    print(f"{merged.directory} holds {merged.parameters:,} parameters in {merged.tensors} tensors")
    for note in merged.notes:
        print(f"note: {note}")
    return 0
