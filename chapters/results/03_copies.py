"""What copies in a corpus do to a small model: python chapters/results/03_copies.py [SEED ...]

A run trains the same model on the same number of tokens, 4,096 rows from Shakespeare's works (only "once" on about half
as many). Half of the rows are the same in all runs of a seed, each read once. The other half is

    fresh        other rows, each read once
    4, 16, 64    so many copies of the first 4th, 16th, 64th of those, shuffled among the rest
    cleaned      nothing: copies of "64" are removed, and what is left is read twice over
    once         nothing: the same, read once

so that "64", "cleaned" and "once" know the same text. A run takes about a minute and is written to 03_copies.json when
it ends; the same command goes on where it stopped.
"""

import json
import sys
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.packing import window_batch
from llm_from_scratch.data.sources import load_text
from llm_from_scratch.files.atomic import write_text

RESULTS = Path(__file__).with_name("03_copies.json")
COMMAND = "python chapters/results/03_copies.py"
SEEDS, CONTEXT, BATCH, ROWS, HELD_OUT, LEARNT = (0, 1, 2), 128, 8, 4096, 192, 32
RUNS = ("fresh", "4", "16", "64", "cleaned", "once")
PEAK = 5e-3  # the learning rate
MODEL = dict(hidden_size=80, intermediate_size=216, num_hidden_layers=3, num_attention_heads=4, vocab_size=512)


def rows_of(tokenizer_size=MODEL["vocab_size"]):
    """All works as rows of 129 tokens, of which the first is only read and each other one predicted."""
    text = load_text("shakespeare")
    ids = np.array(lfs.Tokenizer.train(text[:2_000_000], tokenizer_size).encode(text))
    return ids[: len(ids) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)


def diet(run, rows, rng):
    """The rows in the order in which a run reads them."""
    same, other = rows[: ROWS // 2], rows[ROWS // 2 :]
    if run == "fresh":
        return rng.permutation(rows)
    if run in ("cleaned", "once"):
        known = np.concatenate([same, other[:LEARNT]])
        passes = [rng.permutation(known) for _ in range(2 if run == "cleaned" else 1)]
        return np.concatenate(passes)[:ROWS]
    return rng.permutation(np.concatenate([same, np.tile(other[: len(other) // int(run)], (int(run), 1))]))


def loss(model, rows):
    with lfs.no_grad():
        return float(np.mean([model.loss(window_batch(rows[i : i + 16])).item() for i in range(0, len(rows), 16)]))


def recited(model, rows, given=32, said=32):
    """How many of 32 tokens the model goes on with as the text does, before the first other one: the mean over rows."""
    out = model.generate(rows[:, :given], max_new_tokens=said, temperature=0.0)[:, given:]
    return float((out == rows[:, given : given + said]).cumprod(axis=1).sum(axis=1).mean())


def experiment(run, seed, rows):
    drawn = np.random.default_rng(seed).permutation(rows)
    held_out, rows = drawn[:HELD_OUT], drawn[HELD_OUT : HELD_OUT + ROWS]
    copied = rows[ROWS // 2 :][:LEARNT]  # in all runs but "fresh" the ones read most
    order = diet(run, rows, np.random.default_rng((seed, 1)))
    model = lfs.build("llama", **MODEL, max_position_embeddings=CONTEXT, tie_word_embeddings=True, seed=seed)
    optimizer = lfs.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.1)
    steps, course = len(order) // BATCH, []
    for step in range(steps):
        if step % 64 == 0:
            course.append([step, loss(model, held_out), loss(model, copied)])
        optimizer.lr = lfs.cosine_schedule(step, peak=PEAK, warmup=20, total=steps)
        optimizer.zero_grad()
        batch = window_batch(order[step * BATCH : (step + 1) * BATCH])
        lfs.accumulate_gradients(model, batch)
        lfs.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    course.append([steps, loss(model, held_out), loss(model, copied)])
    return {
        "course": [[step, round(a, 4), round(b, 4)] for step, a, b in course],
        "recited": [recited(model, copied), recited(model, held_out[:LEARNT])],
        "different": len(np.unique(order, axis=0)),
    }


def main(seeds):
    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND, "runs": {}}
    rows = rows_of()
    for seed in seeds:
        for run in RUNS:
            name = f"{run} {seed}"
            if name not in done["runs"]:
                done["runs"][name] = experiment(run, seed, rows)
                write_text(RESULTS, json.dumps(done) + "\n")
                print(name, done["runs"][name]["course"][-1], done["runs"][name]["recited"], flush=True)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
