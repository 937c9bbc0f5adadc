"""Training an adapter on dialogues: from the settings of a run to the run itself, for `adapt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..adapters import save_adapter
from ..data import dialogue_examples
from ..data.examples import ExampleSampler, example_batches
from .beginning import chosen_template, open_model, training_settings
from .questions import Questions
from .settings import MEMORY, check_settings
from .taught import examples_of, open_taught
from .techniques import find_technique, put_on
from .tuning import Tuning

COMMON: Mapping[str, Any] = {
    "tokens": None, "steps": None, "batch": 8, "lr": None, "warmup": 0.05, "evaluations": 5, "held_out": 128,
    "seed": 0, "threads": None, "checkpoint_every": None, "template": None, **MEMORY,
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
    taught = open_taught(s["data"], seed=s["seed"], held_out=s["held_out"])
    about: dict[str, Any] = {"template": template, "context": model.position_limit or model.spec.context_length}
    examples, steps = examples_of(taught, tokenizer, s, about)
    held_out = dialogue_examples(tokenizer, taught.held_out, **about) if taught.held_out else []
    questions = Questions(tokenizer, taught.prompts, taught.marks, template=template, max_new_tokens=taught.longest)
    return Tuning(
        model=model,
        tokenizer=tokenizer,
        sampler=ExampleSampler(examples, min(s["batch"], len(examples)), seed=s["seed"], multiple=16),
        settings=training_settings(
            s, steps, s["lr"], warmup=round(s["warmup"] * steps), evaluations=s["evaluations"], weight_decay=0.0
        ),
        validation=(lambda: example_batches(held_out, 16)) if held_out else None,
        measures=questions if questions.marks else None,
        samples=questions.samples,
        save=(lambda directory: save_adapter(model, directory, base=s["model"])) if technique.kept else None,
        template=template.source,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
