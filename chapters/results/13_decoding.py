"""Two hundred tales for every way of decoding: python chapters/results/13_decoding.py SEED

The tales model of the book continues the titles of 200 tales that it has not read, with each of the settings below.
Kept are four shares and a mean, over all tales of a setting: how many hold together (`lfs.data.consistency`), how many
of the words' runs of four are different ones, how many stood earlier in the same tale, how many tales reach their end
within 260 tokens; and the log-probability that the model itself gives to a token. Each setting is written to
13_decoding.json when it is done; the same command goes on where it stopped.
"""

import json
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.tales import consistency, tales
from llm_from_scratch.files.atomic import write_text
from llm_from_scratch.generation import left_padded
from llm_from_scratch.training.workers import one_blas_thread

RESULTS = Path(__file__).with_name("13_decoding.json")
MODEL = Path(__file__).parents[1] / "tales_model"
COMMAND = "python chapters/results/13_decoding.py"
TALES, LONGEST, SEEDS = 200, 260, (0, 1, 2)
RUNS = {
    "greedy": {"temperature": 0.0},
    **{f"temperature {t}": {"temperature": t} for t in (0.4, 0.7, 1.0, 1.3, 1.6)},
    **{f"top-k {k}": {"top_k": k} for k in (5, 20)},
    **{f"top-p {p}": {"top_p": p} for p in (0.5, 0.8, 0.95)},
    **{f"min-p {p}": {"min_p": p} for p in (0.5, 0.1, 0.02)},
    **{f"typical {p}": {"typical_p": p} for p in (0.5, 0.9)},
    **{f"temperature 1.6, {name} {value}": {"temperature": 1.6, key: value}
       for name, key, value in (("top-p", "top_p", 0.8), ("min-p", "min_p", 0.1))},
    "penalty 1.2": {"temperature": 0.0, "repetition_penalty": 1.2},
    **{f"beams {n}": {"num_beams": n} for n in (2, 4, 8)},
    "beams 4, no 4-grams twice": {"num_beams": 4, "no_repeat_ngram_size": 4},
    "contrastive 0.3, 4": {"penalty_alpha": 0.3, "top_k": 4},
}  # fmt: skip
STREAM = 77  # of the list of tales that titles are taken from: the model was trained on another


def titles(seed):
    """Of true tales, and these tales."""
    true = list(islice(tales(STREAM), seed * TALES, (seed + 1) * TALES))
    return [tale.split("\n")[0] for tale in true], true


def fours(text):
    words = text.lower().split()
    return list(zip(words, words[1:], words[2:], words[3:]))


def measured(texts):
    """What is kept of the texts, apart from what the model thinks of them."""
    runs = [fours(text) for text in texts]
    every = Counter(run for mine in runs for run in mine)
    again = sum(len(mine) - len(set(mine)) for mine in runs)
    total = max(1, sum(map(len, runs)))
    return {
        "consistent": float(np.mean([consistency(text).consistent for text in texts])),
        "different": len(every) / total,
        "again": again / total,
    }


def told(model, tokenizer, prompts, seed, settings):
    """A tale for each prompt: texts, the share that ended, and the mean log-probability of a new token."""
    rows, size = [], 50 if "num_beams" in settings else 100
    for start in range(0, len(prompts), size):
        ids, real = left_padded(prompts[start : start + size])
        rows += lfs.generation.continue_rows(
            model, ids, mask=real, max_new_tokens=LONGEST, stop_tokens=[tokenizer.eos_id],
            seed=1000 * (seed + 1) + start, **settings,
        )  # fmt: skip
    texts = [tokenizer.decode([t for t in row.seen[1:] if t != tokenizer.eos_id]) for row in rows]
    sums = count = 0.0
    with lfs.no_grad():
        for row in rows:
            ids = np.array([row.seen])
            targets = np.where(np.arange(ids.shape[1] - 1) < ids.shape[1] - 1 - len(row.new), -100, ids[0, 1:])[None]
            sums += float(model.token_log_probabilities({"ids": ids[:, :-1], "targets": targets}).data.sum())
            count += len(row.new)
    return texts, float(np.mean([row.new[-1] == tokenizer.eos_id for row in rows])), sums / count


def main(seed):
    model, tokenizer = lfs.from_pretrained(MODEL), lfs.Tokenizer.from_pretrained(MODEL)
    first, true = titles(seed)
    prompts = [[tokenizer.bos_id, *tokenizer.encode(title)] for title in first]
    for name, settings in [("true tales", None), *RUNS.items()]:
        kept = (
            json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND, "seeds": {}}
        )
        done = kept["seeds"].setdefault(str(seed), {})
        if name in done:
            continue
        if settings is None:
            done[name] = measured(true)
        else:
            texts, ended, log_probability = told(model, tokenizer, prompts, seed, settings)
            done[name] = {**measured(texts), "ended": ended, "log probability": log_probability}
            if seed == SEEDS[0]:
                kept.setdefault("samples", {})[name] = texts[0]
        done[name] = {key: round(value, 4) for key, value in done[name].items()}
        print(seed, name, done[name], flush=True)
        write_text(RESULTS, json.dumps(kept) + "\n")


if __name__ == "__main__":
    with one_blas_thread():
        main(int(sys.argv[1]))
