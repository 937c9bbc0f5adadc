"""Supervised tuning and distillation as one run: what `python -m llm_from_scratch finetune` carries out.

From settings that JSON can hold to a `Tuning`; how it goes on from there is the same for all commands that tune.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..adapters import add_lora, merge_adapter, save_adapter
from ..alignment.on_policy import OnPolicySampler
from ..alignment.supervised import noisy_next_token
from ..data import dialogue_examples
from ..data.examples import ExampleSampler, example_batches
from ..generation import end_tokens
from ..training.objectives import Objective
from .beginning import chosen_template, is_large, open_model, taught_by, training_settings
from .questions import Questions
from .settings import MEMORY, check_settings
from .taught import examples_of, open_taught
from .tuning import ADAPTER, Tuning

# Everything that a run may be told, with what it is otherwise. None: it follows from the data or the model.
DEFAULTS: Mapping[str, Any] = {
    "template": None, "train_on": "assistant", "tokens": None, "steps": None, "lr": None, "batch": 8, "context": None,
    "noise": 0.0, "lora": None, "teacher": None, "distill": "forward", "temperature": 1.0, "beta": 0.5, "hard": 0.0,
    "on_policy": 0.0, "held_out": 200, "held_out_seed": 0, "max_new_tokens": None, "evaluations": None, "seed": 0,
    "threads": None, "checkpoint_every": None, **MEMORY,
}  # fmt: skip
LINEAR = ("query", "key", "value", "output", "gate", "up", "down")


def settings_of(model: str, data: str, **given: Any) -> dict[str, Any]:
    """All settings of a run, those given among them; ValueError or TypeError for what cannot be."""
    unknown = sorted(given.keys() - DEFAULTS.keys())
    if unknown:
        raise ValueError(f"there is no setting {unknown[0]!r}; there are {', '.join(DEFAULTS)}")
    settings = {"model": model, "data": data, **DEFAULTS}
    settings |= {name: value for name, value in given.items() if value is not None}
    check_settings(settings)
    noisy_next_token(settings["noise"])
    if settings["teacher"] is None:
        alone = [n for n in ("distill", "temperature", "beta", "hard", "on_policy") if settings[n] != DEFAULTS[n]]
        if alone:
            raise ValueError(f"{alone[0]} says how one learns from a teacher: name one with --teacher")
    elif settings["noise"]:
        raise ValueError("noise is put on what is learned from texts, not on what a teacher thinks of them: choose one")
    return settings


def prepare(settings: Mapping[str, Any]) -> Tuning:
    """Open model, teacher and data, and make the run."""
    s = dict(settings)
    taught = open_taught(s["data"], **{name: s[name] for name in ("seed", "held_out", "held_out_seed")})
    room = s["max_new_tokens"] or taught.longest
    model, tokenizer = open_model(s["model"])
    objective, identity = _objective(s, model)
    large, template = is_large(model), chosen_template(tokenizer, s["template"])
    context = min(model.spec.context_length, s["context"] or (512 if large else 4096))
    about: dict[str, Any] = {"context": context, "template": template, "train_on": s["train_on"]}
    if s["lora"] is not None:  # few numbers learn more slowly
        taught = replace(taught, epochs=2 * taught.epochs)
    examples, steps = examples_of(taught, tokenizer, s, about)
    save = None
    if s["lora"] is not None:
        add_lora(model, s["lora"], 2 * s["lora"], _linear_layers(model), seed=s["seed"])
        save = _saving_both(model, s["model"])
    lr = s["lr"] or (2e-4 if large else 3e-3) * (1 if s["lora"] is None else 2.5 if large else 3)
    often, decay = s["evaluations"] or (1 if large else 4), 0.0 if large or s["lora"] is not None else 0.1
    how: dict[str, Any] = {"warmup": min(50, -(-steps // 10)), "weight_decay": decay, "keep": 1 if large else 2}
    training = training_settings(s, steps, lr, evaluations=often, **how)
    batch = min(s["batch"], len(examples))
    sampler: Any = ExampleSampler(examples, batch, seed=s["seed"], multiple=16)
    if s["on_policy"]:
        stops = end_tokens(model, tokenizer)
        how = {"stop_tokens": stops, "max_new_tokens": room, "share": s["on_policy"], "seed": s["seed"]}
        sampler = OnPolicySampler(model, examples, batch, **how)
    held_out = dialogue_examples(tokenizer, taught.held_out, **about) if taught.held_out else []
    questions = Questions(tokenizer, taught.prompts, taught.marks, template=template, max_new_tokens=room)
    return Tuning(
        model,
        tokenizer,
        sampler,
        training,
        objective,
        identity=identity,
        validation=(lambda: example_batches(held_out, batch)) if held_out else None,
        measures=questions if taught.marks else None,
        samples=questions.samples,
        save=save,
        template=template.source,
    )


def _objective(s: Mapping[str, Any], model: Any) -> tuple[Objective, dict[str, Any]]:
    """What is minimised, and what of it the settings do not say."""
    if s["teacher"] is None:
        return noisy_next_token(s["noise"]), {}
    how = {"kind": s["distill"], "temperature": s["temperature"], "beta": s["beta"]}
    objective, digest = taught_by(s["teacher"], model, hard=s["hard"], soft=1 - s["hard"], **how)
    return objective, {"teacher": digest}


def _linear_layers(model: Any) -> tuple[str, ...]:
    """The matrices that LoRA is put beside: all of the layers."""
    return tuple(
        target for target in LINEAR if any(path.endswith(f".{target}.weight") for path, _ in model.named_parameters())
    ) or ("all-linear",)


def _saving_both(model: Any, base: str) -> Any:
    """Writes the adapter into a folder of its own, and the whole model with it merged, so that any command opens it."""

    def save(directory: Path) -> None:
        save_adapter(model, directory / ADAPTER, base=base)
        merge_adapter(model, keep=False)
        model.save_pretrained(directory)

    return save
