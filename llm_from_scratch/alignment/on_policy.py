"""On-policy distillation: a student learns from what a teacher thinks of the student's own answers.

GKD is `distil` over an `OnPolicySampler`, a share of whose batches the student writes itself. MiniLLM minimises the
reverse divergence of whole answers: `minillm` over batches that student and teacher write together (`Mixture`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..data.examples import Example, ExampleSampler, collate
from ..generation import continue_prompts
from ..scoring.answers import answer_example
from ..training import Objective, objective
from ..training.objectives import IGNORE, count_targets
from .distillation import check_vocabulary


class Mixture:
    """Steps as two models do together: the next token comes from the teacher with probability `share`."""

    def __init__(self, student: Any, teacher: Any, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is the teacher's, a probability; got {share}")
        check_vocabulary(student, teacher)
        self.models, self.share = (student, teacher), share
        limits = [model.position_limit for model in self.models if model.position_limit is not None]
        self.position_limit = min(limits, default=None)
        self.end_tokens = student.end_tokens

    def new_memory(self, batch_size: int) -> list[Any]:
        """A memory of each."""
        return [model.new_memory(batch_size) for model in self.models]

    def step(self, ids: Any, memory: list[Any], mask: Any = None) -> np.ndarray:
        """The logarithms of the mixed probabilities, (B, V)."""
        with no_grad():
            logs = [F.log_softmax(m.step(ids, own, mask)).data for m, own in zip(self.models, memory)]
        with np.errstate(divide="ignore"):
            weights = np.log(np.array([1 - self.share, self.share], logs[0].dtype))
        return np.logaddexp(logs[0] + weights[0], logs[1] + weights[1])


class OnPolicySampler:
    """Batches of {"ids", "targets"}, of which a share is answered by the model that trains, as it is now.

    examples: {"ids", "targets"} each, whose last stretch of targets is the answer; what comes before it is the prompt.
    student: the model that trains. writer: what writes, if not the student alone (a `Mixture`).
    share: of the batches that are written anew, GKD's lambda: 0 never, 1 always.
    max_new_tokens: where an answer is cut off that has not ended with one of stop_tokens; temperature: to write with.

    Which batches, and with which random numbers, follows from the seed and the position alone: a run that goes on with
    the weights it had writes the same again. `figures` says of the last batch whether it was written and how long its
    answers are. Raises ValueError for examples without an answer or room for one.
    """

    def __init__(
        self,
        student: Any,
        examples: Sequence[Example],
        batch_size: int,
        *,
        stop_tokens: Sequence[int],
        max_new_tokens: int,
        share: float = 0.5,
        temperature: float = 1.0,
        writer: Any = None,
        seed: int = 0,
        pad_id: int = 0,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is that of the batches the student writes, from 0 to 1; got {share}")
        context = student.spec.context_length
        for number, example in enumerate(examples):
            if set(example) != {"ids", "targets"}:
                raise ValueError(f"example {number} must have 'ids' and 'targets', got {sorted(example)}")
            asked = len(prompt_of(np.asarray(example["ids"]), np.asarray(example["targets"]), f"example {number}"))
            if share and asked + max_new_tokens > context:
                raise ValueError(
                    f"example {number} has a prompt of {asked} tokens, and an answer of {max_new_tokens} would exceed "
                    f"the context of {context}: leave it out, or lower max_new_tokens"
                )
        self.writer = student if writer is None else writer
        self.share, self.seed, self.pad_id = share, seed, pad_id
        self.settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        self.settings["stop_tokens"] = [int(token) for token in stop_tokens]
        self.batch_size = batch_size
        self._given = ExampleSampler(examples, batch_size, seed=seed, pad_id=pad_id)
        self.figures: dict[str, float] = {}

    def __iter__(self) -> OnPolicySampler:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 1, self._given.position))
        batch = next(self._given)
        written = bool(rng.random() < self.share)
        if written:
            rows = zip(batch["ids"], batch["targets"])
            prompts = [prompt_of(ids, targets, f"row {n}") for n, (ids, targets) in enumerate(rows)]
            batch = collate(self._answered(prompts, rng), pad_id=self.pad_id)
        counts = (batch["targets"] != IGNORE).sum(axis=1)
        self.figures = {"on_policy": float(written), "answer_tokens": float(counts.mean())}
        return batch

    def _answered(self, prompts: list[np.ndarray], rng: np.random.Generator) -> list[Example]:
        seeds = rng.integers(0, 2**63, size=len(prompts)).tolist()
        answers = continue_prompts(self.writer, prompts, seed=seeds, **self.settings)
        return [answer_example(prompt, answer) for prompt, answer in zip(prompts, answers)]

    def state(self) -> dict[str, Any]:
        """Where the sampler stands, as JSON can hold it."""
        return {**self._given.state(), "share": self.share, **self.settings}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a state of a sampler over the same examples; ValueError naming what differs."""
        own = {"share": self.share, **self.settings}
        changed = [
            f"{name}: saved {state.get(name)!r}, now {now!r}" for name, now in own.items() if state.get(name) != now
        ]
        if changed:
            raise ValueError("the saved position belongs to another sampler (" + "; ".join(changed) + ")")
        self._given.restore({name: value for name, value in state.items() if name not in own})


def prompt_of(ids: np.ndarray, targets: np.ndarray, what: str = "the example") -> np.ndarray:
    """What comes before the last stretch of targets; ValueError if there is none.

    >>> prompt_of(np.array([5, 6, 7, 8]), np.array([6, -100, 8, 9]))
    array([5, 6, 7])
    """
    places = np.flatnonzero(targets != IGNORE)
    if not places.size:
        raise ValueError(f"{what} has no target: it has no answer in whose place another could be written")
    gaps = np.flatnonzero(np.diff(places) > 1)
    begin = int(places[gaps[-1] + 1] if gaps.size else places[0])
    return ids[: begin + 1]


def minillm(teacher: Any, *, teacher_share: float = 0.2, length_normalised: bool = True) -> Objective:
    """MiniLLM's objective for sampled batches: its gradient is that of KL(student | teacher) of whole answers.

    At each token, with r = log(teacher / student) of what was sampled: the divergence of the two next-token
    distributions, exactly (the single step), minus log-probability times what follows: the sum of the later r, with
    length_normalised its mean. Both are weighted by how much likelier the token is for the student than for who wrote
    it, where the teacher had `teacher_share` in the writing (`Mixture`), token by token as the paper approximates it.

    The value is no divergence, only its gradient counts. Sampling has to be at temperature 1. Of the paper's method the
    clipping of repeated updates is left out, since every batch is used once, and so is its language-model term.

    Source: Gu et al. 2023, arXiv:2306.08543, section 2.2.
    """
    if not 0 <= teacher_share < 1:
        raise ValueError(f"teacher_share is the teacher's part in the writing, in [0, 1); got {teacher_share}")

    @objective(count=count_targets)
    def reverse_of_answers(
        student: Any, batch: Mapping[str, Any], *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        check_vocabulary(student, teacher)
        counts = batch["targets"] != IGNORE
        targets = batch["targets"][counts]
        inputs = {name: array for name, array in batch.items() if name != "targets"}
        with no_grad():
            wanted = teacher.head(teacher.states(inputs)[counts])
            theirs = -F.cross_entropy(wanted, targets, reduction="none").data
        found = student.head(student.states(inputs, rng=rng)[counts])
        chosen = -F.cross_entropy(found, targets, reduction="none")
        ours = chosen.data
        later = np.zeros(counts.shape, ours.dtype)
        later[counts] = theirs - ours
        later = rewards_after(later, counts, mean=length_normalised)[counts]
        weight = 1 / ((1 - teacher_share) + teacher_share * np.exp(np.minimum(theirs - ours, 80.0)))
        single = F.skew_divergence(found, wanted, beta=1.0)
        return ((single - chosen * later) * weight.astype(ours.dtype)).sum() * (1 / normaliser)

    return reverse_of_answers


def rewards_after(rewards: np.ndarray, counts: np.ndarray, *, mean: bool) -> np.ndarray:
    """For each place the sum (or mean) of the rewards at later places that count, (B, T); 0 after the last.

    >>> rewards_after(np.array([[0.0, 1.0, 2.0, 4.0]]), np.array([[False, True, True, True]]), mean=True)
    array([[0., 3., 4., 0.]])
    """
    rewards = np.where(counts, rewards, 0)
    later = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1] - rewards
    if mean:
        left = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] - counts
        later = later / np.maximum(left, 1).astype(rewards.dtype)
    return np.where(counts, later, 0)
