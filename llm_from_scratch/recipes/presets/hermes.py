"""Nous-Hermes: many collections of single instructions in one, with long answers, in Alpaca's format."""

from __future__ import annotations

from collections.abc import Iterator

from ...data.assistant import QUESTION_KINDS
from ..stages import Start
from .corpora import EXPLAINS, asked, prompt_of, told
from .preset import Message, Preset
from .supervised import Supervised

# A collection each, and how often it is drawn from: general instructions, physics and mathematics, rewriting, stories.
COLLECTIONS = (
    (QUESTION_KINDS, 4),
    (("arithmetic", "problem"), 2),
    (("rewriting",), 1),
    (("continuing", "harmless"), 1),
)


def collected(start: Start, seed: int) -> Iterator[list[Message]]:
    """The longest right answers, one collection after the other by their weights."""
    sources = [(asked(seed + k, kinds=kinds), weight) for k, (kinds, weight) in enumerate(COLLECTIONS)]
    while True:
        for source, weight in sources:
            for _ in range(weight):
                task = next(source)
                yield told(prompt_of(task), task.variants[EXPLAINS])


PRESET = Preset(
    name="hermes",
    releases=("Nous-Hermes",),
    particular="several collections by weight, all brought to Alpaca's format, with the longest answers there are",
    here="kinds of tasks stand for the collections (GPTeacher, CodeAlpaca, Camel …)",
    template="alpaca",
    stages=(Supervised("sft", "Several collections by weight, loss on the response.", collected),),
)
