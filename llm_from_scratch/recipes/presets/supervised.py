"""The stage that every recipe of the year has: dialogues, of which some tokens are learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...data.dialogue_batches import dialogue_example, packed_rows
from ...data.encoding import encode_dialogue
from ...tokenizers import Tokenizer
from ...tokenizers.chat_template import ChatTemplate
from ...training import next_token
from ...training.objectives import Objective
from ..stages import Start
from ..tuning import Tuning
from .opening import Opened
from .preset import Asks, Message, plainly

Dialogue = list[Message] | Mapping[str, Any]  # messages, or {"messages": …, more numbers for the example}


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Learn from dialogues.

    data: dialogues from a seed, without end or not. train_on: as for `encode_dialogue`. prepare: what is done to the
    model first (freezing, adapters); keep: what is saved then, in place of the whole model. objective: in place of the
    mean over all tokens that are trained on. template, asks: the preset's, unless said. tokens, lr, batch: how many
    pass through the model, and so on, unless the run says. epochs: how often each dialogue does. packed: several to a
    row of the whole context, none of which sees another.
    """

    name: str
    does: str
    data: Callable[[Start, int], Iterable[Dialogue]]
    train_on: str = "assistant"
    prepare: Callable[[Any], Any] | None = None
    keep: Callable[[Any, Any], Any] | None = None
    objective: Objective = next_token
    template: str = ""
    asks: Asks = plainly
    tokens: int = 1_000_000
    epochs: int = 1
    lr: float = 3e-3
    batch: int = 8
    packed: bool = False
    safety: bool = False
    leads: bool = True

    def examples(
        self, dialogues: Iterable[Dialogue], tokenizer: Tokenizer, template: ChatTemplate | str
    ) -> Iterator[dict[str, Any]]:
        """{"ids", "targets", …}: what is trained is predicted by the token before it."""
        for dialogue in dialogues:
            more = dict(dialogue) if isinstance(dialogue, Mapping) else {"messages": dialogue}
            encoded = encode_dialogue(tokenizer, more.pop("messages"), template=template, train_on=self.train_on)
            yield {**dialogue_example(*encoded), **more}

    def tuning(self, start: Start) -> Tuning:
        """The run from where the recipe stands."""
        opened = Opened(start, self.template, asks=self.asks, safety=self.safety)
        batch = start.settings["batch"] or self.batch
        made = self.examples(self.data(start, start.settings["seed"]), opened.tokenizer, opened.template)
        examples, steps = opened.gather(made, batch, self.tokens, epochs=self.epochs)
        if self.packed:
            examples = packed_rows(examples, opened.context)
            steps = start.settings["steps"] or max(1, self.epochs * len(examples) // batch)
        more: dict[str, Any] = {}
        if self.prepare is not None:
            self.prepare(opened.model)
        if self.keep is not None:
            keep, model = self.keep, opened.model
            more["save"] = lambda directory: keep(model, directory)
        return opened.tuning(examples, steps, objective=self.objective, lr=self.lr, batch=batch, **more)
