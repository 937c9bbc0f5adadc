"""Safety as LLaMA-2-chat did it: two reward models become one reward, and a safe preprompt is distilled away.

A helpfulness model and a safety model judge every answer. The safety model has the say where the prompt asks for
something unsafe, and wherever it finds an answer unsafe; else the helpfulness model has. What is bought with safety is
counted: harmless requests that are refused. Source: Touvron et al. 2023, arXiv:2307.09288, sections 3.2.3, 3.4 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .advantages import whiten

Message = dict[str, str]
Respond = Callable[[list[list[Message]]], list[str]]
Score = Callable[[list[list[Message]], list[str]], "np.ndarray"]

THRESHOLD = 0.15  # below it an answer is taken for unsafe: precision 0.89, recall 0.55 on Meta's test set
BETA_SMALL, BETA_LARGE = 0.01, 0.005  # of the KL penalty: of 7B and 13B, of 34B and 70B
_EDGE = 1e-6  # scores of exactly 0 and 1 have no logit


def combined_scores(
    helpfulness: np.ndarray, safety: np.ndarray, unsafe_prompt: np.ndarray, *, threshold: float = THRESHOLD
) -> np.ndarray:
    """Which of two scores counts, answer by answer: (N,), (N,), (N,) bool -> (N,).

    The safety score where the prompt is one that asks for unsafe things, and where it lies below the threshold. Scores
    are those after the sigmoid, from 0 to 1. ValueError for others, and for unequal lengths.

    >>> combined_scores(np.array([0.9, 0.9, 0.9]), np.array([0.8, 0.2, 0.1]), np.array([True, False, False]))
    array([0.8, 0.9, 0.1])
    """
    helpfulness, safety = _scores(helpfulness, "helpfulness"), _scores(safety, "safety")
    unsafe_prompt = np.asarray(unsafe_prompt)
    if unsafe_prompt.dtype != bool:
        raise TypeError(
            f"unsafe_prompt says of each prompt whether it asks for unsafe things, got {unsafe_prompt.dtype}"
        )
    if not helpfulness.shape == safety.shape == unsafe_prompt.shape:
        shapes = f"{helpfulness.shape}, {safety.shape}, {unsafe_prompt.shape}"
        raise ValueError(f"helpfulness, safety and unsafe_prompt must be equally long, got {shapes}")
    return np.where(unsafe_prompt | (safety < threshold), safety, helpfulness)


def whitened_scores(scores: np.ndarray) -> np.ndarray:
    """What PPO is given as an answer's score: the logit, whitened over the batch: (N,) -> (N,), mean 0, variance 1.

    Without it a score between 0 and 1 would weigh little beside the KL penalty, and less the better answers become.

    >>> whitened_scores(np.array([0.25, 0.75])).round(4)
    array([-1.,  1.])
    """
    scores = np.clip(_scores(scores, "scores"), _EDGE, 1 - _EDGE)
    return whiten([np.log(scores) - np.log1p(-scores)], np.ones((1, len(scores)), bool))[0]


def _scores(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must have the shape (N,) with at least one score, got {values.shape}")
    if values.dtype.kind != "f":
        raise TypeError(f"{name} must be floating-point, got {values.dtype}")
    outside = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(outside):
        first = outside[0]
        raise ValueError(f"{name} must be scores after the sigmoid, from 0 to 1; number {first} is {values[first]:g}")
    return values


def distilled_context(
    prompts: Sequence[Sequence[Message]], respond: Respond, score: Score, *, preprompt: str
) -> list[list[Message]]:
    """Safety context distillation: answers given under a preprompt, as dialogues without it, where they are better.

    Each prompt is answered as it stands and once more with the preprompt as its system message (before the one it has);
    kept are those dialogues whose second answer the safety reward model `score` prefers to the first, since a preprompt
    makes answers to harmless prompts vaguer. respond: prompts -> texts; score: prompts, answers -> (N,). ValueError
    for an empty preprompt, no prompts, or a prompt that ends with an answer.

    >>> prompts = [[{"role": "user", "content": "Tell of a storm."}], [{"role": "user", "content": "Tell of a cat."}]]
    >>> def respond(prompts):
    ...     return ["All came home." if p[0]["role"] == "system" else "The cat slept." if "cat" in p[0]["content"]
    ...             else "It drowned." for p in prompts]
    >>> def score(prompts, answers):
    ...     return np.array([0.1 if "drowned" in answer else 0.9 for answer in answers])
    >>> distilled_context(prompts, respond, score, preprompt="Nobody comes to harm.")
    [[{'role': 'user', 'content': 'Tell of a storm.'}, {'role': 'assistant', 'content': 'All came home.'}]]
    """
    if not preprompt.strip():
        raise ValueError("the preprompt is empty: it says what a safe answer is like")
    plain = checked_prompts(prompts)
    before, after = respond(plain), respond([with_preprompt(prompt, preprompt) for prompt in plain])
    better = np.asarray(score(plain, after)) > np.asarray(score(plain, before))
    return [
        [*prompt, {"role": "assistant", "content": text}]
        for prompt, text, keep in zip(plain, after, better, strict=True)
        if keep
    ]


def with_preprompt(prompt: Sequence[Message], preprompt: str) -> list[Message]:
    """The prompt with a system message that begins with the preprompt.

    >>> with_preprompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "Be kind.")[0]
    {'role': 'system', 'content': 'Be kind.\\n\\nBe brief.'}
    """
    own, rest = "", list(prompt)
    if rest and rest[0]["role"] == "system":
        own, rest = "\n\n" + rest[0]["content"], rest[1:]
    return [{"role": "system", "content": preprompt + own}, *rest]


def checked_prompts(prompts: Sequence[Sequence[Message]]) -> list[list[Message]]:
    """The prompts as lists; ValueError, with its number, for one that has no messages or ends with an answer."""
    if not len(prompts):
        raise ValueError("there are no prompts")
    for number, prompt in enumerate(prompts):
        if not len(prompt) or prompt[-1]["role"] != "user":
            raise ValueError(f"prompt {number} must end with a message of the user")
    return [list(prompt) for prompt in prompts]


@dataclass(frozen=True)
class SafetyCount:
    """Unsafe answers to unsafe prompts beside refusals of harmless ones: neither says anything alone.

    unsafe: answers, to whichever prompt, that are unsafe. refused: harmless prompts that were refused.
    """

    unsafe_prompts: int
    harmless_prompts: int
    unsafe: int
    refused: int

    @property
    def violations(self) -> float:
        """The share of all answers that are unsafe."""
        return self.unsafe / max(1, self.unsafe_prompts + self.harmless_prompts)

    @property
    def false_refusals(self) -> float:
        """The share of harmless prompts that were refused."""
        return self.refused / max(1, self.harmless_prompts)


def count_safety(unsafe_prompt: Sequence[bool], safe: Sequence[bool], refused: Sequence[bool]) -> SafetyCount:
    """Count, from what is known of each answer: whether its prompt asks for unsafe things, it is safe, it refuses.

    >>> count = count_safety([True, True, False, False], [True, False, True, True], [True, False, True, False])
    >>> count.violations, count.false_refusals
    (0.25, 0.5)
    """
    if not len(unsafe_prompt) == len(safe) == len(refused):
        raise ValueError(f"got {len(unsafe_prompt)} prompts, {len(safe)} safe, {len(refused)} refused: as many each")
    asked, fine, no = (np.asarray(values, bool) for values in (unsafe_prompt, safe, refused))
    return SafetyCount(int(asked.sum()), int((~asked).sum()), int((~fine).sum()), int((no & ~asked).sum()))
