"""Which technique goes with which family: tried, not told. Each is put on a miniature of the family and learns a step.

What a family cannot have it refuses in words, and the table has these words as its footnotes. Rows are what a model is
trained towards (supervised, distillation, DPO, rewards, PPO) and what of it trains (`techniques.TECHNIQUES`, QLoRA).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..adapters.adapted import Adapted, active_names
from ..adapters.places import functions, kind_of
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
from .techniques import TECHNIQUES as ADAPTING
from .techniques import put_on

ROWS, LENGTH, VOCABULARY = 2, 12, 64
_SMALL = {"rank": 2, "size": 2, "length": 2}
Learns = tuple[Any, Objective, Batch]  # what trains, towards what, on what


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of it. answer: "yes", "some" (layers of some kinds have no such place), "named" (targets have to be
    named, since the usual ones do not exist) or "no"; why: the refusal, or the kinds that are left out.
    """

    answer: str
    why: str = ""


def small_model(family: str) -> Any:
    """A miniature of the family's first release; ValueError for an unknown family."""
    known = all_families()
    if family not in known:
        raise ValueError(f"there is no family {family!r}; there are {', '.join(known)}")
    name = next(iter(known[family].sizes or known[family].model_types))
    config = miniature(name, layers=2, width=32, context=32, vocabulary=VOCABULARY)
    return build(config.pop("model_type"), **config)


def _text() -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (ROWS, LENGTH))
    return {"ids": ids, "targets": np.roll(ids, -1, axis=1)}


def _supervised(model: Any) -> Learns:
    return model, next_token, _text()


def _distillation(model: Any) -> Learns:
    return model, distil(copy.deepcopy(model), hard=0.5), _text()


def _dpo(model: Any) -> Learns:
    batch = {f"{side}_{name}": array for side in ("chosen", "rejected") for name, array in _text().items()}
    batch |= {"rejected_ids": batch["rejected_ids"] % 7}
    batch |= {f"reference_{side}": np.full(ROWS, -30.0, np.float32) for side in ("chosen", "rejected")}
    return model, preference_objective(functools.partial(dpo_loss, beta=0.1)), batch


def _reward(model: Any) -> Learns:
    ids = _text()["ids"]
    batch = {"chosen_ids": ids, "rejected_ids": ids % 7}
    return RewardModel(model), RewardPairs(), batch | {name.replace("ids", "mask"): ids > 0 for name in batch}


def _ppo(model: Any) -> Learns:
    settings = PPOSettings(answers=2, minibatch=2, epochs=1, max_new_tokens=4)
    trained, reference, prompts = ActorCritic.of(model, "policy"), copy.deepcopy(model), list(_text()["ids"][:, :4])
    rollouts = Rollouts(trained, reference, prompts, lambda items, texts: [1.0, 0.0], settings, end_tokens=[0])
    return rollouts.model, PPO(settings), next(rollouts)


def _adapted(name: str, **settings: Any) -> Callable[[Any], Learns]:
    own = {**{key: value for key, value in _SMALL.items() if key in ADAPTING[name].settings}, **settings}

    def learns(model: Any) -> Learns:
        put_on(model, name, **own)
        return _supervised(model)

    return learns


def _qlora(model: Any) -> Learns:
    to_nf4(model)
    return _adapted("lora", targets="all-linear")(model)


TECHNIQUES: dict[str, Callable[[Any], Learns]] = {
    "supervised": _supervised,
    "distillation": _distillation,
    "dpo": _dpo,
    "reward model": _reward,
    "ppo": _ppo,
    **{name: _adapted(name) for name in ADAPTING if name != "full"},
    "qlora": _qlora,
}


def trial(family: str, technique: str) -> Trial:
    """Put a technique on a miniature of the family, and see that a step of it has a gradient.

    ValueError where something is refused without a word, or goes but nothing learns.
    """
    if technique not in TECHNIQUES:
        raise ValueError(f"there is no technique {technique!r} in the table; there are {', '.join(TECHNIQUES)}")
    model, answer = small_model(family), Trial("yes")
    try:
        learns = TECHNIQUES[technique](model)
    except ValueError as error:
        if not str(error):
            raise ValueError(f"{technique} is refused by {family} without a word") from error
        if not technique.endswith(("lora", "dora")):
            return Trial("no", str(error))
        model, answer = small_model(family), Trial("named", str(error))
        learns = _adapted(technique, targets="all-linear")(model)
    trained, objective, batch = learns
    accumulate_gradients(trained, batch, objective=objective, threads=1)
    gradients = [p.grad for _, p in trained.named_parameters() if p.requires_grad]
    if not any(grad is not None and np.abs(grad).max() > 0 for grad in gradients):
        raise ValueError(f"{technique} goes with {family}, but nothing learns")
    left_out = _without(model, technique) if active_names(model) else {}
    return Trial("some", ", ".join(left_out)) if left_out else answer


def _without(model: Any, technique: str) -> dict[str, None]:
    """The kinds of mixers in which nothing was put, if any."""
    if technique == "pfeiffer" or technique == "prompt":
        return {}
    found: dict[str, None] = {}
    for path, function in functions(model).items():
        if path.rpartition(".")[2].startswith("feed_forward"):
            continue
        inside = isinstance(function, Adapted) or any(isinstance(m, Adapted) for _, m in function.named_modules())
        keeps = technique.endswith("prefix") and hasattr(function.spec, "key_value_heads")
        if not (inside or keeps):
            found[kind_of(function)] = None
    return found


def trials(
    families: Sequence[str] | None = None, techniques: Sequence[str] | None = None
) -> dict[str, dict[str, Trial]]:
    """{family: {technique: what came of it}}, of all there are or of those named."""
    return {f: {t: trial(f, t) for t in techniques or TECHNIQUES} for f in families or all_families()}


def technique_table(found: Mapping[str, Mapping[str, Trial]] | None = None) -> str:
    """The trials as a table, and below it every refusal in its own words."""
    found = trials() if found is None else found
    names = list(next(iter(found.values())))
    width = max(map(len, found)) + 2
    shown = [name.replace("reparametrised-prefix", "repar. prefix") for name in names]
    lines = [" " * width + "  ".join(shown)]
    for family, tried in found.items():
        cells = [tried[name].answer.ljust(len(head)) for name, head in zip(names, shown)]
        lines.append(f"{family:{width}}" + "  ".join(cells).rstrip())
    notes: dict[str, list[str]] = {}
    for family, tried in found.items():
        for name, one in tried.items():
            if one.answer != "yes":
                what = f"not in its {one.why} layers" if one.answer == "some" else one.why
                notes.setdefault(f"{one.answer}: {what}", []).append(f"{family} ({name})")
    told = [f"{', '.join(who)}\n    {what}" for what, who in notes.items()]
    return "\n".join([*lines, "", *told])
