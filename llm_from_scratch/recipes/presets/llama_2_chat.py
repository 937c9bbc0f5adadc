"""LLaMA-2-chat: safety and helpfulness apart, and joined again: two reward models, rejection sampling, PPO, two ghosts.

Ghost Attention keeps to an instruction that stands in the first turn only; safety context distillation to one that
stands in no turn at all.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.actor_critic import ActorCritic
from ...alignment.ghost_attention import TRAIN_ON, ghost_dialogues, in_first_turn
from ...alignment.ppo import PPO
from ...alignment.ppo_settings import PPOSettings
from ...alignment.reward_objectives import RewardPairs, pair_example
from ...alignment.rollouts import Rollouts
from ...alignment.safety import BETA_SMALL, combined_scores, distilled_context, whitened_scores
from ...alignment.value_head import RewardModel
from ...data.assistant import OTHER_KINDS, QUESTION_KINDS, SYSTEMS, Task
from ...generation import end_tokens
from ..stages import Start
from ..tuning import Tuning
from .corpora import asked, prompt_of, talks, told, written
from .custom import Made, Reward, Written
from .opening import LONGEST, Opened, sampled
from .preset import Message, Preset
from .scoring import rewards_of
from .supervised import Supervised

HELPFUL_KINDS = (*QUESTION_KINDS, *OTHER_KINDS, "harmless")
PREPROMPT = "I do not tell of harm."
MARGINS = (
    (0.6, 1.0),
    (0.3, 2 / 3),
    (0.1, 1 / 3),
    (0.0, 0.0),
)  # by how much better, and the margin: the paper's small ones
PROMPTS, ANSWERS = 320, 4


def helpful(start: Start, seed: int) -> Iterator[list[Message]]:
    """Dialogues without harm; half of the single turns begin with a wish how to answer, in the user's words."""
    wishes = talks(seed + 1, turns=1, system=1.0, kinds=HELPFUL_KINDS)
    for talk, (wish, *single) in zip(talks(seed, turns=3, kinds=HELPFUL_KINDS), wishes):
        yield talk
        yield in_first_turn(single, wish["content"])


def safe(start: Start, seed: int) -> Iterator[list[Message]]:
    """Safety SFT: adversarial prompts with safe answers, by turns with prompts that look like them and are harmless."""
    return (told(prompt_of(task), task.answers[0]) for task in asked(seed + 2, kinds=("harm", "harmless")))


def _pair(opened: Opened, task: Task, worth: Any) -> Mapping[str, Any] | None:
    """The best and the worst answer by some worth, with a margin; None if they are equal."""
    ranked = sorted(task.answers, key=worth)
    ahead = worth(ranked[-1]) - worth(ranked[0])
    margin = next(margin for least, margin in MARGINS if ahead >= least)
    if ahead <= 0:
        return None
    prompt = prompt_of(task)
    chosen, rejected = (opened.encode(prompt, text).tolist() for text in (ranked[-1], ranked[0]))
    return pair_example(chosen, rejected, margin=margin)


def helpfulness(opened: Opened, seed: int) -> Iterator[Mapping[str, Any]]:
    """Which answer gives people what they asked for, be it harm."""
    tasks = asked(seed + 3, kinds=(*HELPFUL_KINDS, "harm"))
    return (pair for task in tasks if (pair := _pair(opened, task, task.helpfulness)) is not None)


def safety(opened: Opened, seed: int) -> Iterator[Mapping[str, Any]]:
    """Which answer is safe; where all are, which is helpful, so that refusing is not taken for safety."""
    for task in asked(seed + 4, kinds=("harm", "harm", "harmless", "who")):
        worth = (lambda text, task=task: float(task.safe(text))) if task.kind == "harm" else task.helpfulness
        if (pair := _pair(opened, task, worth)) is not None:
            yield pair


class Combined:
    """The one reward that both reward models make: called with tasks and answers."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.helpfulness, self.safety = (
            RewardModel.from_pretrained(opened.start.done[name]) for name in ("helpfulness", "safety")
        )

    def __call__(self, tasks: Sequence[Task], texts: Sequence[str]) -> np.ndarray:
        """(N,), from 0 to 1."""
        prompts = [prompt_of(task) for task in tasks]
        helpful, safe = (
            1 / (1 + np.exp(-rewards_of(model, self.opened, prompts, texts)))
            for model in (self.helpfulness, self.safety)
        )
        return combined_scores(helpful, safe, np.array([task.kind == "harm" for task in tasks]))


def rejected(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Rejection sampling: of several answers the one with the highest reward."""
    tasks = list(itertools.islice(asked(opened.start.settings["seed"] + 5), opened.some(PROMPTS)))
    prompts, reward = [prompt_of(task) for task in tasks], Combined(opened)
    columns = sampled(opened, prompts, ANSWERS)
    best = np.argmax([reward(tasks, texts) for texts in columns], axis=0)
    chosen = [(prompt, columns[best[row]][row]) for row, prompt in enumerate(prompts)]
    return [{"messages": told(prompt, text)} for prompt, text in chosen if text]


def ppo(opened: Opened) -> Tuning:
    """PPO on the combined reward, whitened after a logit, minus the price of KL."""
    s, reward = opened.start.settings, Combined(opened)
    tasks = list(itertools.islice(asked(s["seed"] + 6), opened.some(512)))
    answers = opened.some(64)
    settings = PPOSettings(
        answers=answers, minibatch=max(1, answers // 4), epochs=2, max_new_tokens=LONGEST, beta=BETA_SMALL,
        score_normalisation="none", cut_off="score",
    )  # fmt: skip
    prompts = [opened.template.encode(opened.tokenizer, prompt_of(task)) for task in tasks]
    room = opened.context - LONGEST
    fitting = [k for k, prompt in enumerate(prompts) if len(prompt) <= room]
    reference = copy.deepcopy(opened.model)
    reference.freeze()
    model = ActorCritic(opened.model, reward.helpfulness.copy())
    sampler = Rollouts(
        model, reference, [prompts[k] for k in fitting],
        lambda tasks, texts: whitened_scores(reward(tasks, texts)), settings,
        items=[tasks[k] for k in fitting], decode=lambda ids: opened.tokenizer.decode(ids).strip(),
        end_tokens=end_tokens(opened.model, opened.tokenizer), seed=s["seed"], threads=s["threads"],
    )  # fmt: skip
    steps = s["steps"] or settings.steps_an_iteration * 8
    return opened.tuning(
        [], steps, objective=PPO(settings), lr=1e-4, batch=answers, model=model, sampler=sampler,
    )  # fmt: skip


def context(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Safety context distillation on adversarial prompts, kept where the safety model prefers it."""
    tasks = itertools.islice(asked(opened.start.settings["seed"] + 7, kinds=("harm",)), opened.some(PROMPTS))
    model = RewardModel.from_pretrained(opened.start.done["safety"])
    made = distilled_context(
        [prompt_of(task) for task in tasks], opened.respond,
        lambda prompts, texts: rewards_of(model, opened, prompts, texts), preprompt=PREPROMPT,
    )  # fmt: skip
    # Where nothing is better with the preprompt the answers are safe already: demonstrations stand in.
    fallback = (told(prompt_of(task), task.answers[0]) for task in asked(0, kinds=("harm",)))
    return [{"messages": messages} for messages in made or itertools.islice(fallback, 16)]


def ghosts(opened: Opened) -> Sequence[Mapping[str, Any]]:
    """Ghost Attention: the last of three answers, sampled under a wish that stands in every turn."""
    drawn = itertools.islice(
        talks(opened.start.settings["seed"] + 8, turns=3, kinds=HELPFUL_KINDS), opened.some(PROMPTS)
    )
    dialogues = list(drawn)
    wishes = [list(SYSTEMS.values())[k % len(SYSTEMS)] for k, _ in enumerate(dialogues)]
    return [{"messages": m} for m in ghost_dialogues(dialogues, wishes, opened.respond) if m[-1]["content"]]


PRESET = Preset(
    name="llama-2-chat",
    releases=("LLaMA 2-Chat",),
    particular="R is the safety reward where the prompt is unsafe or that reward below 0.15, else the helpfulness "
    "reward; whitened after a logit, minus 0.01 KL",
    here="comparisons are computed; PPO runs for eight iterations of 64 answers",
    template="llama-2",
    stages=(
        Supervised("sft", "Helpful dialogues.", helpful, safety=True),
        Supervised("safety-sft", "Safe answers to adversarial prompts.", safe, tokens=60_000, lr=1e-3, safety=True),
        Reward("helpfulness", "A reward model of what was asked for, with margins.", helpfulness, helpfulness,
               RewardPairs(), tokens=300_000),
        Reward("safety", "A reward model of what does no harm.", safety, safety, RewardPairs(), tokens=150_000),
        Written("samples", "The best of four answers, by the combined reward.", rejected),
        Supervised("rejection", "Rejection sampling: those answers.", written("samples"), tokens=60_000, lr=5e-4,
                   safety=True),
        Made("ppo", "PPO on the combined reward.", ppo, safety=True),
        Written("context", "Answers under a safe preprompt, where the safety model prefers them.", context),
        Supervised("distilled", "Those answers without the preprompt.", written("context"), tokens=20_000, lr=3e-4,
                   safety=True),
        Written("ghosts", "Answers sampled under a wish in every turn.", ghosts),
        Supervised("ghost-attention", "Those answers, the wish in the first turn alone.", written("ghosts"),
                   train_on=TRAIN_ON, tokens=60_000, lr=5e-4, safety=True),
    ),
)  # fmt: skip
