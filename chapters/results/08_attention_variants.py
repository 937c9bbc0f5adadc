"""Who shares keys and who looks how far, raced: python chapters/results/08_attention_variants.py [FOLDER] [MINUTES]

Six small models of equal size on the same tales, three seeds each. What a design saves in keys and values it gets back
as width of the feed-forward part, so that all have the same number of parameters to within half a percent. A run is a
line of 08_runs.jsonl, appended when it ends; the same command goes on where it stopped, and with MINUTES it stops.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.files.jsonl import read_jsonl
from llm_from_scratch.recipes.recipe import Recipe, build_model, prepare_corpus

HERE = Path(__file__).parent
LAYERS, WIDTH, HEADS, CONTEXT, BATCH, STEPS, WINDOW, SEEDS = 4, 128, 8, 256, 2, 800, 32, (0, 1, 2)
FEED_FORWARD = 352
REACH = LAYERS * (WINDOW - 1)  # tokens back that anything can be heard through four windows
EVERYWHERE, IN_TURNS = (0, 1, 2, 3), (0, 2)
DESIGNS = {  # key-value heads, and the layers that have a window
    "multi-head": (8, ()), "grouped, 2": (2, ()), "multi-query": (1, ()),
    "window 32": (8, EVERYWHERE), "bands of 32 in turns": (8, IN_TURNS), "grouped, 2, bands": (2, IN_TURNS),
}  # fmt: skip


def recipe(key_value_heads, seed):
    saved = 2 * WIDTH * (HEADS - key_value_heads) * (WIDTH // HEADS)  # a layer's parameters of keys and values
    return Recipe(
        data="tales:8000", layers=LAYERS, width=WIDTH, heads=HEADS, key_value_heads=key_value_heads,
        feed_forward=FEED_FORWARD + round(saved / (3 * WIDTH)), vocabulary=1536, context=CONTEXT, batch_size=BATCH,
        sampling="documents", validation_fraction=0.02, seed=seed, embedding_std=0.2, copying=0.5,
    )  # fmt: skip


def built(name, seed, tokenizer):
    key_value_heads, windows = DESIGNS[name]
    model = build_model(recipe(key_value_heads, seed), tokenizer)
    if not windows:
        return model
    spec = model.spec.with_mixer(lambda i, old: replace(old, window=WINDOW), layers=list(windows))
    windowed = lfs.Decoder(spec, np.random.default_rng(seed))
    windowed.load_state_dict(model.state_dict())  # begins with the very weights of the one that sees everything
    return windowed


def distances(ids, targets):
    """How far back each target stood last, (B, T); 0 where it is new in its row, or no target."""
    found = np.zeros(targets.shape, int)
    for b, (row, wanted) in enumerate(zip(ids, targets)):
        last = {}
        for t, (token, target) in enumerate(zip(row.tolist(), wanted.tolist())):
            last[token] = t
            found[b, t] = t + 1 - last[target] if target in last else 0
    return found


def measured(model, corpus):
    losses, back, place = [], [], []
    held_out = {"seed": 0, "separator": corpus.validation.separator, "mode": "documents"}
    sampler = BatchSampler(corpus.validation, 16, CONTEXT, **held_out)
    for _ in range(12):
        batch = next(sampler)
        with lfs.no_grad():
            loss = -model.token_log_probabilities(batch).data
        first = batch["segments"] == batch["segments"][:, :1]  # the tale that begins with the row
        losses.append(loss[first])
        back.append(distances(batch["ids"], batch["targets"])[first])
        place.append(np.broadcast_to(np.arange(CONTEXT), loss.shape)[first])
    loss, back, place = map(np.concatenate, (losses, back, place))
    parts = {
        "all": loss >= 0, "new": back == 0, "heard within 31": (back > 0) & (back < WINDOW),
        "heard within 124": (back >= WINDOW) & (back <= REACH), "heard further back": back > REACH,
    }  # fmt: skip
    return {name: [round(float(loss[here].mean()), 4), int(here.sum())] for name, here in parts.items()}


def run(name, seed, corpus):
    model = built(name, seed, corpus.tokenizer)
    settings = lfs.TrainingSettings(
        STEPS, 3e-3, final_learning_rate=1.5e-4, warmup=STEPS // 10, betas=(0.9, 0.98), threads=1, seed=seed
    )
    sampler = BatchSampler(corpus.train, BATCH, CONTEXT, seed=seed, separator=corpus.train.separator, mode="documents")
    began = time.process_time()
    lfs.train(model, sampler, settings, progress=False, report=lambda text: None)
    print(name, seed, f"{time.process_time() - began:.0f} s", flush=True)
    return {"design": name, "seed": seed, "parameters": model.parameter_count, "losses": measured(model, corpus)}


def main(folder, minutes="1e9"):
    begun, path = time.monotonic(), HERE / "08_runs.jsonl"
    corpus = prepare_corpus(recipe(8, 0), folder)
    done = {(row["design"], row["seed"]) for row in read_jsonl(path)} if path.exists() else set()
    for seed in SEEDS:
        for name in DESIGNS:
            if (name, seed) not in done and time.monotonic() - begun < 60 * float(minutes):
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run(name, seed, corpus)) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(*(sys.argv[1:] or [temporary]))
