"""A reward model learned from preferences, and PPO on what it, or the true score, says of sampled answers."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...alignment import (
    PPO,
    ActorCritic,
    PPOSettings,
    RewardModel,
    RewardPairs,
    Rollouts,
    pair_accuracy,
    pair_example,
    reward_rows,
)
from ...alignment.pairs import encode_answer
from ...alignment.references import SIDES
from ...data.examples import ExampleSampler, example_batches
from ...generation import end_tokens
from ...scoring.likelihoods import model_digest
from ...training import TrainingSettings, train
from ...training.objectives import IGNORE
from ..beginning import steps_of
from ..tuning import Tuning
from .method import Method, Setup
from .sources import Tales

REWARD_TOKENS = 1_000_000  # that a reward model learns from, where PPO finds none
PPO_TOKENS = 300_000  # that PPO samples, prompts included
PPO_BETA = 0.2  # a learned reward is followed past the point where it is still right at 0.05, after about 15 rollouts
_EXPECTED = 20  # tokens of an answer, to know how many rollouts that makes
# A pretraining mix needs texts, which the command has none of; a value_clip of 0 is none.
_PPO = {f.name: f.default for f in dataclasses.fields(PPOSettings) if f.name != "pretraining_coefficient"}


def reward_pairs(setup: Setup, preferences: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Preferences as the examples of a reward model; ValueError naming a pair that does not fit."""
    examples = []
    for number, preference in enumerate(preferences):
        rows = {}
        for side in SIDES:
            try:
                rows[side] = reward_row(setup, preference["prompt"], preference[side])
                if setup.context is not None and len(rows[side]) > setup.context:
                    raise ValueError(f"{len(rows[side])} tokens do not fit into the context of {setup.context}")
            except (TypeError, ValueError) as error:
                raise type(error)(f"pair {number}, {side}: {error}") from None
        try:
            examples.append(pair_example(rows["chosen"], rows["rejected"]))
        except ValueError as error:
            raise ValueError(f"pair {number}: {error}") from None
    return examples


def reward_row(setup: Setup, prompt: Any, answer: Any) -> list[int]:
    """Prompt and answer as a reward model reads them: up to the token that ends the answer, and not beyond."""
    example = encode_answer(setup.tokenizer, prompt, answer, template=setup.template)
    last = int(np.flatnonzero(example["targets"] != IGNORE)[-1])
    return [*example["ids"][: last + 1].tolist(), int(example["targets"][last])]


def _reward(setup: Setup) -> Tuning:
    """A run that leaves a reward model behind."""
    examples, training = setup.examples(lambda preferences: reward_pairs(setup, preferences))
    held_out = reward_pairs(setup, setup.source.held_out)
    model = RewardModel(setup.model)
    return Tuning(
        model=model,
        tokenizer=setup.tokenizer,
        sampler=setup.sampler(examples),
        objective=RewardPairs(),
        settings=training,
        measures=lambda model: {"accuracy": pair_accuracy(model, example_batches(held_out, 64))},
        template=getattr(setup.template, "source", None),
    )


def learned_reward(setup: Setup) -> RewardModel:
    """The reward model of a run: that of a directory, or one that is learned now and kept beside the data."""
    s = setup.settings
    if s["reward_model"]:
        return RewardModel.from_pretrained(s["reward_model"])
    about = {"model": model_digest(setup.model), "tokens": s["reward_tokens"], "template": setup.template.source}
    about |= {name: s[name] for name in ("data", "seed", "noise", "kinds")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    kept = None if setup.cache is None else Path(setup.cache) / f"reward-model-{digest[:16]}"
    if kept is not None and (kept / "value_head.json").exists():
        return RewardModel.from_pretrained(kept)
    setup.say(f"learning a reward model from {s['reward_tokens']:,} tokens of preferences")
    model = train_reward_model(setup, s["reward_tokens"])
    if kept is None:
        return model
    model.save_pretrained(kept, dtype=model.dtype)  # not in the fewer bytes of a base in bfloat16
    return RewardModel.from_pretrained(kept)  # as whoever comes later finds it


def train_reward_model(setup: Setup, tokens: int) -> RewardModel:
    """A reward model that begins as the setup's model, after so many tokens of preferences; centred."""
    s = setup.settings
    few = reward_pairs(setup, setup.preferences(64))
    steps = steps_of(tokens, few, s["batch"])
    examples = reward_pairs(setup, setup.preferences(steps * s["batch"]))
    model = RewardModel(copy.deepcopy(setup.model))
    settings = TrainingSettings(
        steps=steps, learning_rate=1e-3, warmup=min(20, steps), weight_decay=0.0, threads=s["threads"], seed=s["seed"]
    )
    sampler = ExampleSampler(examples, min(s["batch"], len(examples)), seed=s["seed"], multiple=16)
    if not train(model, sampler, settings, objective=RewardPairs(), progress=False, report=setup.say).finished:
        raise KeyboardInterrupt  # half a reward model is none: nothing is kept
    rows = [example["chosen_ids"].tolist() for example in examples[:256]]
    head = model.head.bias
    assert head is not None
    head.data = head.data - head.dtype.type(reward_rows(model, rows, threads=s["threads"]).mean())
    return model


def _settings(s: Mapping[str, Any]) -> PPOSettings:
    """PPO's own settings among those of a run; ValueError where they cannot be."""
    if s["reward"] not in ("learned", "true"):
        raise ValueError(f"reward is 'learned' or 'true', not {s['reward']!r}")
    return PPOSettings(**{**{name: s[name] for name in _PPO}, "value_clip": s["value_clip"] or None})


def _ppo(setup: Setup) -> Tuning:
    s, ppo = setup.settings, _settings(setup.settings)
    if s["reward"] == "true" and not isinstance(setup.source, Tales):
        raise ValueError("the true score of an answer is known for the tales only: --data tales, or reward=learned")
    asked = [one["prompt"] for one in setup.preferences(s["training_prompts"])]
    prompts = [setup.template.encode(setup.tokenizer, messages) for messages in asked]
    ends = end_tokens(setup.model, setup.tokenizer)
    if setup.template.eos in setup.tokenizer.special_tokens:
        ends = list(dict.fromkeys([setup.tokenizer.special_tokens[setup.template.eos], *ends]))
    reward_model = learned_reward(setup) if s["reward"] == "learned" or ppo.critic == "reward model" else None
    items: list[Any] = prompts
    if s["reward"] == "true":
        assert isinstance(setup.source, Tales)
        items = list(itertools.islice(setup.source.asked(), len(prompts)))

    def score(items: Sequence[Any], answers: Sequence[list[int]]) -> Any:
        if s["reward"] == "true":
            return [task.score(setup.tokenizer.decode(ids).strip()) for task, ids in zip(items, answers)]
        rows = [[*prompt, *ids, ends[0]] for prompt, ids in zip(items, answers)]
        return reward_rows(reward_model, rows, threads=s["threads"])

    model = ActorCritic.of(setup.model, ppo.critic, reward_model)
    sampler = Rollouts(
        model, setup.reference, prompts, score, ppo, items=items, end_tokens=ends, seed=s["seed"], threads=s["threads"]
    )
    steps = s["steps"]
    if steps is None:
        length = np.mean([len(prompt) for prompt in prompts]) + _EXPECTED
        steps = max(1, round(s["tokens"] * ppo.epochs / (length * ppo.minibatch)))
    steps = -(-steps // ppo.steps_an_iteration) * ppo.steps_an_iteration  # whole rollouts
    more: dict[str, Any] = {} if reward_model is None else {"identity": {"reward_model": model_digest(reward_model)}}
    return setup.tuning(
        sampler, PPO(ppo), setup.training(steps), model=model, policy=lambda m: getattr(m, "policy", m), **more
    )


METHODS = (
    Method(
        "reward", "a reward model: the better answer of a pair is worth more", "arXiv:2203.02155", "pairs",
        {"lr": 1e-3}, _reward,
    ),
    Method(
        "ppo", "answers are sampled, scored by a reward model, and made more or less probable", "arXiv:2203.02155",
        "prompts",
        {
            **_PPO, "beta": PPO_BETA, "reward": "learned", "reward_model": "", "reward_tokens": REWARD_TOKENS,
            "lr": 4e-4, "tokens": PPO_TOKENS, "training_prompts": 4096, "warmup": 0.05, "kinds": "taught",
        },
        _ppo, _settings,
    ),
)  # fmt: skip
