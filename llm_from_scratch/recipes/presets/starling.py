"""Starling: OpenChat, a reward model learned from rankings of many answers, and APA on answers that it scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.graded import apa_objective
from ...alignment.pairs import encode_answer
from ...alignment.reward_objectives import RewardRankings, pair_example, ranking_example
from ...data import assistant
from ...scoring.likelihoods import log_likelihoods
from ..tuning import Tuning
from . import openchat
from .corpora import TRAINING, asked, plain, prompt_of
from .custom import Made, Reward, Written
from .opening import Opened, sampled
from .preset import Preset
from .scoring import scores_of

PLACES = 5  # Nectar has seven answers to a prompt
PROMPTS, ANSWERS = 480, 4
SCALE = 0.5  # the paper's λ: how far an advantage of one draws the log-probability of a token is 1 / λ


def rankings(opened: Opened, seed: int) -> Iterator[Mapping[str, Any]]:
    """Answers in the order of their ranks."""
    for row in assistant.rankings(TRAINING + seed, k=PLACES):
        prompt = openchat.of_class(plain(row["prompt"]))
        ranked = [text for _, text in sorted(zip(row["ranks"], row["answers"]))]
        yield ranking_example([opened.encode(prompt, text).tolist() for text in ranked], PLACES)


def pairs(opened: Opened, seed: int) -> Iterator[Mapping[str, Any]]:
    """Held-out preferences, to measure the reward model on."""
    for row in assistant.preferences(seed, kinds=assistant.QUESTION_KINDS):
        prompt = openchat.of_class(plain(row["prompt"]))
        chosen, rejected = (opened.encode(prompt, row[side][-1]["content"]).tolist() for side in ("chosen", "rejected"))
        yield pair_example(chosen, rejected)


def scored(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Answers of the policy, and by how much the reward model puts them above the others to the same prompt."""
    tasks = itertools.islice(asked(opened.start.settings["seed"] + 1), opened.some(PROMPTS))
    prompts = [openchat.of_class(prompt_of(task)) for task in tasks]
    columns = sampled(opened, prompts, ANSWERS)
    scores = np.stack([scores_of(opened, "reward", prompts, texts) for texts in columns], axis=1)
    advantages = scores - scores.mean(axis=1, keepdims=True)
    advantages /= advantages.std() + 1e-8
    return [
        {"prompt": prompt, "answer": texts[row], "advantage": round(float(advantages[row, k]), 4)}
        for row, prompt in enumerate(prompts)
        for k, texts in enumerate(columns)
        if texts[row]
    ]


def apa(opened: Opened) -> Tuning:
    """Draw each answer's log-ratio to its advantage."""
    batch, rows = opened.start.settings["batch"] or 16, opened.start.rows("answers")
    examples, steps = opened.gather(_encoded(opened, rows), batch, 200_000)
    initial = log_likelihoods(opened.model, examples, per_token=True, threads=opened.start.settings["threads"])
    examples = [{**one, "initial": values.astype(np.float32)} for one, values in zip(examples, initial)]
    return opened.tuning(examples, steps, objective=apa_objective(scale=SCALE), lr=5e-4, batch=batch)


def _encoded(opened: Opened, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        answer = [{"role": "assistant", "content": row["answer"]}]
        example = encode_answer(opened.tokenizer, row["prompt"], answer, template=opened.template)
        yield {**example, "advantages": np.full(len(example["ids"]), row["advantage"], np.float32)}


PRESET = Preset(
    name="starling",
    releases=("Starling",),
    particular="a reward model from whole rankings (Plackett-Luce), and APA, whose squared error holds the policy near",
    here="five answers of the author for seven of Nectar; one round of sampled answers, each token with the answer's "
    "advantage",
    template=openchat.TEMPLATE,
    stages=(
        *openchat.PRESET.stages,
        Reward("reward", "A reward model, from rankings of five.", rankings, pairs, RewardRankings("places")),
        Written("answers", "Four answers to each prompt, scored by the reward model.", scored),
        Made("apa", "Advantage-induced policy alignment.", apa),
    ),
    asks=openchat.of_class,
)
