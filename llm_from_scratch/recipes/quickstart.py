"""What `python -m llm_from_scratch quickstart` trains: settings found by trying, the reason beside each.

The work is the same on every machine, so that everybody's model has seen the same tales in the same number of steps;
only how long that takes depends on the machine.
"""

from __future__ import annotations

from ..training import TrainingSettings
from .recipe import Recipe

BATCH, CONTEXT = 2, 256  # a row holds a tale; few rows are more steps for the same tokens, and two cores take one each
STEPS = 2_500  # × 2 × 256 = 1.28 million tokens, which two cores read in about two minutes
TALES = 8_000  # some more than are read (5,000 rows), so that none is read twice

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
