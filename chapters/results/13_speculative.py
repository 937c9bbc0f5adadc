"""How often a draft guesses right, and what that is worth: python chapters/results/13_speculative.py [NAME …]

The model is what `quickstart --large` leaves in runs/large. Drafts of two layers learn to guess for it, three from its
distributions (as `quickstart --teacher runs/large` does) and three from the text alone, all in as many steps; one of a
single layer is there to compare. Each then guesses for the same tales, from titles that nobody
has read, at several temperatures and so many tokens at once. Seconds are of the processor, on one thread: they do not
depend on what else a machine is doing, as those of a clock would. Every figure is written to 13_speculative.json when
it is there; the same command goes on where it stopped. A name ("taught 0") does that draft alone; "smollm2" is SmolLM2,
whose weights are expanded, with itself as the draft, whose weights are packed.
"""

import dataclasses
import functools
import json
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.tales import tales
from llm_from_scratch.files.atomic import write_text
from llm_from_scratch.files.download import fetch
from llm_from_scratch.generation import Speculation
from llm_from_scratch.generation.draft_speed import expected_tokens
from llm_from_scratch.recipes import quickstart
from llm_from_scratch.recipes.batching import batches, validation_batches
from llm_from_scratch.recipes.beginning import taught_by
from llm_from_scratch.recipes.recipe import build_model, prepare_corpus
from llm_from_scratch.training import evaluate, train
from llm_from_scratch.training.workers import one_blas_thread

RESULTS = Path(__file__).with_name("13_speculative.json")
COMMAND = "python chapters/results/13_speculative.py"
LARGE, SMALL = Path("runs/large"), Path(__file__).parents[1] / "tales_model"
TALES, LONGEST = 12, 260
TEMPERATURES, GUESSES = (0.0, 0.4, 0.8, 1.0), (1, 2, 3, 5, 8)
DRAFTS = [("taught", 0, True, 2), ("alone", 0, False, 2), ("one layer", 0, True, 1)]
DRAFTS += [(kind, seed, kind == "taught", 2) for seed in (1, 2) for kind in ("taught", "alone")]


def open_results():
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {"command": COMMAND, **found}


def write(results):
    write_text(RESULTS, json.dumps(results) + "\n")


def trained_draft(seed, taught, layers, corpus):
    """A draft as `quickstart` trains it (on one thread), taught by the large model or by the text alone."""
    recipe = dataclasses.replace(quickstart.draft_recipe(str(LARGE), seed), layers=layers)
    model = build_model(recipe, corpus.tokenizer)
    settings = dataclasses.replace(quickstart.settings(quickstart.DRAFT_STEPS, seed), threads=1)
    about = {"objective": taught_by(LARGE, model)[0]} if taught else {}
    train(model, batches(recipe, corpus), settings, progress=False, **about)
    return model


def prompts(tokenizer):
    """Titles of tales from a seed that no run has, each behind the token that begins a text."""
    titles = [tale.split("\n")[0] for tale in islice(tales(seed=123), TALES)]
    return [[tokenizer.bos_id, *tokenizer.encode(title)] for title in titles]


def told(model, tokenizer, **settings):
    """The tales' new tokens, and the processor's seconds for them."""
    began, rows = time.process_time(), []
    for number, prompt in enumerate(prompts(tokenizer)):
        about = {"max_new_tokens": LONGEST, "stop_tokens": [tokenizer.eos_id], "seed": 1000 + number}
        rows.append(model.generate([prompt], **about, **settings)[0, len(prompt) :].tolist())
    return rows, time.process_time() - began


@functools.cache
def told_plainly(model, tokenizer, temperature):
    return told(model, tokenizer, temperature=temperature)


def measured(model, draft, tokenizer, temperature, guesses):
    """One cell: counts, the theory's tokens a pass, and the seconds a token takes without and with the draft."""
    went = Speculation()
    plain, without = told_plainly(model, tokenizer, temperature)
    about = {"draft_model": draft, "num_assistant_tokens": guesses, "speculation": went}
    rows, with_draft = told(model, tokenizer, temperature=temperature, **about)
    tokens, others = (sum(map(len, each)) for each in (rows, plain))
    cell = {
        "temperature": temperature, "guesses": guesses, "tokens": tokens, **dataclasses.asdict(went),
        "acceptance": round(went.acceptance, 4), "tokens_per_pass": round(went.tokens_per_pass, 3),
        "expected": round(expected_tokens(went.acceptance, guesses), 3),
        "ms_without": round(1000 * without / others, 3), "ms_with": round(1000 * with_draft / tokens, 3),
    }  # fmt: skip
    cell["times as fast"] = round(cell["ms_without"] / cell["ms_with"], 2)
    return cell | ({"same": rows == plain} if temperature == 0 else {})


def report_of(directory):
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    kept = {name: round(report["trained"][name], 4) for name in ("loss", "bits_per_byte", "consistency")}
    return {"parameters": report["parameters"], "tokens": report["tokens"], **kept}


def loss_of(model, recipe, corpus):
    figures = evaluate(model, validation_batches(recipe, corpus)(), threads=1)
    return {"parameters": model.parameter_count, "loss": round(figures["loss"], 4)}


def step_costs(model, lengths=(1, 2, 3, 4, 6, 9), repeats=40):
    """The processor's milliseconds for reading so many tokens behind 150 others."""
    memory, costs = model.new_memory(1), {}
    model.step(np.arange(150)[None] % 1000, memory)
    for length in lengths:
        ids, best = np.arange(length)[None], []
        for _ in range(repeats):
            began = time.process_time()
            model.step_each(ids, memory)
            best.append(time.process_time() - began)
            memory.crop(150)
        costs[str(length)] = round(1000 * float(np.median(best)), 3)
    return costs


def main(names):
    results = open_results()
    model, tokenizer = lfs.from_pretrained(LARGE), lfs.Tokenizer.from_pretrained(LARGE)

    def once(name, make, *about):
        if name not in results:
            results[name] = make(*about)
            write(results)
            print(name, results[name], flush=True)

    once("large", report_of, LARGE)
    once("large, milliseconds", step_costs, model)
    small, recipe = lfs.from_pretrained(SMALL), quickstart.large_recipe()
    corpus = prepare_corpus(recipe, LARGE / "data")
    once("tales_model", loss_of, small, recipe, corpus)
    once("tales_model, milliseconds", step_costs, small)
    once("tales_model, grid", grid, model, small, tokenizer, [(0.0, 3), (0.8, 3)])
    for kind, seed, taught, layers in DRAFTS:
        name = f"{kind} {seed}"
        if f"{name}, grid" in results or (names and name not in names):
            continue
        draft = trained_draft(seed, taught, layers, corpus)
        once(name, loss_of, draft, recipe, corpus)
        once(f"{name}, milliseconds", step_costs, draft)
        cells = [(t, 5) for t in (0.0, 0.8)]
        if name == "taught 0":
            cells = [(t, 5) for t in TEMPERATURES] + [(0.8, k) for k in GUESSES if k != 5]
            draft.save_pretrained("runs/draft-0")
            tokenizer.save("runs/draft-0")
            once("taught 0 for tales_model", grid, small, draft, tokenizer, [(0.0, 3), (0.8, 3)])
        once(f"{name}, grid", grid, model, draft, tokenizer, cells)


def grid(model, draft, tokenizer, cells):
    return [measured(model, draft, tokenizer, *cell) for cell in cells]


def smollm2():
    results, path = open_results(), fetch("smollm2")
    model, draft = lfs.from_pretrained(path), lfs.from_pretrained(path, packed=True)
    tokenizer, rows, seconds = lfs.Tokenizer.from_pretrained(path), {}, {}
    ids = [tokenizer.encode("The history of the printing press begins")]
    went, about = Speculation(), {"max_new_tokens": 48, "temperature": 0.0, "stop_tokens": ()}
    for name, each, more in (
        ("expanded", model, {}), ("packed", draft, {}),
        ("expanded, guessed by packed", model,
         {"draft_model": draft, "num_assistant_tokens": 3, "speculation": went}),
    ):  # fmt: skip
        began = time.process_time()
        rows[name] = each.generate(ids, **about, **more).tolist()
        seconds[name] = round((time.process_time() - began) / 48, 4)
    same = rows["expanded"] == rows["expanded, guessed by packed"]
    results["smollm2"] = {"seconds a token": seconds, **dataclasses.asdict(went), "same": same}
    print(results["smollm2"])
    write(results)


if __name__ == "__main__":
    with one_blas_thread():
        smollm2() if sys.argv[1:] == ["smollm2"] else main(sys.argv[1:])
