"""Which technique goes with which family: tried, not told. Each is put on a miniature of the family and learns a step.

A family that cannot have a technique refuses it in words; the table has these words as its footnotes.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import adapters
from ..alignment.actor_critic import ActorCritic
from ..alignment.distillation import distil
from ..alignment.dpo import dpo_loss
from ..alignment.ppo import PPO
from ..alignment.ppo_settings import PPOSettings
from ..alignment.preference import preference_objective
from ..alignment.reward_objectives import RewardPairs
from ..alignment.rollouts import Rollouts
from ..alignment.value_head import RewardModel
from ..checkpoints import build
from ..families import all_families
from ..quantization import to_nf4
from ..training import accumulate_gradients, next_token
from ..training.objectives import Batch, Objective
from .miniature import miniature

ROWS, LENGTH, VOCABULARY = 2, 12, 48
Trial = tuple[Any, Objective, Batch]  # what trains, towards what, on what


def _numbers() -> np.random.Generator:
    return np.random.default_rng(0)


def _text() -> dict[str, np.ndarray]:
    ids = _numbers().integers(1, VOCABULARY, (ROWS, LENGTH))
    return {"ids": ids, "targets": np.roll(ids, -1, axis=1)}


def _full(model: Any) -> Trial:
    return model, next_token, _text()


def _distillation(model: Any) -> Trial:
    return model, distil(copy.deepcopy(model), hard=0.5), _text()


def _dpo(model: Any) -> Trial:
    text = _text()
    batch = {f"{side}_{name}": array for side in ("chosen", "rejected") for name, array in text.items()}
    batch["rejected_ids"] = batch["rejected_ids"] % 7
    references = {f"reference_{side}": np.full(ROWS, -30.0, np.float32) for side in ("chosen", "rejected")}
    return model, preference_objective(functools.partial(dpo_loss, beta=0.1)), {**batch, **references}


def _reward(model: Any) -> Trial:
    ids = _text()["ids"]
    sides = {"chosen": ids, "rejected": ids % 7}
    batch = {f"{side}_ids": row for side, row in sides.items()}
    return (
        RewardModel(model),
        RewardPairs(),
        batch | {f"{side}_mask": np.ones(row.shape, bool) for side, row in sides.items()},
    )


def _ppo(model: Any) -> Trial:
    settings = PPOSettings(answers=2, minibatch=2, epochs=1, max_new_tokens=4)
    prompts = list(_text()["ids"][:, :4])
    rollouts = Rollouts(
        ActorCritic.of(model, "policy"), copy.deepcopy(model), prompts, lambda items, texts: [1.0, 0.0], settings,
        end_tokens=[0],
    )  # fmt: skip
    return rollouts.model, PPO(settings), next(rollouts)


def _adapted(add: Callable[..., Any], **settings: Any) -> Callable[[Any], Trial]:
    def put_on(model: Any) -> Trial:
        add(model, **settings)
        return _full(model)

    return put_on


def _qlora(model: Any) -> Trial:
    to_nf4(model)
    return _adapted(adapters.add_lora, rank=2, targets="all-linear")(model)


TECHNIQUES: dict[str, Callable[[Any], Trial]] = {
    "full SFT": _full,
    "distillation": _distillation,
    "DPO": _dpo,
    "reward model": _reward,
    "PPO": _ppo,
    "LoRA": _adapted(adapters.add_lora, rank=2),
    "LoRA, all linear": _adapted(adapters.add_lora, rank=2, targets="all-linear"),
    "(IA)³": _adapted(adapters.add_ia3),
    "prefix": _adapted(adapters.add_prefix, length=2),
    "prompt": _adapted(adapters.add_prompt, length=2),
    "bottleneck, Houlsby": _adapted(adapters.add_bottleneck, size=2),
    "bottleneck, Pfeiffer": _adapted(adapters.add_bottleneck, size=2, placement="pfeiffer"),
    "BitFit": _adapted(adapters.train_biases),
    "QLoRA": _qlora,
}


@dataclasses.dataclass(frozen=True)
class Suitability:
    """Of each technique and family: None where it goes, else why not, in the words of the refusal."""

    refusals: Mapping[str, Mapping[str, str | None]]

    def lines(self) -> list[str]:
        """The table: "+" where it goes, a number where it does not, and below what the number stands for."""
        families = list(next(iter(self.refusals.values())))
        notes = list(dict.fromkeys(why for row in self.refusals.values() for why in row.values() if why))
        width = max(map(len, self.refusals))
        heads = [name[k : k + 1] for k in range(max(map(len, families))) for name in families]
        lines = [
            f"{'':{width}}  " + "  ".join(f"{letter:2}" for letter in heads[at : at + len(families)]).rstrip()
            for at in range(0, len(heads), len(families))
        ]
        for technique, row in self.refusals.items():
            cells = ["+" if row[family] is None else str(1 + notes.index(str(row[family]))) for family in families]
            lines.append(f"{technique:{width}}  " + "  ".join(f"{cell:2}" for cell in cells).rstrip())
        return [*lines, "", *(f"{number:2} {why}" for number, why in enumerate(notes, 1))]


def suitability(techniques: Sequence[str] | None = None, families: Sequence[str] | None = None) -> Suitability:
    """Try them. ValueError for a name that is unknown, and where something is refused in no words or learns nothing."""
    chosen, known = list(techniques or TECHNIQUES), all_families()
    for name in chosen:
        if name not in TECHNIQUES:
            raise ValueError(f"there is no technique {name!r} in the table; there are {', '.join(TECHNIQUES)}")
    for name in (columns := list(families or known)):
        if name not in known:
            raise ValueError(f"there is no family {name!r}; there are {', '.join(known)}")
    return Suitability({name: {family: refusal(name, family) for family in columns} for name in chosen})


def refusal(technique: str, family: str) -> str | None:
    """Why a technique does not go with a family, or None: then a step on a miniature has a gradient."""
    model = small(family)
    try:
        trained, objective, batch = TECHNIQUES[technique](model)
    except ValueError as error:
        if not str(error):
            raise ValueError(f"{technique} is refused by {family} without a word") from error
        return str(error)
    accumulate_gradients(trained, batch, objective=objective, threads=1)
    gradients = [p.grad for _, p in trained.named_parameters() if p.requires_grad]
    if not any(grad is not None and np.abs(grad).max() > 0 for grad in gradients):
        raise ValueError(f"{technique} goes with {family}, but nothing learns")
    return None


def small(family: str) -> Any:
    """A miniature of the family's first release."""
    found = all_families()[family]
    name = next(iter(found.sizes or found.model_types))
    config = miniature(name, layers=2, width=16, heads=2, context=32, vocabulary=VOCABULARY)
    return build(config.pop("model_type"), **config, seed=0)
