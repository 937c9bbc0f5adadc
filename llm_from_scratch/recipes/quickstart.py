"""What `python -m llm_from_scratch quickstart` trains: settings found by trying, the reason beside each.

The work is the same on every machine, so that everybody's model has seen the same tales in the same number of steps;
only how long that takes depends on the machine.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..training import TrainingSettings
from .recipe import Recipe

BATCH, CONTEXT = 2, 256  # a row holds a tale; few rows are more steps for the same tokens, and two cores take one each
STEPS = 2_500  # × 2 × 256 = 1.28 million tokens, which two cores read in about two minutes
TALES = 8_000  # some more than are read (5,000 rows), so that none is read twice

# The larger one reads the tales of the model in chapters/tales_model, and so has its tokenizer: each can draft for the
# other. 9,000 rows of them, a third of an hour on two cores.
LARGE_STEPS, LARGE_TALES = 4_500, 30_000
DRAFT_STEPS = 2_500  # of which each takes as long as the teacher needs to read the rows, and little more

# What chats and questions about tales will need of the tokenizer, whatever the tales themselves hold. (Digits need
# nothing: where a text has none, no two of them are merged, and each is its byte's token.)
TURNS = ("<|user|>", "<|assistant|>", "<|end|>")
QUESTIONS = tuple("Who who Where where Which which What what Why why When when How how ?".split())


def recipe(seed: int = 0) -> Recipe:
    """Text, tokenizer and model."""
    return Recipe(
        data=f"tales:{TALES}",
        family="llama",
        layers=4,
        width=128,
        heads=4,
        feed_forward=352,
        vocabulary=2048,  # the tales have 1,200 words: nearly every one is a token, so that few are ever misspelt
        special_tokens=TURNS,
        words=QUESTIONS,
        context=CONTEXT,
        batch_size=BATCH,
        sampling="documents",  # a row that begins in the middle of a tale cannot know its hero
        validation_fraction=0.02,
        seed=seed,
        embedding_std=0.2,  # names begin so far apart that they stay apart
        copying=0.5,  # where attention looks, it says again: what is left to learn is where to look
    )


def large_recipe(seed: int = 0) -> Recipe:
    """The same with four times the parameters and twice the depth, so that a token costs several times as much."""
    sizes: dict[str, Any] = {"layers": 8, "width": 192, "heads": 6, "feed_forward": 640}
    return dataclasses.replace(recipe(seed), data=f"tales:{LARGE_TALES}", **sizes)


def large_settings(steps: int = LARGE_STEPS, seed: int = 0) -> TrainingSettings:
    """A lower rate and a longer warmup than the small one's. ValueError for fewer than one step."""
    rates: dict[str, Any] = {"learning_rate": 2e-3, "final_learning_rate": 1e-4, "warmup": min(200, steps)}
    return dataclasses.replace(settings(steps, seed), **rates)


def draft_recipe(teacher: str, seed: int = 0) -> Recipe:
    """A model that guesses what `teacher` will say next, small enough that guessing costs little.

    A second layer lets it repeat names: 93 % of its guesses are kept then, with one layer 86 % (temperature 0.8).
    """
    sizes: dict[str, Any] = {"layers": 2, "width": 96, "heads": 3, "feed_forward": 256}
    return dataclasses.replace(recipe(seed), data=f"tales:{LARGE_TALES}", teacher=teacher, **sizes)


def settings(steps: int = STEPS, seed: int = 0) -> TrainingSettings:
    """How it is trained. ValueError for fewer than one step."""
    return TrainingSettings(
        steps=steps,
        learning_rate=3e-3,  # with 1e-2 the plateau before copying lasts longer than the run
        final_learning_rate=1.5e-4,
        warmup=min(100, steps),
        weight_decay=0.1,
        betas=(0.9, 0.98),
        evaluate_every=max(1, steps // 5),
        checkpoint_every=max(1, steps // 5),
        seed=seed,
    )
