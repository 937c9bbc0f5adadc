"""What a method of alignment is to the command, and what it gets: a `Setup` in, a `Tuning` out.

A method is a row of a table. It names its settings with their defaults, and prepares a run from a `Setup`, which knows
the model, the data, how answers are measured, and what all methods share.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...alignment.pairs import encode_pairs
from ...alignment.references import check_reference, reference_pairs
from ...data.examples import ExampleSampler
from ...tokenizers import Tokenizer
from ...training import TrainingSettings
from ...training.objectives import Objective
from ...training.run import Sampler
from ..beginning import open_model, steps_of, training_settings
from ..settings import MEMORY, check_settings
from ..tuning import Tuning
from .measures import AnswerMeasures
from .sources import KINDS, Source

# What every method has, and its default; a method may set others.
COMMON: Mapping[str, Any] = {
    "batch": 16,  # pairs, or prompts, a step
    "lr": 3e-4,
    "tokens": 800_000,  # that pass through the model in training
    "steps": None,  # in their place
    "warmup": 0.1,  # share of the steps
    "held_out": 512,  # pairs that are measured on
    "prompts": 128,  # that answers are sampled to, for the true score and the KL
    "max_new_tokens": 64,
    "evaluations": 5,
    "noise": 0.0,  # of the tales: the share of preferences that are wrong
    "kinds": "all",  # of the tales: what they are about; or taught, or questions
    "seed": 0,
    "threads": None,
    "checkpoint_every": None,
    **MEMORY,
}


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of `align --methods`.

    name, about, source: for the reader. data: "pairs" are trained on, or only the "prompts" of them. settings: its own,
    and those of COMMON that it sets otherwise, with their defaults. prepare: makes the run. check: raises ValueError
    for settings that do not go together, before anything is opened.
    """

    name: str
    about: str
    source: str
    data: str
    settings: Mapping[str, Any]
    prepare: Callable[[Setup], Tuning]
    check: Callable[[Mapping[str, Any]], object] = lambda settings: None

    def resolved(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, those given among them; ValueError or TypeError naming one that does not fit."""
        known = {**COMMON, **self.settings}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{self.name} has no setting {name!r}; it has {', '.join(sorted(known))}")
            if value is not None:
                self._check(name, value, known[name])
        found = {**known, **{name: value for name, value in given.items() if value is not None}}
        if found["prompts"] > found["held_out"]:
            raise ValueError(
                f"{found['prompts']} prompts are to be answered, and {found['held_out']} are held out: lower prompts"
            )
        self.check(found)
        return found

    def _check(self, name: str, value: Any, default: Any) -> None:
        try:
            check_settings({name: value})
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {error}") from None
        if isinstance(default, (bool, str)):
            fits, what = isinstance(value, type(default)), "true or false" if isinstance(default, bool) else "a text"
        else:
            fits, what = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
        if not fits:
            raise TypeError(f"{self.name}: {name} must be {what}, got {value!r}")
        if name in ("noise", "warmup") and not 0 <= value <= 1:
            raise ValueError(f"{self.name}: {name} is a share from 0 to 1, got {value}")
        if name == "kinds" and value not in KINDS:
            raise ValueError(f"{self.name}: kinds is one of {', '.join(KINDS)}, got {value!r}")


class Setup:
    """What a method finds: the model that it begins from, preferences to learn from and others to be measured on.

    settings: "method", "model", "data", "template", and all of the method's. cache: a directory for the reference's
    log-probabilities.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        source: Source,
        settings: Mapping[str, Any],
        *,
        template: Any = None,
        reference: Callable[[], Any] | None = None,
        cache: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.model, self.tokenizer, self.source, self.settings = model, tokenizer, source, dict(settings)
        self.template, self.cache, self.say = template, cache, say
        self._reference = reference

    @functools.cached_property
    def reference(self) -> Any:
        """The model as it was before training, frozen: a copy of its own."""
        reference = open_model(self.settings["model"])[0] if self._reference is None else self._reference()
        check_reference(self.model, reference)
        reference.freeze()
        return reference

    @property
    def context(self) -> int | None:
        """The longest row that the model takes."""
        return getattr(getattr(self.model, "spec", None), "context_length", None)

    @property
    def threads(self) -> int | None:
        """Shares that work is divided into, as everything that takes `threads` wants it; None: the cores."""
        return self.settings["threads"]

    def preferences(self, count: int) -> list[dict[str, Any]]:
        """At most so many preferences to learn from."""
        return [dict(one) for one in itertools.islice(self.source.preferences(), count)]

    def encoded(self, preferences: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Pairs, with the log-probabilities of the reference."""
        pairs = encode_pairs(self.tokenizer, preferences, template=self.template, context=self.context)
        return reference_pairs(self.model, pairs, cache=self.cache, threads=self.threads, report=self.say)

    def examples(
        self, make: Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
    ) -> tuple[list[dict[str, Any]], TrainingSettings]:
        """Examples of as many preferences as the run's tokens ask for, and how to train on them.

        make: from preferences to examples; asked for the first few to see how long they are, then for all.
        """
        batch, steps = self.settings["batch"], self.settings["steps"]
        if steps is None:
            few = self.preferences(max(batch, 64))
            steps = steps_of(self.settings["tokens"], make(few), batch, of=len(few))
        examples = make(self.preferences(steps * batch))
        return examples, self.training(steps)

    def training(self, steps: int) -> TrainingSettings:
        """How so many steps are made."""
        s = self.settings
        how: dict[str, Any] = {"schedule": "linear", "final_learning_rate": 0.0, "weight_decay": 0.0}
        warmup = round(s["warmup"] * steps)
        return training_settings(s, steps, s["lr"], warmup=warmup, evaluations=s["evaluations"], **how)

    def sampler(self, examples: Sequence[Mapping[str, Any]], batch: int | None = None) -> ExampleSampler:
        """Batches of examples, in a fresh order each epoch."""
        batch = self.settings["batch"] if batch is None else batch
        return ExampleSampler(examples, min(batch, len(examples)), seed=self.settings["seed"], multiple=16)

    def tuning(
        self,
        sampler: Sampler,
        objective: Objective,
        training: TrainingSettings,
        *,
        asked: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]] = lambda prompt: prompt,
        policy: Callable[[Any], Any] = lambda model: model,
        **more: Any,
    ) -> Tuning:
        """The run, measured on held-out pairs and prompts as every method is.

        asked: what becomes of a prompt (a condition in front). policy: what answers, where `model` is a module around
        it. more: further fields of `Tuning`; measures are added to those that all share.
        """
        own = more.pop("measures", None)
        measures = AnswerMeasures(self, asked=asked)

        def measured(model: Any) -> dict[str, float]:
            return {**measures(policy(model)), **({} if own is None else own(model))}

        return Tuning(
            **{
                "model": self.model,
                "tokenizer": self.tokenizer,
                "sampler": sampler,
                "objective": objective,
                "settings": training,
                "measures": measured,
                "samples": lambda model: measures.samples(policy(model)),
                "template": getattr(self.template, "source", None),
                **more,
            }
        )
