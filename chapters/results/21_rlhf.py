"""The runs that chapter 21 shows, and has no time for: `python chapters/results/21_rlhf.py MODEL [PART]`.

MODEL is the directory of a tales model that was taught to answer (`finetune --data tales`). The parts are "claim" (PPO
on the learned and on the true reward), "hacking" (labels by somebody who likes praise) and "switches" (the details of
PPO, one at a time); each writes 21_PART.json beside this file. All are about questions on tales, with three seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.alignment import (
    PPO,
    ActorCritic,
    PPOSettings,
    RewardModel,
    RewardPairs,
    Rollouts,
    pair_accuracy,
    pair_example,
    reward_rows,
    sample_answers,
)
from llm_from_scratch.alignment.sampled_answers import answer_row
from llm_from_scratch.data.assistant import QUESTION_KINDS, preferences, tasks
from llm_from_scratch.data.encoding import find_template
from llm_from_scratch.data.tales import tales
from llm_from_scratch.scoring.likelihoods import log_likelihoods

SEEDS = (0, 1, 2)
HELD_OUT = 500
PAIRS, ITERATIONS, SHORT = 1600, 16, 8
TRAINING_SEED, HELD_OUT_SEED = 21_000, 21_999
BASE: dict[str, Any] = {"answers": 64, "minibatch": 16, "epochs": 1, "beta": 0.05}
HACKING: dict[str, dict[str, Any]] = {
    "no price on KL": {"beta": 0.0},
    "a price of 0.4": {"beta": 0.4},
    "a price that aims at 1 nat": {"kl_target": 1.0, "kl_horizon": 256},
}
SWITCHES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "advantages not whitened": {"whiten_advantages": False},
    "rewards whitened": {"whiten_rewards": True},
    "scores not normalised": {"score_normalisation": "none"},
    "λ = 1": {"lam": 1.0},
    "λ = 0": {"lam": 0.0},
    "values not clipped": {"value_clip": None},
    "one body for both": {"critic": "shared"},
    "KL charged as its square": {"charge": "squared"},
    "KL charged at low variance": {"charge": "low variance"},
    "four epochs": {"epochs": 4},
    "four epochs, ratios not clipped": {"epochs": 4, "clip": 1e6},
    "a pretraining mix": {"pretraining_coefficient": 1.0},
    "cut at 12: a penalty": {"max_new_tokens": 12},
    "cut at 12: scored": {"max_new_tokens": 12, "cut_off": "score"},
    "cut at 12: the critic's guess": {"max_new_tokens": 12, "cut_off": "bootstrap"},
}


class World:
    """The model, questions to learn from, and others to be measured on."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.tokenizer = lfs.Tokenizer.from_pretrained(directory)
        self.template = find_template(self.tokenizer, "tales")
        self.ends = [self.tokenizer.special_tokens["<|end|>"]]
        self.held_out = self.asked(HELD_OUT_SEED, HELD_OUT)
        self.reference = self.model()
        self.tales = self.texts(HELD_OUT_SEED, 64)

    def model(self) -> Any:
        return lfs.from_pretrained(self.directory)

    def asked(self, seed: int, count: int) -> list[tuple[Any, list[int]]]:
        found = itertools.islice(tasks(seed, kinds=QUESTION_KINDS), count)
        return [(task, self.template.encode(self.tokenizer, list(task.messages))) for task in found]

    def text(self, ids: Any) -> str:
        return self.tokenizer.decode([int(t) for t in ids if t not in self.ends]).strip()

    def texts(self, seed: int, count: int) -> list[dict[str, np.ndarray]]:
        """Tales as a pretraining mix takes them."""
        begun = [
            [self.reference.begin_token, *self.tokenizer.encode(text)[:128]]
            for text in itertools.islice(tales(seed), count)
        ]
        rows = [np.array(ids) for ids in begun]
        return [{"ids": row[:-1], "targets": row[1:]} for row in rows]

    def surprise(self, policy: Any) -> float:
        """Nats a token of tales that it is told: what it has forgotten of them."""
        return float(-log_likelihoods(policy, self.tales, threads=1).sum() / sum(len(row["ids"]) for row in self.tales))

    def shown(self, answers: Any) -> list[list[Any]]:
        """What was asked, what was answered, and its true score."""
        found = []
        for (task, _), ids in zip(self.held_out, answers):
            text = self.text(ids)
            found.append([task.messages[-1]["content"].splitlines()[-1], text, task.score(text)])
        return found

    def measured(self, policy: Any) -> dict[str, float]:
        """True score, KL in nats an answer and length on the held-out questions, sampled at temperature 1."""
        prompts = [np.array(prompt) for _, prompt in self.held_out]
        answers = sample_answers(policy, prompts, end_tokens=self.ends, max_new_tokens=48, seed=(HELD_OUT_SEED,))
        rows = [answer_row(prompt, answer) for prompt, answer in zip(prompts, answers)]
        ours, theirs = (log_likelihoods(model, rows, threads=1) for model in (policy, self.reference))
        scores = [task.score(self.text(answer)) for (task, _), answer in zip(self.held_out, answers)]
        return {
            "true": float(np.mean(scores)),
            "kl": float((ours - theirs).mean()),
            "length": float(np.mean([len(answer) for answer in answers])),
        }

    def reward_model(self, seed: int, count: int, **labels: Any) -> tuple[RewardModel, float]:
        """One that learned from pairs, and its accuracy on held-out pairs that are labelled rightly."""

        def pairs(seed: int, count: int, **labels: Any) -> list[dict[str, Any]]:
            made = []
            for one in itertools.islice(preferences(seed, kinds=QUESTION_KINDS, **labels), count):
                prompt = self.template.encode(self.tokenizer, one["prompt"])
                sides = [one[side][0]["content"] for side in ("chosen", "rejected")]
                made.append(pair_example(*([*prompt, *self.tokenizer.encode(text), *self.ends] for text in sides)))
            return made

        model = RewardModel(self.model())
        settings = lfs.TrainingSettings(
            steps=count // 16, learning_rate=1e-3, warmup=20, schedule="linear", weight_decay=0.0, threads=1, seed=seed
        )
        sampler = lfs.data.ExampleSampler(pairs(TRAINING_SEED + seed, count, **labels), 16, seed=seed, multiple=16)
        if not lfs.train(model, sampler, settings, objective=RewardPairs(), progress=False).finished:
            raise KeyboardInterrupt
        return model, pair_accuracy(model, lfs.data.example_batches(pairs(HELD_OUT_SEED, HELD_OUT), 64))

    def ppo(self, seed: int, iterations: int, reward: RewardModel | None = None, **change: Any) -> dict[str, Any]:
        """A run on the learned reward, or on the true one: what was measured of each rollout, and the policy."""
        settings = PPOSettings(**{**BASE, "critic": "policy" if reward is None else "reward model", **change})
        asked, true, curve = self.asked(TRAINING_SEED + seed, 64 * iterations), [], []

        def score(items: Any, answers: Any) -> Any:
            known = [task.score(self.text(ids)) for (task, _), ids in zip(items, answers)]
            true.append(float(np.mean(known)))
            if reward is None:
                return known
            return reward_rows(reward, [[*prompt, *ids, *self.ends] for (_, prompt), ids in zip(items, answers)])

        model, mix = ActorCritic.of(self.model(), settings.critic, reward), None
        if settings.pretraining_coefficient:
            mix = lfs.data.ExampleSampler(
                self.texts(TRAINING_SEED + seed, 16 * iterations), settings.minibatch, seed=seed
            )
        sampler = Rollouts(
            model, self.reference, [prompt for _, prompt in asked], score, settings, items=asked, end_tokens=self.ends,
            pretraining=mix, seed=seed, on_iteration=lambda figures: curve.append({**figures, "true": true[-1]}),
        )  # fmt: skip
        steps = iterations * settings.steps_an_iteration
        training = lfs.TrainingSettings(
            steps=steps, learning_rate=4e-4, warmup=4, schedule="linear", weight_decay=0.0, betas=(0.9, 0.98),
            threads=1, seed=seed,
        )  # fmt: skip
        began = time.process_time()
        if not lfs.train(model, sampler, training, objective=PPO(settings), progress=False).finished:
            raise KeyboardInterrupt
        seconds = time.process_time() - began
        tokens = sum(len(p) for _, p in asked) + 64 * sum(entry["length"] for entry in curve)
        return {"curve": curve, "policy": model.policy, "seconds": seconds, "tokens": round(tokens)}


def claim(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {"start": world.measured(world.reference), "seeds": {}}
    for seed in SEEDS:
        reward, accuracy = world.reward_model(seed, PAIRS)
        kept: dict[str, Any] = {"accuracy": accuracy}
        for name, by in (("learned", reward), ("true", None)):
            run = world.ppo(seed, ITERATIONS, by)
            end = world.measured(run["policy"])
            answers = sample_answers(
                run["policy"], [np.array(p) for _, p in world.held_out[:4]], end_tokens=world.ends, max_new_tokens=48
            )
            kept[name] = {
                "curve": run["curve"], "end": end, "cpu_seconds": run["seconds"], "tokens": run["tokens"],
                "samples": world.shown(answers),
            }  # fmt: skip
            print("claim", seed, name, accuracy, end, run["seconds"], flush=True)
        found["seeds"][seed] = kept
    return found


def hacking(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {"seeds": {}}
    for seed in SEEDS:
        reward, accuracy = world.reward_model(seed, PAIRS, noise=0.6, bias="praise")
        kept: dict[str, Any] = {"accuracy": accuracy}
        for name, change in HACKING.items():
            run = world.ppo(seed, ITERATIONS, reward, **change)
            answers = sample_answers(
                run["policy"], [np.array(p) for _, p in world.held_out[:3]], end_tokens=world.ends, max_new_tokens=48
            )
            samples = world.shown(answers)
            kept[name] = {"curve": run["curve"], "samples": samples}
            print("hacking", seed, name, accuracy, run["curve"][-1], samples[0][1], flush=True)
        found["seeds"][seed] = kept
    return found


def switches(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, change in SWITCHES.items():
        found[name] = {}
        for seed in SEEDS:
            run = world.ppo(seed, SHORT, **change)
            found[name][seed] = {"curve": run["curve"], "tales": world.surprise(run["policy"])}
        print("switches", name, [round(run["curve"][-1]["true"], 3) for run in found[name].values()], flush=True)
    return {"tales": world.surprise(world.reference), "runs": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parts = {"claim": claim, "hacking": hacking, "switches": switches}
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    options = parser.parse_args()
    world = World(options.model)
    for name in options.parts or parts:
        path = Path(__file__).with_name(f"21_{name}.json")
        found = {"command": f"python chapters/results/21_rlhf.py MODEL {name}", **parts[name](world)}
        path.write_text(json.dumps(_rounded(found)) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
