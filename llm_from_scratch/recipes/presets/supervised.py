"""The stage that every recipe of the year has: dialogues, of which some tokens are learned."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...data.encoding import encode_dialogue
from ...data.examples import ExampleSampler
from ...data.packing import IGNORE
from ...tokenizers import Tokenizer
from ...tokenizers.chat_template import ChatTemplate
from ...training import TrainingSettings, next_token
from ...training.objectives import Objective
from ..stages import Start
from ..tuning import Tuning
from .opening import Look, count_for, open_start
from .preset import Asks, Message

Dialogue = list[Message] | Mapping[str, Any]  # messages, or {"messages": …, more numbers for the example}


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Learn from dialogues.

    data: dialogues from a seed, without end or not. train_on: as for `encode_dialogue`. prepare: what is done to the
    model first (freezing, adapters). objective: in place of the mean over all tokens that are trained on. template, asks:
    the preset's, if None. tokens: how many pass through the model unless the run says otherwise; lr, batch: likewise.
    """

    name: str
    does: str
    data: Callable[[Start, int], Iterable[Dialogue]]
    train_on: str = "assistant"
    prepare: Callable[[Any], Any] | None = None
    objective: Objective = next_token
    template: str | None = None
    asks: Asks | None = None
    tokens: int = 400_000
    lr: float = 1e-3
    batch: int = 8
    safety: bool = False
    leads: bool = True

    def examples(
        self, dialogues: Iterable[Dialogue], tokenizer: Tokenizer, template: ChatTemplate | str, context: int | None
    ) -> Iterator[dict[str, Any]]:
        """{"ids", "targets", …}: what is trained is predicted by the token before it. Longer than the context: left out."""
        for dialogue in dialogues:
            more = dict(dialogue) if isinstance(dialogue, Mapping) else {"messages": dialogue}
            ids, trained = encode_dialogue(tokenizer, more.pop("messages"), template=template, train_on=self.train_on)
            if context is None or len(ids) <= context:
                yield {"ids": ids[:-1], "targets": np.where(trained[1:], ids[1:], IGNORE), **more}

    def tuning(self, start: Start) -> Tuning:
        """The run from where the recipe stands."""
        s = start.settings
        model, tokenizer, template = open_start(start.model, s["template"], self.template)
        context, batch = model.spec.context_length, s["batch"] or self.batch
        made = self.examples(self.data(start, s["seed"]), tokenizer, template, context)
        if s["steps"] is None:
            examples = list(itertools.islice(_until(made, s["tokens"] or self.tokens), 0, None))
            steps = max(1, len(examples) // batch)
        else:
            steps = s["steps"]
            examples = list(itertools.islice(made, steps * batch))
        if not examples:
            raise ValueError(f"{self.name}: no dialogue fits into the model's context of {context} tokens")
        if self.prepare is not None:
            self.prepare(model)
        look = Look(tokenizer, template, asks=self.asks, count=count_for(model), safety=self.safety)
        every = max(1, -(-steps // 4))
        training = TrainingSettings(
            steps=steps,
            learning_rate=s["lr"] or self.lr,
            warmup=min(steps, round(0.1 * steps)),
            schedule="linear",
            weight_decay=0.0,
            betas=(0.9, 0.98),
            evaluate_every=every,
            checkpoint_every=s["checkpoint_every"] or every,
            threads=s["threads"],
            seed=s["seed"],
        )
        sampler = ExampleSampler(examples, min(batch, len(examples)), seed=s["seed"], multiple=16)
        return Tuning(
            model, tokenizer, sampler, training, self.objective, measures=look, samples=look.samples,
            template=template.source,
        )  # fmt: skip


def _until(examples: Iterable[dict[str, Any]], tokens: int) -> Iterator[dict[str, Any]]:
    """Examples until they have so many tokens."""
    for example in examples:
        if tokens <= 0:
            return
        tokens -= len(example["ids"])
        yield example
