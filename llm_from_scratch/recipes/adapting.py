"""Training an adapter on dialogues: from the settings of a run to the run itself, for `adapt`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..adapters import save_adapter
from ..data import read_dialogues
from ..data.assistant import TAUGHT_KINDS, dialogues, tasks
from ..data.encoding import encode_dialogue
from ..data.examples import ExampleSampler, example_batches
from ..tokenizers import Tokenizer
from .beginning import chosen_template, open_model, steps_of, training_settings
from .questions import Questions
from .settings import check_settings
from .taught import before_last_answer
from .techniques import find_technique, put_on
from .tuning import Tuning

COMMON: Mapping[str, Any] = {
    "tokens": 500_000, "steps": None, "batch": 8, "lr": None, "warmup": 0.05, "evaluations": 5, "held_out": 128,
    "seed": 0, "threads": None, "checkpoint_every": None, "template": None,
}  # fmt: skip


def resolved(method: str, *, model: str, data: str, **given: Any) -> dict[str, Any]:
    """All settings of a run, as `run.json` keeps them; ValueError for what does not fit."""
    technique = find_technique(method)
    known = {**COMMON, **technique.settings}
    for name in given:
        if name not in known:
            raise ValueError(f"{method} has no setting {name!r}; it has {', '.join(sorted(known))}")
    settings = {**known, **{name: value for name, value in given.items() if value is not None}}
    settings["lr"] = technique.lr if settings["lr"] is None else settings["lr"]
    check_settings(settings)
    return {"method": method, "model": str(model), "data": str(data), **settings}


def prepare_run(settings: Mapping[str, Any]) -> Tuning:
    """Open everything, put the adapter on, and make the run."""
    s = dict(settings)
    technique = find_technique(s["method"])
    model, tokenizer = open_model(s["model"], packed=True)
    own = {name: _tuple(s[name]) for name in technique.settings}
    put_on(model, s["method"], **own, seed=s["seed"])
    template = chosen_template(tokenizer, s["template"])
    train, held_out = _talks(s)
    context = model.position_limit or model.spec.context_length
    settings_of: dict[str, Any] = {"template": template, "context": context}
    few = encoded(tokenizer, itertools.islice(train(), 64), **settings_of)
    steps = s["steps"] or steps_of(s["tokens"], few, s["batch"])
    examples = encoded(tokenizer, itertools.islice(train(), steps * s["batch"]), **settings_of)
    checked = encoded(tokenizer, held_out, **settings_of)
    questions = Questions(tokenizer, *_asked(s, held_out), template=template, max_new_tokens=64)
    return Tuning(
        model=model,
        tokenizer=tokenizer,
        sampler=ExampleSampler(examples, min(s["batch"], len(examples)), seed=s["seed"], multiple=16),
        settings=training_settings(
            s, steps, s["lr"], warmup=round(s["warmup"] * steps), evaluations=s["evaluations"], weight_decay=0.0
        ),
        validation=lambda: example_batches(checked, 16),
        measures=questions if questions.marks else None,
        samples=questions.samples,
        save=(lambda directory: save_adapter(model, directory, base=s["model"])) if technique.kept else None,
        template=template.source,
    )


def encoded(
    tokenizer: Tokenizer, talks: Iterator[Any] | Sequence[Any], *, template: Any, context: int
) -> list[dict[str, np.ndarray]]:
    """Dialogues as {"ids", "targets"}: what the assistant says is predicted. ValueError names one that is too long."""
    found = []
    for number, talk in enumerate(talks):
        try:
            ids, trained = encode_dialogue(tokenizer, talk, template=template)
        except (TypeError, ValueError) as error:
            raise type(error)(f"dialogue {number}: {error}") from None
        if len(ids) - 1 > context:
            raise ValueError(f"dialogue {number}: {len(ids)} tokens do not fit into the context of {context}")
        found.append({"ids": ids[:-1], "targets": np.where(trained[1:], ids[1:], -100)})
    if not found:
        raise ValueError("there are no dialogues to learn from")
    return found


def _asked(s: Mapping[str, Any], held_out: Sequence[Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Prompts and marks for `Questions`: questions about tales that no training of this seed saw, or held-out ones."""
    if s["data"] != "tales":
        return [before_last_answer(talk) for talk in held_out], {}
    asked = list(itertools.islice(tasks(s["seed"] + 1_000_003, kinds=TAUGHT_KINDS), s["held_out"]))
    return [task.messages for task in asked], {"right": [task.right for task in asked]}


def _talks(s: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """What to learn from, as often as asked for, and some dialogues that are kept apart."""
    if s["data"] == "tales":
        held_out = list(itertools.islice(dialogues(s["seed"] + 1_000_003, kinds=TAUGHT_KINDS), s["held_out"]))
        return lambda: dialogues(s["seed"], kinds=TAUGHT_KINDS, turns=4), held_out
    talks = read_dialogues(s["data"])
    apart = min(s["held_out"], len(talks) // 10)
    if not apart:
        raise ValueError(f"{s['data']} holds {len(talks)} dialogues; 10 or more are needed, a tenth is kept apart")
    return lambda: itertools.cycle(talks[:-apart]), talks[-apart:]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
