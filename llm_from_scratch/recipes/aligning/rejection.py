"""Rejection sampling: the model answers each prompt several times, and learns the answer that scores highest."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...alignment import best_of_n, reward_rows
from ...alignment.best_of import Score
from ...alignment.pairs import encode_answer
from ...files.jsonl import read_jsonl, write_jsonl
from ...scoring.answers import answer
from ...scoring.likelihoods import model_digest
from ...training import next_token
from ..beginning import steps_of
from ..tuning import Tuning
from .method import Method, Setup
from .rewarded import REWARD_TOKENS, learned_reward, reward_row
from .sources import Tales


def best_answers(setup: Setup) -> list[list[dict[str, Any]]]:
    """Dialogues of the setup's prompts, each with the best of its answers; kept beside the data, once they are made."""
    s = setup.settings
    about: dict[str, Any] = {"model": model_digest(setup.model), "template": setup.template.source}
    names = ("data", "seed", "noise", "kinds", "reward", "reward_model", "reward_tokens", "training_prompts", "answers")
    about |= {name: s[name] for name in (*names, "max_new_tokens", "temperature")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    kept = None if setup.cache is None else Path(setup.cache) / f"best-of-{s['answers']}-{digest[:16]}.jsonl"
    if kept is not None and kept.exists():
        return [row["messages"] for row in read_jsonl(kept)]
    prompts = [pair["prompt"] for pair in setup.preferences(s["training_prompts"])]
    score = _scorer(setup, len(prompts))
    setup.say(f"{s['answers']} answers to each of {len(prompts):,} prompts, of which the best is learned")

    def sample(prompts: Sequence[Any], seed: int) -> list[str]:
        return answer(
            setup.model, setup.tokenizer, prompts, template=setup.template, seed=seed,
            max_new_tokens=s["max_new_tokens"], temperature=s["temperature"],
        )  # fmt: skip

    best = best_of_n(sample, score, prompts, s["answers"], seed=s["seed"])
    setup.say(f"mean score {best.scores.mean():.3f}, of the best {best.scores.max(axis=1).mean():.3f}")
    dialogues = best.dialogues()
    if not dialogues:
        raise ValueError("every best answer is empty: there is nothing to learn from this model's answers")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(kept, ({"messages": messages} for messages in dialogues))
    return dialogues


def _scorer(setup: Setup, count: int) -> Score:
    """Called with the setup's prompts, so many, and an answer to each: what these are worth."""
    if setup.settings["reward"] == "true":
        if not isinstance(setup.source, Tales):
            raise ValueError("the true score of an answer is known for the tales only: --data tales, or reward=learned")
        tasks = list(itertools.islice(setup.source.asked(), count))
        return lambda _, texts: [task.score(text) for task, text in zip(tasks, texts)]
    reward_model = learned_reward(setup)

    def learned(prompts: Sequence[Any], texts: Sequence[str]) -> list[float]:
        scores = [-1e9] * len(texts)  # an empty answer is no answer
        said = [k for k, text in enumerate(texts) if text]
        rows = [reward_row(setup, prompts[k], [{"role": "assistant", "content": texts[k]}]) for k in said]
        for k, score in zip(said, reward_rows(reward_model, rows, threads=setup.threads) if rows else ()):
            scores[k] = float(score)
        return scores

    return learned


def _check(s: Mapping[str, Any]) -> None:
    if s["reward"] not in ("learned", "true"):
        raise ValueError(f"reward is 'learned' or 'true', not {s['reward']!r}")
    if isinstance(s["answers"], bool) or not isinstance(s["answers"], int) or s["answers"] < 2:
        raise ValueError(f"answers must be a whole number of at least 2, to choose from, not {s['answers']!r}")
    if not s["temperature"] > 0:
        raise ValueError(f"temperature must be above 0, or all answers are one; got {s['temperature']!r}")


def _rejection(setup: Setup) -> Tuning:
    examples = [
        encode_answer(setup.tokenizer, messages[:-1], messages[-1:], template=setup.template)
        for messages in best_answers(setup)
    ]
    s = setup.settings
    steps = s["steps"]
    if steps is None:
        steps = steps_of(s["tokens"], examples, s["batch"])
    return setup.tuning(setup.sampler(examples), next_token, setup.training(steps))


METHODS = (
    Method(
        "rejection", "the best of several answers to each prompt is learned, by supervised tuning", "arXiv:2307.09288",
        "prompts",
        {
            "answers": 8, "temperature": 1.0, "reward": "learned", "reward_model": "", "reward_tokens": REWARD_TOKENS,
            "training_prompts": 2048, "tokens": 300_000, "lr": 1e-3,
        },
        _rejection, _check,
    ),
)  # fmt: skip
