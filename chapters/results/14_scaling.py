"""Equal compute, other sizes: python chapters/results/14_scaling.py [FOLDER] [MINUTES] [rates]

Trains LLaMAs of two layers, 6 to 270 thousand parameters, on tales: each budget of 6ND FLOPs with five widths and
three seeds. A run is a line of 14_runs.jsonl, appended when it ends; the same command goes on where it stopped, and
with MINUTES it stops by itself. FOLDER keeps the prepared text between calls. No run reads a tale twice.

rates: only looks which learning rate suits which width, and appends to 14_rates.jsonl.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import BatchSampler, evaluation_batches
from llm_from_scratch.files.jsonl import read_jsonl
from llm_from_scratch.recipes.recipe import Recipe, prepare_corpus

HERE = Path(__file__).parent
LAYERS, VOCABULARY, CONTEXT, BATCH, HEAD = 2, 512, 128, 4, 8
WIDTHS = {  # of each budget
    1.3e10: (8, 16, 24, 32, 48),
    4e10: (16, 24, 32, 48, 64),
    1.2e11: (16, 24, 32, 48, 64),
    3.6e11: (24, 32, 48, 64, 96),
}
SEEDS, RUNS_OF = (0, 1, 2), (1, 2, 4, 8, 16, 32)
RATES = {16: (8e-3, 1.6e-2, 3.2e-2, 6.4e-2), 32: (8e-3, 1.6e-2, 3.2e-2), 64: (4e-3, 8e-3, 1.6e-2, 3.2e-2)}


def rate(width):
    """Near the best of each width, see `rates`: a narrow model bears, and needs, longer steps."""
    return round(0.1 / width**0.5, 5)


def built(width, seed):
    heads = width // HEAD
    return lfs.build(
        "llama", vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=LAYERS, num_attention_heads=heads,
        num_key_value_heads=heads, intermediate_size=round(width / 3) * 8, max_position_embeddings=CONTEXT,
        tie_word_embeddings=True, initializer_range=width**-0.5, seed=seed,
    )  # fmt: skip


def measured(model, corpus):
    """Held-out loss, share of tokens that are the likeliest, and of runs of k tokens that all are."""
    total, right = 0.0, []
    for batch in evaluation_batches(corpus.validation, 32, CONTEXT, separator=corpus.validation.separator, limit=8):
        with lfs.no_grad():
            logits = model(batch["ids"], segments=batch.get("segments"))
            total += lfs.cross_entropy(logits, batch["targets"]).item()
        right.append(logits.data.argmax(-1) == batch["targets"])
    hits = np.concatenate(right)
    sums = np.cumsum(np.pad(hits, [(0, 0), (1, 0)]), axis=1)
    exact = {k: float((sums[:, k:] - sums[:, :-k] == k).mean()) for k in RUNS_OF}
    return {"loss": round(total / len(right), 5), "exact": {k: float(f"{share:.4g}") for k, share in exact.items()}}


def run(corpus, budget, width, seed, lr):
    model = built(width, seed)
    steps = round(budget / (6 * model.parameter_count * BATCH * CONTEXT))
    settings = lfs.TrainingSettings(steps, lr, final_learning_rate=0.1 * lr, warmup=max(1, steps // 10), threads=1)
    sampler = BatchSampler(corpus.train, BATCH, CONTEXT, seed=seed, separator=corpus.train.separator)
    losses = []
    lfs.train(
        model, sampler, settings, on_step=lambda step, loss, _: step and losses.append(loss), progress=False,
        report=lambda text: None,
    )  # fmt: skip
    ends = np.unique(np.geomspace(8, steps, 24).astype(int))
    windows = list(zip(ends, ends[1:]))
    tokens = BATCH * CONTEXT
    return {
        "budget": budget, "width": width, "seed": seed, "learning_rate": lr,
        "parameters": model.parameter_count, "tokens": steps * tokens, **measured(model, corpus),
        "curve": [[int((a + b) / 2 * tokens), round(float(np.mean(losses[a:b])), 4)] for a, b in windows],
    }  # fmt: skip


def main(folder, minutes=1e9, only=""):
    recipe = Recipe(data="tales:20000", vocabulary=VOCABULARY, context=CONTEXT, validation_fraction=0.02)
    corpus = prepare_corpus(recipe, folder)
    begun, path = time.monotonic(), HERE / ("14_rates.jsonl" if only == "rates" else "14_runs.jsonl")
    if only == "rates":
        wanted = [(4e10, width, seed, lr) for seed in SEEDS for width, rates in RATES.items() for lr in rates]
    else:
        wanted = [(b, width, seed, rate(width)) for seed in SEEDS for b, widths in WIDTHS.items() for width in widths]
    keys = ("budget", "width", "seed", "learning_rate")
    done = {tuple(row[key] for key in keys) for row in read_jsonl(path)} if path.exists() else set()
    for wish in wanted:
        if wish in done:
            continue
        if time.monotonic() - begun > 60 * float(minutes):
            break
        found = run(corpus, *wish)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(*wish, found["loss"], flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(*(sys.argv[1:] or [temporary]))
