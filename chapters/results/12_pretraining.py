"""The settings of pretraining, each changed alone: python chapters/results/12_pretraining.py

A small model learns from tales, three times each (seeds 0, 1, 2, for weights and order of the batches), always from the
same number of tokens. Measured is the loss on held-out tales. A run takes seconds, and its result is written when it
ends; the same command goes on where it stopped. "settings" changes learning rate, warmup, clipping, schedule and batch,
"rates" is the range test of the same model, "lengths" trains rows of 64, then 128, then 256 tokens, against rows of one
length.
"""

import functools
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.stages import Stage, StagedSampler
from llm_from_scratch.files.atomic import write_text
from llm_from_scratch.recipes.recipe import Recipe, build_model, prepare_corpus
from llm_from_scratch.training import TrainingSettings, train
from llm_from_scratch.training.range_test import find_learning_rate

RESULTS = Path(__file__).with_suffix(".json")
COMMAND = "python chapters/results/12_pretraining.py"
SEEDS = (0, 1, 2)
RECIPE = Recipe(data="tales:3000", layers=2, width=64, heads=4, vocabulary=512, context=256)
TOKENS = 307_200  # of a run of "settings": 300 steps of 16 rows of 64
LONG = 768_000  # of a run of "lengths"
USUAL = {"learning_rate": 3e-3, "warmup": 15, "clip": 1.0, "schedule": "cosine", "rows": 16}
CHANGED = {
    **{f"rate {rate:g}": {"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)},
    **{f"rate {rate:g}, no warmup": {"learning_rate": rate, "warmup": 0} for rate in (1e-2, 3e-2)},
    **{f"rate {rate:g}, no clipping": {"learning_rate": rate, "clip": 0.0} for rate in (1e-2, 3e-2)},
    "constant": {"schedule": "constant"},
    "constant, rate 0.01": {"schedule": "constant", "learning_rate": 1e-2},
    **{
        f"{rows} rows, rate {rate:g}": {"rows": rows, "learning_rate": rate}
        for rows, rates in {4: (1e-3, 3e-3, 1e-2), 64: (3e-3, 1e-2, 3e-2)}.items()
        for rate in rates
    },
}
LENGTHS = {
    "64, 128, 256": [Stage(64, 64, tokens=LONG // 3), Stage(128, 32, tokens=LONG // 3), Stage(256, 16)],
    "256": [Stage(256, 16)],
    "64": [Stage(64, 64)],
}


def learn(corpus, seed, stages, tokens, *, learning_rate, warmup, clip, schedule, curve):
    """Held-out loss (whole, and by thirds of 256 tokens), and every so many-th training loss."""
    model = build_model(Recipe(**{**RECIPE.to_json(), "seed": seed}), corpus.tokenizer)
    sampler = StagedSampler({"tales": corpus.train}, stages, seed=seed, separator=corpus.train.separator)
    steps = tokens // stages[0].tokens_a_batch
    settings = TrainingSettings(
        steps=steps, learning_rate=learning_rate, final_learning_rate=learning_rate / 20, schedule=schedule,
        warmup=warmup if warmup == 0 else max(1, steps // 20), clip=clip, seed=seed, threads=1,
    )  # fmt: skip
    losses, began = [], time.process_time()
    try:
        train(model, sampler, settings, progress=False, on_step=lambda step, loss, model: losses.append(loss))
    except ValueError as error:
        return {"diverged": str(error)[:60], "losses": [round(loss, 3) for loss in losses[1::curve]]}
    return {
        **held_out(model, corpus),
        "seconds": round(time.process_time() - began, 1),
        "losses": [round(loss, 3) for loss in losses[1::curve]],
    }


def held_out(model, corpus):
    """Loss a token on rows of 256 tokens, in all and by place in the row."""
    ids = np.asarray(corpus.validation.ids[: 96 * 256 + 1]).astype(np.int64)
    x, y = ids[:-1].reshape(-1, 256), ids[1:].reshape(-1, 256)
    with lfs.no_grad():
        places = np.concatenate(
            [
                -model.token_log_probabilities({"ids": a, "targets": b}).data
                for a, b in zip(x.reshape(8, 12, -1), y.reshape(8, 12, -1))
            ]
        )
    by_place = places.mean(axis=0).reshape(8, 32).mean(axis=1)
    return {"loss": round(float(places.mean()), 4), "by place": [round(float(v), 4) for v in by_place]}


def runs(corpus, seed):
    """{(kind, name): what is to be run}"""
    usual = {name: value for name, value in USUAL.items() if name != "rows"}
    for name, change in CHANGED.items():
        settings, rows = {**usual, **change}, change.get("rows", USUAL["rows"])
        settings.pop("rows", None)
        every = max(1, 5 * USUAL["rows"] // rows)
        yield (
            "settings",
            name,
            functools.partial(learn, corpus, seed, [Stage(64, rows)], TOKENS, curve=every, **settings),
        )
    yield "rates", "sweep", functools.partial(sweep, corpus, seed)
    for name, stages in LENGTHS.items():
        yield "lengths", name, functools.partial(learn, corpus, seed, stages, LONG, curve=5, **usual)
    faster = {**usual, "learning_rate": 1e-2}  # does the answer depend on it?
    for name in ("64, 128, 256", "256"):
        yield "lengths, rate 0.01", name, functools.partial(learn, corpus, seed, LENGTHS[name], LONG, curve=5, **faster)


def main():
    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND}
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare_corpus(RECIPE, folder)
        for seed in SEEDS:
            for kind, name, run in runs(corpus, seed):
                kept = done.setdefault(kind, {}).setdefault(name, {})
                if str(seed) not in kept:
                    kept[str(seed)] = run()
                    write_text(RESULTS, json.dumps(done) + "\n")
                    told = {key: value for key, value in kept[str(seed)].items() if key != "losses"}
                    print(kind, name, seed, told, flush=True)


def sweep(corpus, seed):
    model = build_model(Recipe(**{**RECIPE.to_json(), "seed": seed}), corpus.tokenizer)
    sampler = StagedSampler({"tales": corpus.train}, [Stage(64, 16)], seed=seed, separator=corpus.train.separator)
    found = find_learning_rate(model, sampler, TrainingSettings(steps=120, threads=1, seed=seed))
    return {"suggestion": found.suggestion, "lowest": found.lowest, "diverged": found.diverged, "reason": found.reason}


if __name__ == "__main__":
    main()
