"""Runs in which something was planted, for the tests of what finds it."""

from __future__ import annotations

import contextlib

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.data.stages import Stage, StagedSampler
from llm_from_scratch.recipes.miniature import miniature
from llm_from_scratch.training import TrainingSettings, train
from llm_from_scratch.training.forensics import explain
from llm_from_scratch.training.run import Diverged

VOCABULARY, CONTEXT, LENGTH = 60, 16, 24  # of a document, with its separator
DOCUMENTS = 160


def corpus(planted=None, kind="random"):
    """Documents that count up in steps of one (separator 0), and one at place `planted` that does not."""
    rng = np.random.default_rng(5)
    documents = [[0, *(1 + (rng.integers(0, 59) + np.arange(LENGTH - 1)) % 59)] for _ in range(DOCUMENTS)]
    if planted is not None:
        bad = {"random": rng.integers(1, 60, 4 * LENGTH), "repeats": np.full(4 * LENGTH, 7)}[kind]
        documents[planted] = [0, *bad]
    return np.concatenate([*documents, [0]]).astype(np.int64)


def tiny(name="llama-2-70b"):
    config = miniature(name, layers=3, width=32, heads=2, context=32, vocabulary=VOCABULARY)
    return lfs.build(config.pop("model_type"), seed=1, **config)


def sampler(tokens, mode="epochs"):
    if mode == "mixture":
        texts, half = {"plain": corpus(), "spoilt": tokens}, {"plain": 0.5, "spoilt": 0.5}
        stages = [Stage(CONTEXT, 4, batches=20), Stage(CONTEXT, 6, weights=half)]
        return StagedSampler(texts, stages, seed=0, separator=0)
    return BatchSampler(tokens, 4, CONTEXT, seed=0, separator=0, mode=mode)


def settings(**changes):
    chosen = {"steps": 80, "learning_rate": 3e-3, "warmup": 5, "checkpoint_every": 20, "keep": 9, "threads": 1}
    return TrainingSettings(**{**chosen, **changes})


def run(directory, tokens, chosen, on_step=None, mode="epochs", name="llama-2-70b", **more):
    with contextlib.suppress(Diverged):
        train(tiny(name), sampler(tokens, mode), chosen, directory=directory, on_step=on_step, progress=False, **more)


def explained(directory, tokens, chosen, step, on_step=None, mode="epochs", name="llama-2-70b", **more):
    return explain(tiny(name), sampler(tokens, mode), chosen, step, directory=directory, on_step=on_step, **more)


def steps_with(tokens, document, chosen, mode="epochs", least=12):
    """The steps in whose batch more than `least` tokens of a row come from this document."""
    walk, begins, found = sampler(tokens, mode), np.flatnonzero(tokens == 0), []
    low, high = begins[document], begins[document + 1]
    for step in range(1, chosen.steps + 1):
        for _ in range(chosen.micro_batches):
            next(walk)
            starts = np.array([row.start for row in walk.origins if row.source in (None, "spoilt")])
            covered = np.minimum(starts + CONTEXT, high) - np.maximum(starts, low)
            if (covered > least).any() and step not in found:
                found.append(step)
    return found


def step_with(tokens, document, chosen, mode="epochs", after=45):
    """The first of them behind `after`."""
    return next(step for step in steps_with(tokens, document, chosen, mode) if step > after)
