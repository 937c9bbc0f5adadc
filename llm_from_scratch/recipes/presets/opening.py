"""What a stage opens: the model that it begins with, the template that it speaks in, and a look at its answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.safety import count_safety
from ...data.assistant import TAUGHT_KINDS, Task, tasks
from ...data.encoding import encode_dialogue
from ...data.examples import ExampleSampler
from ...scoring.answers import answer
from ...training import next_token
from ...training.objectives import Objective
from ..beginning import chosen_template, is_large, open_model, tokens_of, training_settings
from ..questions import Questions, last_line
from ..stages import Start
from ..tuning import Tuning
from .corpora import prompt_of, told
from .preset import Asks, Message, plainly

HELD_OUT = 2_911  # the seed of the tasks that every preset is measured on, and none is trained on
ASKED, ASKED_OF_LARGE = 120, 8
LONGEST = 48  # tokens of an answer


class Opened:
    """A model with its tokenizer and template, and what every stage does with them.

    own: the preset's template, for a model that has none and a run that asks for none. asks: what becomes of a prompt
    before this model is asked. safety: whether unsafe answers and refusals are counted, too.
    """

    def __init__(self, start: Start, own: str, *, asks: Asks = plainly, safety: bool = False) -> None:
        self.start, self.asks, self.safety = start, asks, safety
        self.model, self.tokenizer = open_model(start.model)
        self.template = chosen_template(self.tokenizer, start.settings["template"], own)
        self.large = is_large(self.model)
        self.context: int = self.model.spec.context_length
        count = ASKED_OF_LARGE if self.large else ASKED
        self.tasks: list[Task] = list(itertools.islice(tasks(HELD_OUT, kinds=TAUGHT_KINDS), count))
        marks: dict[str, list[Callable[[str], float]]] = {
            "right": [task.right for task in self.tasks],
            "true_score": [task.score for task in self.tasks],
            "words": [lambda text: len(text.split())] * count,
        }
        prompts = [asks(prompt_of(task)) for task in self.tasks]
        self.questions = Questions(self.tokenizer, prompts, marks, template=self.template, max_new_tokens=LONGEST)

    def at(self, stage: str) -> Opened:
        """The model that another stage of this run left."""
        start = Start(self.start.settings, self.start.done, str(self.start.done[stage]))
        return Opened(start, self.template.source)

    def some(self, count: int) -> int:
        """So many prompts to answer; fewer for a large model, and where a run's steps would not see them all."""
        steps, batch = self.start.settings["steps"], self.start.settings["batch"] or 16
        seen = count if steps is None else min(count, steps * batch)
        return max(4, seen // 16 if self.large and steps is None else seen)

    def respond(self, prompts: Sequence[Sequence[Message]], *, temperature: float = 0.0, seed: int = 0) -> list[str]:
        """What the model answers."""
        return answer(
            self.model, self.tokenizer, prompts, template=self.template, max_new_tokens=LONGEST,
            temperature=temperature, seed=seed,
        )  # fmt: skip

    def encode(self, prompt: Sequence[Message], text: str) -> np.ndarray:
        """A prompt with an answer, as ids."""
        return encode_dialogue(self.tokenizer, told(prompt, text), template=self.template)[0]

    def gather(
        self, made: Iterable[Mapping[str, Any]], batch: int, tokens: int, *, epochs: int = 1
    ) -> tuple[list[dict[str, Any]], int]:
        """Examples that fit into the context, as many as the run is to see, and the steps that they make.

        tokens: how many are to pass through the model, where the run does not say that, or its steps, otherwise.
        ValueError if nothing fits.
        """
        wanted, steps = self.start.settings["tokens"] or tokens, self.start.settings["steps"]
        examples: list[dict[str, Any]] = []
        for example in made:
            if max(len(row) for name, row in example.items() if name.endswith("ids")) > self.context:
                continue
            examples.append(dict(example))
            wanted -= epochs * tokens_of(example)
            if (len(examples) * epochs >= steps * batch) if steps else wanted <= 0:
                break
        if not examples:
            raise ValueError(f"nothing fits into the model's context of {self.context} tokens: take another model")
        return examples, steps or max(1, epochs * len(examples) // batch)

    def tuning(
        self,
        examples: Sequence[Mapping[str, Any]],
        steps: int,
        *,
        objective: Objective = next_token,
        lr: float,
        batch: int,
        model: Any = None,
        sampler: Any = None,
        measures: Callable[[Any], Mapping[str, float]] | None = None,
        **more: Any,
    ) -> Tuning:
        """The run. model: what trains, if not the decoder itself; measures: in place of the look at its answers."""
        s = self.start.settings
        training = training_settings(
            s, steps, s["lr"] or rate_for(self.large, lr), warmup=round(0.05 * steps), evaluations=4
        )
        if sampler is None:
            sampler = ExampleSampler(examples, min(batch, len(examples)), seed=s["seed"], multiple=16)
        looks: dict[str, Any] = {"measures": measures}
        if measures is None:
            looks = {"measures": self.look, "samples": self.samples}
        return Tuning(
            self.model if model is None else model, self.tokenizer, sampler, training, objective,
            template=self.template.source, **{**looks, **more},
        )  # fmt: skip

    def look(self, model: Any) -> dict[str, float]:
        """Means over the held-out tasks: right, the true score, words; of safety what is unsafe and what is refused."""
        policy = getattr(model, "policy", model)
        figures = self.questions(policy)
        if self.safety:
            told = list(zip(self.tasks, self.questions.answers(policy)))
            asked = [task.kind == "harm" for task in self.tasks]
            safe, refused = zip(*((task.safe(text), task.refuses(text)) for task, text in told))
            count = count_safety(asked, safe, refused)
            figures |= {"violations": float(count.violations), "false_refusals": float(count.false_refusals)}
        return figures

    def samples(self, model: Any) -> list[dict[str, str]]:
        """The first tasks, and what the model says to them."""
        found = self.questions.samples(getattr(model, "policy", model))
        return [{**sample, "asked": last_line(prompt_of(task))} for task, sample in zip(self.tasks, found)]


def sampled(opened: Opened, prompts: Sequence[Sequence[Message]], times: int) -> list[list[str]]:
    """So many answers of the model to each prompt, drawn: a list of each prompt's first, of each one's second, …"""
    return [opened.respond(prompts, temperature=1.0, seed=k * len(prompts)) for k in range(times)]


def rate_for(large: bool, rate: float) -> float:
    """The learning rate for a model, where `rate` is that for a small one."""
    return rate / 60 if large else rate
