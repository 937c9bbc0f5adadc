"""The model that a stage begins with, the template it speaks in, and how its answers are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...alignment.safety import count_safety
from ...checkpoints import from_pretrained
from ...data.assistant import Task, tasks
from ...data.encoding import encode_dialogue, find_template
from ...scoring.answers import answer
from ...tokenizers import Tokenizer
from ...tokenizers.chat_template import ChatTemplate
from .corpora import prompt_of, told
from .preset import Asks, plainly

HELD_OUT = 2_911  # the seed of the tasks that every preset is measured on, and none is trained on
LARGE = 20_000_000  # parameters from which on a model is asked less, for it answers slowly
ASKED, ASKED_OF_LARGE = 120, 8
LONGEST = 48  # tokens of an answer
_SHOWN = 2


def open_start(path: str, template: str | None, own: str) -> tuple[Any, Tokenizer, ChatTemplate]:
    """Model, tokenizer and template: the one asked for; else that which the model came with; else the preset's `own`.

    A preset's own template is of no use to a tokenizer without the token that it ends answers with: then it is "tales".
    ValueError where that is of no use either.
    """
    model, tokenizer = from_pretrained(path), Tokenizer.from_pretrained(path)
    if template is not None or tokenizer.chat_template is not None:
        return model, tokenizer, find_template(tokenizer, template)
    for name in (own, "tales"):
        if ends_with_a_token(tokenizer, found := find_template(tokenizer, name)):
            return model, tokenizer, found
    raise ValueError(
        f"{path}: the tokenizer has no token for the end of an answer as the recipe's template writes it; name another "
        "with --template, such as alpaca, vicuna or zephyr, which write the tokenizer's own end"
    )


def ends_with_a_token(tokenizer: Tokenizer, template: ChatTemplate) -> bool:
    """Whether what ends an answer is a special token, at which a model can stop."""
    ids, trained = encode_dialogue(tokenizer, told([{"role": "user", "content": "a"}], "b"), template=template)
    return int(ids[trained][-1]) in tokenizer.special_tokens.values()


class Look:
    """How many of the held-out tasks a model answers rightly, and what its answers are worth."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, *, asks: Asks = plainly, count: int, safety: bool = False
    ) -> None:
        self.tokenizer, self.template, self.asks, self.safety = tokenizer, template, asks, safety
        self.tasks: list[Task] = list(itertools.islice(tasks(HELD_OUT), count))

    def answers(self, model: Any, count: int | None = None) -> list[str]:
        """The likeliest answers to the tasks, or to the first few of them."""
        prompts = [self.asks(prompt_of(task)) for task in self.tasks[:count]]
        return answer(model, self.tokenizer, prompts, template=self.template, max_new_tokens=LONGEST)

    def __call__(self, model: Any) -> dict[str, float]:
        """right and true_score: means over the tasks; words: of an answer; of safety the unsafe and the refused."""
        texts = self.answers(model)
        told = list(zip(self.tasks, texts))
        figures = {
            "right": float(np.mean([task.right(text) for task, text in told])),
            "true_score": float(np.mean([task.score(text) for task, text in told])),
            "words": float(np.mean([len(text.split()) for text in texts])),
        }
        if self.safety:
            asked = [task.kind == "harm" for task in self.tasks]
            safe, refused = zip(*((task.safe(text), task.refuses(text)) for task, text in told))
            count = count_safety(asked, safe, refused)
            figures |= {"violations": count.violations, "false_refusals": count.false_refusals}
        return figures

    def samples(self, model: Any) -> list[dict[str, str]]:
        """The first tasks and what the model says to them."""
        texts = self.answers(model, _SHOWN)
        return [{"asked": _last_line(task.messages[-1]), "answer": text} for task, text in zip(self.tasks, texts)]


def count_for(model: Any) -> int:
    """How many tasks a model of this size is asked."""
    return ASKED if model.parameter_count < LARGE else ASKED_OF_LARGE


def rate_for(model: Any, rate: float) -> float:
    """The learning rate for a model of this size, where `rate` is that for a model of tales."""
    return rate if model.parameter_count < LARGE else rate / 60


def _last_line(message: Mapping[str, Any]) -> str:
    return str(message["content"]).splitlines()[-1]
