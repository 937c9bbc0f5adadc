"""Answers sampled from the policy as it is now, scored, and handed out in minibatches: what `train` calls a sampler.

When the last minibatch of a rollout is gone, the next one is sampled. What its state holds is JSON: the rollout itself
while it is gone over, the price of KL, the moments of the scores, and what was measured of it; every choice follows
from the number of the iteration. So a run that was killed in the middle of a rollout goes on to the byte.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..data.examples import collate
from ..training.objectives import IGNORE, Batch
from ..training.workers import resolve_threads
from .actor_critic import ActorCritic, target_log_probabilities
from .advantages import generalized_advantages, kl_rewards, whiten
from .ppo import ppo_statistics
from .ppo_settings import PPOSettings
from .sampled_answers import answer_row, in_chunks, sample_answers

Score = Callable[[Sequence[Any], Sequence[Any]], Any]
_ROWS = ("ids", "targets", "old_log_probabilities", "advantages", "old_values", "returns")


class Rollouts:
    """An endless iterator of minibatches for the objective `PPO`.

    model: what is being trained. reference: a frozen model that the policy is held to; its vocabulary must be the
    policy's. prompts: token ids, each ending where an answer begins. score: called as score(items, answers) with a list
    of items and one of answers, returns a finite number for each; items: what it is given for the prompts (a question,
    a task), by default their ids. decode: what makes an answer of its ids (without the token that ends it), by default
    the ids. end_tokens: what ends an answer, by default what ends a text of this model. pretraining: a sampler of
    {"ids", "targets"} with as many rows as a minibatch, for a pretraining mix. threads: chunks of answers side by side.
    on_iteration: called with the `figures` of each rollout.

    Raises ValueError, before anything is sampled, for no prompts or an empty one, one that leaves the model no room for
    an answer, no token that ends an answer, a reference with another vocabulary.
    """

    def __init__(
        self,
        model: ActorCritic,
        reference: Any,
        prompts: Sequence[Sequence[int]],
        score: Score,
        settings: PPOSettings,
        *,
        items: Sequence[Any] | None = None,
        decode: Callable[[list[int]], Any] | None = None,
        end_tokens: Sequence[int] | None = None,
        seed: int = 0,
        pretraining: Any = None,
        threads: int | None = 1,
        on_iteration: Callable[[dict[str, float]], object] | None = None,
    ) -> None:
        self.model, self.reference, self.score, self.settings = model, reference, score, settings
        self.prompts = [np.asarray(prompt, np.int64) for prompt in prompts]
        self.items = list(prompts if items is None else items)
        self.decode = decode or (lambda ids: ids)
        self.batch_size = settings.minibatch
        self.end_tokens = [int(t) for t in (model.policy.end_tokens if end_tokens is None else end_tokens)]
        self.seed, self.pretraining, self.threads = seed, pretraining, resolve_threads(threads)
        self.on_iteration = on_iteration
        _check(self)
        self.iteration = self.position = 0  # rollouts sampled so far; minibatches given of the last one
        self.beta = settings.beta
        self.moments = (0, 0.0, 0.0)  # how many scores, their sum, the sum of their squares
        self.figures: dict[str, float] = {}  # what was measured of the last rollout: `train` logs it with each step
        self._rows: list[dict[str, np.ndarray]] = []
        fingerprint = functools.reduce(lambda total, ids: zlib.crc32(ids.tobytes(), total), self.prompts, 0)
        self._identity = {"seed": seed, "prompts": len(self.prompts), "fingerprint": fingerprint} | settings.to_json()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if self.position == self.settings.steps_an_iteration or not self._rows:
            self._sample()
        batch = self._minibatch()
        limit = self.settings.stop_moved
        if limit is not None and self.position and ppo_statistics(self.model, batch, self.settings)["moved"] > limit:
            self._sample()
            batch = self._minibatch()
        self.position += 1
        if self.pretraining is not None:
            batch |= self._pretraining(batch)
        return batch

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON can hold it; float32 numbers come back as what they are."""
        live = self._rows if self.position < self.settings.steps_an_iteration else []
        rows = [{name: array.tolist() for name, array in row.items()} for row in live]
        more = {} if self.pretraining is None else {"pretraining": self.pretraining.state()}
        return {
            "iteration": self.iteration, "position": self.position, "beta": self.beta, "moments": list(self.moments),
            "figures": self.figures, "rows": rows, "identity": self._identity, **more,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a saved state; ValueError naming what differs when it belongs to other prompts or settings."""
        saved = state.get("identity", {})
        changed = [f"{k}: saved {saved.get(k)!r}, now {v!r}" for k, v in self._identity.items() if saved.get(k) != v]
        if changed:
            raise ValueError("the saved rollout belongs to another run (" + "; ".join(changed) + ")")
        dtypes = [np.int64, np.int64] + [self.model.policy.dtype] * 4
        try:
            rows = [{name: np.array(row[name], dtype) for name, dtype in zip(_ROWS, dtypes)} for row in state["rows"]]
            iteration, position = int(state["iteration"]), int(state["position"])
            count, total, squares = state["moments"]
            beta, figures = float(state["beta"]), dict(state["figures"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the saved rollout is damaged ({type(error).__name__}: {error})") from None
        if len(rows) not in (0, self.settings.answers):
            raise ValueError(f"the saved rollout is damaged: {len(rows)} answers of {self.settings.answers}")
        if self.pretraining is not None:
            self.pretraining.restore(state["pretraining"])
        self.iteration, self.position, self.beta, self.figures, self._rows = iteration, position, beta, figures, rows
        self.moments = (int(count), float(total), float(squares))

    def _minibatch(self) -> dict[str, np.ndarray]:
        settings = self.settings
        epoch, number = divmod(self.position, settings.answers // settings.minibatch)
        rows = self._order(epoch)[number * settings.minibatch :][: settings.minibatch]
        return collate([self._rows[k] for k in rows])

    def _order(self, epoch: int) -> np.ndarray:
        """In which order an epoch goes over the rollout."""
        return np.random.default_rng((self.seed, self.iteration, epoch)).permutation(self.settings.answers)

    def _pretraining(self, batch: Batch) -> dict[str, np.ndarray]:
        texts, count = next(self.pretraining), int((batch["targets"] != IGNORE).sum())
        if len(texts["ids"]) != self.settings.minibatch:
            raise ValueError(
                f"the pretraining batch has {len(texts['ids'])} rows, a minibatch {self.settings.minibatch}"
            )
        weight = np.full(self.settings.minibatch, count / int((texts["targets"] != IGNORE).sum()))
        return {f"pretraining_{name}": texts[name] for name in ("ids", "targets")} | {"pretraining_weight": weight}

    def _chosen(self) -> list[int]:
        """Which prompts the coming iteration takes: all of them in a fresh shuffle, then again."""
        chosen: list[int] = []
        first = self.iteration * self.settings.answers
        while len(chosen) < self.settings.answers:
            epoch, start = divmod(first + len(chosen), len(self.prompts))
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.prompts))
            chosen += order[start : start + self.settings.answers - len(chosen)].tolist()
        return chosen

    def _sample(self) -> None:
        """A new rollout: sampled, scored, rewarded, and what each token did for it."""
        settings = self.settings
        chosen = self._chosen()
        prompts = [self.prompts[k] for k in chosen]
        answers = sample_answers(
            self.model.policy, prompts, end_tokens=self.end_tokens, max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature, seed=(self.seed, self.iteration), threads=self.threads,
        )  # fmt: skip
        ended = np.array([answer[-1] in self.end_tokens for answer in answers])
        texts = [self.decode(a[:-1].tolist() if end else a.tolist()) for a, end in zip(answers, ended)]
        scores = _scored(self.score, [self.items[k] for k in chosen], texts)
        batch, ours, theirs, values, last = self._read(prompts, answers)
        real = batch["targets"] != IGNORE

        final, rests = self._final_scores(scores, ended), None
        if settings.cut_off == "bootstrap":
            rests = np.where(ended, 0, last)
        rewards = kl_rewards(ours, theirs, final, real, beta=self.beta, charge=settings.charge)
        if settings.whiten_rewards:
            rewards = whiten(rewards, real, shift_mean=False, unbiased=settings.unbiased)
        advantages, returns = generalized_advantages(
            rewards, values, real, gamma=settings.gamma, lam=settings.lam, last_values=rests
        )
        if settings.whiten_advantages:
            advantages = whiten(advantages, real, unbiased=settings.unbiased)
        kl = float((ours - theirs).sum(axis=1, dtype=np.float64).mean())  # outside the mask both are 0
        explained = 1 - float(np.var((returns - values)[real])) / max(float(np.var(returns[real])), 1e-12)
        lengths = real.sum(axis=1)
        self.figures = {
            "iteration": self.iteration, "score": float(scores.mean()), "kl": kl, "beta": self.beta,
            "length": float(lengths.mean()), "cut_off": float(1 - ended.mean()), "explained": explained,
        }  # fmt: skip
        if settings.kl_target is not None:
            self.beta = adapted_beta(self.beta, kl, settings.kl_target, settings.answers, settings.kl_horizon)
        together = dict(zip(_ROWS, (batch["ids"], batch["targets"], ours, advantages, values, returns)))
        widths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers)]
        self._rows = [
            {name: array[row, :width] for name, array in together.items()} for row, width in enumerate(widths)
        ]
        self.iteration, self.position = self.iteration + 1, 0
        if self.on_iteration is not None:
            self.on_iteration(self.figures)

    def _read(self, prompts: list[np.ndarray], answers: list[np.ndarray]) -> tuple[Any, ...]:
        """The rows as a batch; log-probabilities of policy and reference, values (N, T); the value after the last."""
        batch = collate([answer_row(prompt, answer) for prompt, answer in zip(prompts, answers)])
        real, dtype = batch["targets"] != IGNORE, self.model.policy.dtype
        ours, theirs, values = (np.zeros(real.shape, dtype) for _ in range(3))
        last = np.zeros(len(real), dtype)
        widths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers)]

        def read(rows: slice) -> None:
            width = max(widths[rows])
            part = {name: array[rows, :width] for name, array in batch.items()}
            here = real[rows, :width]
            with no_grad():
                probabilities, expected = self.model.answers(part, temperature=self.settings.temperature)
                states = self.reference.states({"ids": part["ids"]})
                wanted = target_log_probabilities(self.reference, states, part["targets"], self.settings.temperature)
            ours[rows, :width][here], theirs[rows, :width][here] = probabilities.data, wanted.data
            values[rows, :width] = np.where(here, expected.data, 0)
            last[rows] = expected.data[np.arange(len(here)), np.array(widths[rows]) - 1]

        in_chunks(len(real), self.threads, read)
        return batch, ours, theirs, values, last

    def _final_scores(self, scores: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """The scores as they are rewarded: normalised, clipped, and what answers get that were cut off."""
        settings = self.settings
        final = scores
        if settings.score_normalisation != "none":
            if settings.score_normalisation == "running" or not self.moments[0]:
                count, total, squares = self.moments
                self.moments = (count + len(scores), total + float(scores.sum()), squares + float((scores**2).sum()))
            count, total, squares = self.moments
            spread = np.sqrt(max(squares / count - (total / count) ** 2, 0.0))
            final = (scores - total / count) / (spread + 1e-8) if spread > 1e-6 else scores - total / count
        if settings.score_clip is not None:
            final = np.clip(final, -settings.score_clip, settings.score_clip)
        if settings.cut_off == "score":
            return final
        return np.where(ended, final, settings.cut_off_penalty if settings.cut_off == "penalty" else 0.0)


def adapted_beta(beta: float, kl: float, target: float, answers: int, horizon: int) -> float:
    """The price of KL after an iteration of so many answers: raised where they went too far, lowered where not.

    >>> round(adapted_beta(0.1, kl=12.0, target=6.0, answers=500, horizon=1000), 6)      # 20 % is the most
    0.11

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    """
    return beta * (1 + float(np.clip(kl / target - 1, -0.2, 0.2)) * answers / horizon)


def _scored(score: Score, items: list[Any], answers: list[Any]) -> np.ndarray:
    scores = np.asarray(score(items, answers), np.float64)
    if scores.shape != (len(answers),):
        raise ValueError(f"score returned {scores.shape}, expected one number for each of the {len(answers)} answers")
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"the score of answer {place} is {scores[place]}: scores must be finite; it was {answers[place]!r}"
        )
    return scores


def _check(rollouts: Rollouts) -> None:
    if not rollouts.prompts:
        raise ValueError("there are no prompts to answer")
    if len(rollouts.items) != len(rollouts.prompts):
        raise ValueError(f"there are {len(rollouts.items)} items for {len(rollouts.prompts)} prompts")
    if not rollouts.end_tokens:
        raise ValueError("nothing ends an answer: pass end_tokens=, the ids after which one is complete")
    policy, reference = rollouts.model.policy, rollouts.reference
    if policy.spec.vocab_size != reference.spec.vocab_size:
        raise ValueError(
            f"the policy knows {policy.spec.vocab_size} tokens, the reference {reference.spec.vocab_size}: "
            "probabilities of the same tokens are compared, so they must be the same"
        )
    if reference is policy:
        raise ValueError("the reference is the policy itself, and would move with it: pass copy.deepcopy(policy)")
    most = policy.position_limit
    for number, prompt in enumerate(rollouts.prompts):
        if prompt.ndim != 1 or not prompt.size:
            raise ValueError(f"prompt {number} is empty: a prompt is a row of token ids")
        if most is not None and len(prompt) + rollouts.settings.max_new_tokens > most:
            raise ValueError(
                f"prompt {number} has {len(prompt)} tokens, which with {rollouts.settings.max_new_tokens} new ones is "
                f"more than the {most} positions of the model"
            )
    coefficient = rollouts.settings.pretraining_coefficient
    if (rollouts.pretraining is None) != (coefficient == 0):
        raise ValueError(f"pretraining_coefficient is {coefficient}: a pretraining mix needs both it and pretraining=")
