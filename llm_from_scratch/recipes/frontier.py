"""What alignment gains against how far it goes: true score over KL, for several methods, strengths and seeds.

    python -m llm_from_scratch.recipes.frontier --model runs/chat --template tales --out frontier.json

Every run is measured several times on its way, on the same prompts with the same random numbers: each measurement is a
point. The file is written after each run, and what it holds already is not run again; so a frontier can grow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..alignment.best_of import best_of_kl, expected_best
from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..scoring.answers import sample
from ..scoring.likelihoods import log_likelihoods
from ..training import train
from .aligning import COMMON, METHODS, open_setup, prepare_run, resolved
from .aligning.measures import AnswerMeasures

TOKENS = 120_000  # a run: of pairs, or of PPO's rollouts; and of pairs that PPO's reward model learns from
# What is asked is the same for all, and so is how long an answer may be: PPO by itself has other kinds and lengths.
SHARED: Mapping[str, Any] = {
    "held_out": 256, "prompts": 256, "evaluations": 4, "kinds": "all", "max_new_tokens": 64,
}  # fmt: skip
# (method, its settings): each strength is a curve of its own.
CONTESTANTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("dpo", {"beta": 0.1}),
    ("dpo", {"beta": 1.0}),
    ("ipo", {"tau": 0.05}),
    ("ipo", {"tau": 0.3}),
    ("apa", {"scale": 0.25}),
    ("apa", {"scale": 1.0}),
    ("best-of-n", {"beta": 1.0}),
    ("ppo", {}),
)
BEST_OF = (1, 2, 4, 8, 16)


def run_method(method: str, own: Mapping[str, Any], seed: int, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of one run: {"step", "kl", "true_score", "length", "accuracy"} each, the first before any step."""
    known = COMMON.keys() | METHODS[method].settings.keys()
    budget = dict.fromkeys({"tokens", "reward_tokens"} & known, TOKENS)
    tuning = prepare_run(resolved(method, data="tales", seed=seed, **{**SHARED, **budget, **given, **own}))
    points: list[dict[str, Any]] = []
    assert tuning.measures is not None
    measures, every = tuning.measures, tuning.settings.evaluate_every

    def recorded(model: Any) -> Mapping[str, float]:
        found = measures(model)
        kept = {name: round(float(found[name]), 4) for name in ("kl", "true_score", "length", "accuracy")}
        points.append({"step": min(len(points) * every, tuning.settings.steps), **kept})
        return found

    outcome = train(
        tuning.model, tuning.sampler, tuning.settings, objective=tuning.objective, on_step=tuning.on_step,
        measures=recorded,
    )  # fmt: skip
    if not outcome.finished:
        raise KeyboardInterrupt
    return points


def run_best_of(own: Mapping[str, Any], seed: int, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of best-of-n: of n answers, the one with the highest reward that a DPO run of the same budget implies.

    So the preferences are the same, and only the model that answers has not moved.
    """
    settings = resolved("dpo", data="tales", seed=seed, **{**SHARED, "tokens": TOKENS, **given, **own})
    setup = open_setup(settings)
    tuning = METHODS["dpo"].prepare(setup)
    if not train(tuning.model, tuning.sampler, tuning.settings, objective=tuning.objective).finished:
        raise KeyboardInterrupt
    asked = [prompt for prompt in AnswerMeasures(setup).prompts for _ in range(BEST_OF[-1])]
    limit = settings["max_new_tokens"]
    found = sample(
        setup.reference, setup.tokenizer, asked, template=setup.template, max_new_tokens=limit, seed=seed
    )  # fmt: skip
    examples = [one.example for one in found]
    ours, theirs = (log_likelihoods(one, examples, threads=setup.threads) for one in (tuning.model, setup.reference))
    assert setup.source.score is not None
    true = np.array([setup.source.score(k // BEST_OF[-1], one.text) for k, one in enumerate(found)])
    scores, worth = (values.reshape(-1, BEST_OF[-1]) for values in (ours - theirs, true))
    return [
        {"n": n, "kl": round(best_of_kl(n), 4), "true_score": round(expected_best(scores, n, worth), 4)}
        for n in BEST_OF
    ]


def collect(
    path: Path,
    contestants: Sequence[tuple[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    given: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run what the file does not hold yet, and write it after each run."""
    kept = read_json_object(path) if path.exists() else {"runs": []}
    prompts = SHARED["prompts"]
    done = {
        (r["method"], tuple(sorted(r["settings"].items())), r["seed"]) for r in kept["runs"] if r["prompts"] == prompts
    }
    for seed in seeds:
        for method, own in contestants:
            if (method, tuple(sorted(own.items())), seed) in done:
                continue
            made = run_best_of(own, seed, given) if method == "best-of-n" else run_method(method, own, seed, given)
            kept["runs"].append(
                {"method": method, "settings": dict(own), "seed": seed, "prompts": prompts, "points": made}
            )
            write_json(path, kept)
            say(f"{method} {dict(own)} seed {seed}: {made[-1]}")
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    """The command: run what FILE does not hold yet of the contestants and seeds that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.recipes.frontier", description=__doc__)
    parser.add_argument("--model", required=True, help="where every run begins")
    parser.add_argument("--template", help="chat template, by name (default: the model's own)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the points, as JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", help="only these (default: all)")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(arguments)
    names = list(dict.fromkeys(name for name, _ in CONTESTANTS))
    if unknown := sorted(set(args.methods or ()) - set(names)):
        parser.error(f"there is no contestant {unknown[0]!r}; there are {', '.join(names)}")
    chosen = [one for one in CONTESTANTS if args.methods is None or one[0] in args.methods]
    given = {"model": args.model, "template": args.template, "threads": args.threads}
    collect(args.out, chosen, args.seeds, given)


if __name__ == "__main__":
    main()
