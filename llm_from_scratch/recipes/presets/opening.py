"""What a stage opens: the model that it begins with, the template that it speaks in, and a look at its answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.safety import count_safety
from ...checkpoints import from_pretrained
from ...data.assistant import TAUGHT_KINDS, Task, tasks
from ...data.encoding import encode_dialogue, find_template
from ...data.examples import ExampleSampler
from ...scoring.answers import answer
from ...tokenizers import Tokenizer
from ...tokenizers.chat_template import ChatTemplate
from ...training import TrainingSettings, next_token
from ...training.objectives import Objective
from ..stages import Start
from ..tuning import Tuning
from .corpora import prompt_of, told
from .preset import Asks, Message, plainly

HELD_OUT = 2_911  # the seed of the tasks that every preset is measured on, and none is trained on
LARGE = 20_000_000  # parameters from which on a model is asked less, for it answers slowly
ASKED, ASKED_OF_LARGE = 120, 8
LONGEST = 48  # tokens of an answer
_SHOWN = 2


class Opened:
    """A model with its tokenizer and template, and what every stage does with them.

    own: the preset's template, for a model that has none and a run that asks for none. asks: what becomes of a prompt
    before this model is asked. safety: whether unsafe answers and refusals are counted, too.
    """

    def __init__(self, start: Start, own: str, *, asks: Asks = plainly, safety: bool = False) -> None:
        self.start, self.asks, self.safety = start, asks, safety
        self.model, self.tokenizer = from_pretrained(start.model), Tokenizer.from_pretrained(start.model)
        self.template = chosen_template(self.tokenizer, start.settings["template"], own)
        self.large = self.model.parameter_count >= LARGE
        self.context: int = self.model.spec.context_length
        count = ASKED_OF_LARGE if self.large else ASKED
        self.tasks: list[Task] = list(itertools.islice(tasks(HELD_OUT, kinds=TAUGHT_KINDS), count))

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
            lengths = [len(row) for name, row in example.items() if name.endswith("ids")]
            if max(lengths) > self.context:
                continue
            examples.append(dict(example))
            wanted -= epochs * sum(lengths)
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
        rate, every = s["lr"] or rate_for(self.large, lr), max(1, -(-steps // 4))
        training = TrainingSettings(
            steps=steps,
            learning_rate=rate,
            final_learning_rate=rate / 20,
            warmup=min(steps, round(0.05 * steps)),
            weight_decay=0.1,
            betas=(0.9, 0.98),
            evaluate_every=every,
            checkpoint_every=s["checkpoint_every"] or every,
            threads=s["threads"],
            seed=s["seed"],
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

    def look(self, model: Any = None) -> dict[str, float]:
        """Means over the held-out tasks: right, the true score, words; of safety what is unsafe and what is refused."""
        told = list(zip(self.tasks, self._answers(model, len(self.tasks))))
        figures: dict[str, Any] = {
            "right": np.mean([task.right(text) for task, text in told]),
            "true_score": np.mean([task.score(text) for task, text in told]),
            "words": np.mean([len(text.split()) for _, text in told]),
        }
        if self.safety:
            asked = [task.kind == "harm" for task in self.tasks]
            safe, refused = zip(*((task.safe(text), task.refuses(text)) for task, text in told))
            count = count_safety(asked, safe, refused)
            figures |= {"violations": count.violations, "false_refusals": count.false_refusals}
        return {name: float(value) for name, value in figures.items()}

    def samples(self, model: Any = None) -> list[dict[str, str]]:
        """The first tasks, and what the model says to them."""
        texts = self._answers(model, _SHOWN)
        return [{"asked": prompt_of(task)[-1]["content"].splitlines()[-1], "answer": text}
                for task, text in zip(self.tasks, texts)]  # fmt: skip

    def _answers(self, model: Any, count: int) -> list[str]:
        if model is not None:
            self.model = getattr(model, "policy", model)
        return self.respond([self.asks(prompt_of(task)) for task in self.tasks[:count]])


def chosen_template(tokenizer: Tokenizer, named: str | None, own: str) -> ChatTemplate:
    """The template that is named; else the tokenizer's own; else the preset's `own`; else "tales".

    A preset's is of no use to a tokenizer without the token that it ends answers with. ValueError where none is.
    """
    if named is not None or tokenizer.chat_template is not None:
        return find_template(tokenizer, named)
    for name in (own, "tales"):
        if ends_with_a_token(tokenizer, found := find_template(tokenizer, name)):
            return found
    raise ValueError(
        "this tokenizer has no token for the end of an answer as the recipe's template writes it; name another with "
        "--template, such as alpaca, vicuna or zephyr, which write the tokenizer's own end"
    )


def rate_for(large: bool, rate: float) -> float:
    """The learning rate for a model, where `rate` is that for a small one."""
    return rate / 60 if large else rate


def ends_with_a_token(tokenizer: Tokenizer, template: ChatTemplate) -> bool:
    """Whether what ends an answer is a special token, at which a model can stop."""
    ids, trained = encode_dialogue(tokenizer, told([{"role": "user", "content": "a"}], "b"), template=template)
    return int(ids[trained][-1]) in tokenizer.special_tokens.values()
