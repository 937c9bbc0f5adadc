"""SmolLM2 on grids of few bits, by rounding, AWQ and GPTQ: python chapters/results/25_gptq_and_awq.py

Each run quantises the model in groups of 64 and scores 2,048 tokens of a play; GPTQ and AWQ have read 2,048 tokens of
others, which ones is the seed. A run takes minutes and is written to 25_smollm2.json when it ends; the same command goes
on where it stopped. The model's file holds 4 bits already, in groups of 32: what is quantised here are those numbers.
"""

import json
import sys
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.sources import documents
from llm_from_scratch.files.atomic import write_text
from llm_from_scratch.files.download import fetch
from llm_from_scratch.scoring import perplexity

RESULTS = Path(__file__).with_name("25_smollm2.json")
COMMAND = "python chapters/results/25_gptq_and_awq.py"
SEEDS, GROUP, BLOCK = (0, 1, 2), 64, 64
RUNS = [("float", 32, 0)] + [
    (method, bits, seed)
    for seed in SEEDS
    for bits in (3, 2, 4)
    for method in ("rtn", "gptq", "awq")
    if method != "rtn" or seed == 0  # rounding reads nothing
]


def main():
    path = fetch("smollm2")
    tokenizer = lfs.Tokenizer.from_pretrained(path)
    works = list(documents("shakespeare"))
    long = [work for work in works if len(work) > 50_000]
    held_out = np.array(tokenizer.encode(long[0][20_000:40_000])[:2049])

    def calibration(seed):
        rng = np.random.default_rng(seed)
        rows = []
        for number in rng.choice(np.arange(1, len(long)), 8, replace=False):
            start = rng.integers(10_000, len(long[number]) - 5_000)
            rows.append(tokenizer.encode(long[number][start : start + 5_000])[:256])
        return np.array(rows)

    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND, "runs": {}}
    for method, bits, seed in RUNS:
        name = f"{method} {bits} {seed}"
        if name in done["runs"]:
            continue
        model = lfs.from_pretrained(path)
        found = {}
        if method != "float":
            lfs.compression.quantize_model(model, method, calibration(seed), bits=bits, group_size=GROUP)
            matrices = model.quantization.matrices
            found["errors"] = {matrix.path: float(f"{matrix.error:.4g}") for matrix in matrices}
            found["bits"] = round(float(np.mean([matrix.bits for matrix in matrices])), 3)
        score = perplexity(model, held_out, context=512, batch_size=1)
        blocks = -score.log_probabilities.reshape(-1, BLOCK).mean(axis=1)
        found["losses"] = [round(float(loss), 4) for loss in blocks]  # of each 64 tokens
        done["runs"][name] = found
        write_text(RESULTS, json.dumps(done) + "\n")
        print(name, round(score.value, 2), flush=True)


if __name__ == "__main__":
    sys.exit(main())
