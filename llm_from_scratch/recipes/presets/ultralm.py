"""UltraLLaMA and UltraLM: long dialogues of two models, in pieces that fit; every answer of a piece is learned."""

from __future__ import annotations

from collections.abc import Iterator

from ...tokenizers.templates import Format
from ..stages import Start
from .corpora import talks
from .preset import Message, Preset
from .supervised import Supervised

TEMPLATE = Format(
    "UltraLM-13b, model card", system="User: {}{eos}\n", user="User: {}{eos}\n", prompt="Assistant:", answer=" {}{eos}",
    after="\n",
).jinja()  # fmt: skip
TURNS, PIECE = 6, 3  # UltraChat's dialogues have three to seven rounds


def pieces(start: Start, seed: int) -> Iterator[list[Message]]:
    """Dialogues cut after every third answer; a later piece begins with the tale, which its questions are about."""
    for talk in talks(seed, turns=TURNS):
        tale = talk[0]["content"].rpartition("\n\n")[0]
        for at in range(0, len(talk), 2 * PIECE):
            first, *rest = talk[at : at + 2 * PIECE]
            if at and tale:
                first = {**first, "content": f"{tale}\n\n{first['content']}"}
            yield [first, *rest]


PRESET = Preset(
    name="ultralm",
    releases=("UltraLLaMA", "UltraLM"),
    particular="dialogues longer than the context are cut between rounds, and every answer of a piece is learned",
    here="the author of the tales plays both models; a piece is three of six rounds",
    template=TEMPLATE,
    stages=(Supervised("sft", "Dialogues of many rounds in pieces, loss on every answer.", pieces),),
)
