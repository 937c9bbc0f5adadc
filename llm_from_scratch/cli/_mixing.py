"""What `train` is told of text and course: sources and their shares, stages, tasks to measure, a rate to find."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..data.mixing import WHEN_DRY

EPILOG = """
several sources, and stages:
  python -m llm_from_scratch train --data tales:9000=0.7 shakespeare=0.3     shares of the tokens, summing to 1
  python -m llm_from_scratch train --data tales:9000 shakespeare pydoc --temperature 3      by size, evened out
  python -m llm_from_scratch train --data tales:9000 pydoc --stages stages.json

stages.json is a list such as [{"tokens": 2000000, "context": 64, "batch_size": 64}, {"steps": 400, "context": 256}]: a
stage may also have "weights" ({source: share}). What it does not say is as for the whole run; if the last says nothing
of its length, --steps tells when the run ends. The learning rate then follows the tokens trained on.
"""


def add_arguments(group: Any) -> None:
    """Declare the options; all defaults are None."""
    group.add_argument(
        "--temperature", type=float, metavar="T", help="evens out sources without weights: share ∝ size^(1/T)"
    )
    group.add_argument("--normalize-weights", action="store_true", help="let weights that do not sum to 1 be shares")
    group.add_argument(
        "--when-dry",
        choices=WHEN_DRY,
        help="a source that was read to its end is repeated in another order (default), or the run is refused",
    )
    group.add_argument("--stages", type=Path, metavar="FILE", help="stages of the run (JSON): lengths, batches, shares")
    group.add_argument(
        "--find-lr",
        action="store_true",
        help="only find a learning rate: 120 steps with ever higher ones on a fresh model, which is not kept",
    )


def add_tasks(group: Any) -> None:
    """Declare what may be measured at each evaluation besides the loss."""
    group.add_argument(
        "--evaluate",
        nargs="+",
        metavar="TASK",
        help="tasks to measure at each evaluation, as `evaluate tasks` has them",
    )
    group.add_argument(
        "--evaluate-items",
        type=int,
        metavar="N",
        help="items asked of each (default 100): what they cost is told first",
    )


def data_of(args: argparse.Namespace) -> Any:
    """The recipe's data: a source, or a Mixture. ValueError for weights that are not understood."""
    from ..recipes.mixture import Mixture, read_stages

    settings = {name: getattr(args, name) for name in ("temperature", "when_dry") if getattr(args, name) is not None}
    sources, weights = list(args.data), None
    if len(sources) > 1 and any("=" in source for source in sources):
        pairs = [source.rpartition("=") for source in sources]
        try:
            weights = {source: float(weight) for source, _, weight in pairs}
        except ValueError:
            weights = {}
        if len(weights) < len(sources) or "" in weights:
            raise ValueError(
                "--data with weights wants SOURCE=WEIGHT for each source, once, such as tales=0.7 pydoc=0.3; "
                f"got {' '.join(sources)}"
            )
        sources = list(weights)
        if args.normalize_weights:
            total = sum(weights.values())
            weights = {source: weight / total for source, weight in weights.items()} if total > 0 else weights
    elif args.normalize_weights:
        raise ValueError("--normalize-weights is for sources with weights: --data tales=7 pydoc=3")
    if args.temperature is not None and len(sources) == 1:
        raise ValueError(f"--temperature evens out several sources, and {sources[0]} is one")
    stages = []
    if args.stages is not None:
        stages = read_stages(
            args.stages, batch_size=args.batch or 16, context=args.context or 256, micro_batches=args.micro_batches or 1
        )
    if len(sources) == 1 and not settings and not stages:
        return sources[0]
    try:
        return Mixture(sources, weights, stages=stages, **settings)
    except ValueError as error:
        raise ValueError(str(error).replace("ask for normalizing", "add --normalize-weights")) from None


def steps_of(args: argparse.Namespace, stages: Any) -> tuple[int | None, int | None]:
    """Steps and tokens of a run with stages; (None, None) without. ValueError where options contradict them."""
    from ..data.stages import planned_tokens

    if not stages:
        return None, None
    micro, lengths = args.micro_batches or 1, [stage.length for stage in stages]
    if args.minutes is not None:
        raise ValueError("--stages says how long the run is: leave out --minutes")
    if lengths[-1] is not None:
        if args.steps is not None:
            raise ValueError("every stage says how long it is: leave out --steps, or the length of the last stage")
        steps = -(-sum(lengths) // micro)
    else:
        if args.steps is None:
            raise ValueError("the last stage does not say how long it is: give --steps, or say it there")
        steps = args.steps
        if steps * micro <= sum(lengths[:-1]):
            raise ValueError(f"the {steps} steps are over before the last stage begins: raise --steps")
    return steps, planned_tokens(stages, steps * micro)
