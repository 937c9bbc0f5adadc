"""Training in two bytes a number: python chapters/results/12_storage.py

Two trainings of small models on tales, each with three seeds, in float32 and in bfloat16 with rounding to the nearest
and by chance: one from nothing at a rate of 3e-3, and one that goes on with the book's tales model on Python's help
texts at 2e-5, as one fine-tunes. Written to 12_storage.json run by run; the same command goes on where it stopped.
"""

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import BatchSampler, evaluation_batches
from llm_from_scratch.data.sources import documents
from llm_from_scratch.files.atomic import write_text
from llm_from_scratch.recipes.batching import batches, validation_batches
from llm_from_scratch.recipes.recipe import Recipe, build_model, prepare_corpus
from llm_from_scratch.training import TrainingSettings, evaluate, train

RESULTS = Path(__file__).with_name("12_storage.json")
COMMAND = "python chapters/results/12_storage.py"
SEEDS = (0, 1, 2)
STORAGES = {
    "float32": {"storage": "float32"},
    "nearest": {"storage": "bfloat16", "stochastic_rounding": False},
    "stochastic": {"storage": "bfloat16", "stochastic_rounding": True},
}


def from_nothing(seed, storage):
    """A model of 0.4M parameters, 300 steps of 16 rows of 128 tokens."""
    recipe = Recipe(layers=3, width=96, heads=4, vocabulary=512, context=128, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare_corpus(recipe, folder)
        model = build_model(recipe, corpus.tokenizer)
        settings = {
            "steps": 300,
            "learning_rate": 3e-3,
            "final_learning_rate": 1.5e-4,
            "warmup": 20,
            "evaluate_every": 50,
        }
        return trained(model, batches(recipe, corpus), validation_batches(recipe, corpus), seed, settings, storage)


def tuned(seed, storage):
    """The tales model of the book, 100 steps of 8 rows of 128 tokens of another kind of text."""
    path = Path(__file__).parents[1] / "tales_model"
    model, tokenizer = lfs.from_pretrained(path), lfs.Tokenizer.from_pretrained(path)
    ids = np.array(tokenizer.encode("\n".join(itertools.islice(documents("pydoc"), 40))[:400_000]))
    held_out, ids = ids[:8_000], ids[8_000:]
    settings = {"steps": 100, "learning_rate": 2e-5, "schedule": "constant", "evaluate_every": 20}
    validation = lambda: evaluation_batches(held_out, 8, 128)  # noqa: E731
    return trained(model, BatchSampler(ids, 8, 128, seed=seed), validation, seed, settings, storage)


def trained(model, sampler, validation, seed, settings, storage):
    """Losses on held-out text, and the bytes of a snapshot's weights and of the optimiser's means."""
    found = []

    def look(step, loss, model):
        if step % settings["evaluate_every"] == 0:
            found.append([step, round(evaluate(model, validation())["loss"], 4)])

    chosen = TrainingSettings(**settings, **STORAGES[storage], seed=seed, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"progress": False, "report": lambda text: None}
        outcome = train(model, sampler, chosen, directory=folder, on_step=look, **quiet)
        if not outcome.finished:
            raise KeyboardInterrupt
        snapshot = Path(folder) / f"step-{settings['steps']}"
        files = {path.stem: path.stat().st_size for path in sorted(snapshot.glob("*.safetensors"))}
    return {"losses": found, "bytes": files}


def main():
    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND, "runs": {}}
    for (title, run), seed, storage in itertools.product(
        {"from nothing": from_nothing, "tuned": tuned}.items(), SEEDS, STORAGES
    ):
        name = f"{title} {storage} {seed}"
        if name not in done["runs"]:
            done["runs"][name] = run(seed, storage)
            write_text(RESULTS, json.dumps(done) + "\n")
            print(name, done["runs"][name], flush=True)


if __name__ == "__main__":
    main()
