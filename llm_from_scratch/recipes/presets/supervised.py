"""The stage that every recipe of the year has: dialogues, of which some tokens are learned."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...data.dialogue_batches import dialogue_example, packed_rows
from ...data.encoding import encode_dialogue
from ...data.examples import ExampleSampler
from ...tokenizers import Tokenizer
from ...tokenizers.chat_template import ChatTemplate
from ...training import TrainingSettings, next_token
from ...training.objectives import Objective
from ..stages import Start
from ..tuning import Tuning
from .opening import Look, count_for, open_start, rate_for
from .preset import Asks, Message, plainly

Dialogue = list[Message] | Mapping[str, Any]  # messages, or {"messages": …, more numbers for the example}


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Learn from dialogues.

    data: dialogues from a seed, without end or not. train_on: as for `encode_dialogue`. prepare: what is done to the
    model first (freezing, adapters). objective: in place of the mean over all tokens that are trained on. template,
    asks: the preset's, unless said. tokens, lr, batch: how many pass through the model, and so on, unless the run says.
    epochs: how often each dialogue does. packed: several to a row of the whole context, none of which sees another.
    """

    name: str
    does: str
    data: Callable[[Start, int], Iterable[Dialogue]]
    train_on: str = "assistant"
    prepare: Callable[[Any], Any] | None = None
    objective: Objective = next_token
    template: str = ""
    asks: Asks = plainly
    tokens: int = 1_000_000
    epochs: int = 1
    lr: float = 3e-3
    batch: int = 16
    packed: bool = False
    safety: bool = False
    leads: bool = True

    def examples(
        self, dialogues: Iterable[Dialogue], tokenizer: Tokenizer, template: ChatTemplate | str, context: int
    ) -> Iterator[dict[str, Any]]:
        """{"ids", "targets", …}, what is trained predicted by the token before it; none longer than the context."""
        for dialogue in dialogues:
            more = dict(dialogue) if isinstance(dialogue, Mapping) else {"messages": dialogue}
            encoded = encode_dialogue(tokenizer, more.pop("messages"), template=template, train_on=self.train_on)
            example = dialogue_example(*encoded)
            if len(example["ids"]) <= context:
                yield {**example, **more}

    def tuning(self, start: Start) -> Tuning:
        """The run from where the recipe stands."""
        s = start.settings
        model, tokenizer, template = open_start(start.model, s["template"], self.template)
        context, batch = model.spec.context_length, s["batch"] or self.batch
        made = self.examples(self.data(start, s["seed"]), tokenizer, template, context)
        if s["steps"] is None:
            examples = list(_until(made, (s["tokens"] or self.tokens) // self.epochs))
        else:
            examples = list(itertools.islice(made, -(-s["steps"] * batch // self.epochs)))
        if not examples:
            raise ValueError(f"{self.name}: no dialogue fits into the model's context of {context} tokens")
        if self.packed:
            examples = packed_rows(examples, context)
        steps = s["steps"] or max(1, self.epochs * len(examples) // batch)
        if self.prepare is not None:
            self.prepare(model)
        look = Look(tokenizer, template, asks=self.asks, count=count_for(model), safety=self.safety)
        every = max(1, -(-steps // 4))
        training = TrainingSettings(
            steps=steps,
            learning_rate=(rate := s["lr"] or rate_for(model, self.lr)),
            final_learning_rate=rate / 20,
            warmup=min(steps, round(0.05 * steps)),
            weight_decay=0.1,
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
