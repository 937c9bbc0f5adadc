"""Every technique of adapting on one task: answering questions about tales, from the tales model that never saw one.

    OMP_NUM_THREADS=1 python -m llm_from_scratch.recipes.adapter_race chapters/results/23_adapters.json

Each contestant gets the same examples in the same order, as many steps, and a rate that suits its technique; what
differs between seeds is the examples and what is drawn. The tokens that begin and end turns are new to the model, whose
embedding only full training and "and tokens" touch. What is finished is kept: the command goes on where it stopped.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import from_pretrained
from ..data import dialogue_examples
from ..data.assistant import QUESTION_KINDS, dialogues, tasks
from ..data.examples import ExampleSampler, example_batches
from ..files.atomic import write_json
from ..files.strict_json import read_json_object
from ..scoring.answers import answer
from ..tokenizers import Tokenizer
from ..training import TrainingSettings, train
from ..training.validation import evaluate
from .techniques import put_on

STEPS, BATCH, QUESTIONS, SEEDS = 300, 8, 200, (0, 1, 2)
# name: technique, rate, settings
CONTESTANTS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "full": ("full", 3e-3, {}),
    "LoRA all and tokens, r = 8": ("lora", 1e-2, {"targets": ("all-linear", "embedding", "head")}),
    "LoRA all, r = 8": ("lora", 1e-2, {"targets": "all-linear"}),
    "LoRA q v, r = 8": ("lora", 2e-2, {}),
    "LoRA q v, r = 2": ("lora", 2e-2, {"rank": 2, "alpha": 4}),
    "Houlsby, 16": ("houlsby", 1e-2, {}),
    "Pfeiffer, 16": ("pfeiffer", 1e-2, {}),
    "(IA)³": ("ia3", 1e-1, {}),
    "prefix, 20": ("prefix", 5e-2, {}),
    "prompt, 20": ("prompt", 1e-2, {}),
}


def run(name: str, seed: int, model_path: str, steps: int = STEPS) -> dict[str, Any]:
    """Train one contestant; {"trainable", "right", "loss"}: held-out questions and dialogues, the same for all."""
    technique, rate, settings = CONTESTANTS[name]
    tokenizer, model = Tokenizer.from_pretrained(model_path), from_pretrained(model_path)
    put_on(model, technique, **settings, seed=seed)
    about: dict[str, Any] = {"template": "tales", "context": model.spec.context_length, "too_long": "error"}
    talks = dialogues(seed, kinds=QUESTION_KINDS)
    examples = dialogue_examples(tokenizer, itertools.islice(talks, steps * BATCH), **about)
    outcome = train(
        model,
        ExampleSampler(examples, BATCH, seed=seed, multiple=16),
        TrainingSettings(
            steps=steps, learning_rate=rate, final_learning_rate=rate / 20, warmup=steps // 20, weight_decay=0.0,
            betas=(0.9, 0.98), threads=1, seed=seed,
        ),
        progress=False,
        report=lambda text: None,
    )  # fmt: skip
    if not outcome.finished:
        raise KeyboardInterrupt
    held_out = dialogue_examples(
        tokenizer, itertools.islice(dialogues(10**6, kinds=QUESTION_KINDS), QUESTIONS), **about
    )
    asked = list(itertools.islice(tasks(10**6, kinds=QUESTION_KINDS), QUESTIONS))
    texts = answer(model, tokenizer, [task.messages for task in asked], template="tales", max_new_tokens=48)
    loss = evaluate(model, example_batches(held_out, 16), threads=1)
    return {
        "trainable": sum(p.size for p in model.parameters() if p.requires_grad),
        "right": float(np.mean([task.right(text) for task, text in zip(asked, texts)])),
        "loss": float(loss["loss"]),
    }


def race(path: Path, model_path: str = "chapters/tales_model") -> dict[str, Any]:
    """All contestants with all seeds; the file is written after each."""
    found = read_json_object(path) if path.exists() else {}
    found |= {"steps": STEPS, "batch": BATCH, "questions": QUESTIONS}
    runs = found.setdefault("runs", {})
    for seed in SEEDS:
        for name, (_, rate, _) in CONTESTANTS.items():
            done = runs.setdefault(name, {"rate": rate, "seeds": {}})["seeds"]
            if str(seed) not in done:
                done[str(seed)] = run(name, seed, model_path)
                write_json(path, found)
                print(name, seed, done[str(seed)], flush=True)
    return found


if __name__ == "__main__":
    race(Path(sys.argv[1]))
