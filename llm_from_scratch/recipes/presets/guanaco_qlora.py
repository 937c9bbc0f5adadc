"""Guanaco of May: the base is frozen in four bits, small adapters on every linear layer learn; whole conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...adapters import add_lora, merge_adapter
from ...quantization import to_nf4
from ...tokenizers.templates import Format
from .corpora import conversations
from .preset import Preset
from .supervised import Supervised

TEMPLATE = Format(
    "OpenAssistant's Guanaco, conversations in one text",
    system="{}\n", user="### Human: {}\n", prompt="### Assistant:", answer=" {}{eos}", after="\n",
).jinja()  # fmt: skip
REPLIES = conversations(2, styles={"full": 1})  # OASST1 in small: of a tree of replies the best at every level
RANK, ALPHA, DROPOUT = 16, 16, 0.05  # 64, 16 and 0.05 to 0.1 there


def quantized(model: Any) -> None:
    """NF4 with double quantisation, and LoRA on all linear layers of it."""
    to_nf4(model, double=True)
    add_lora(model, rank=RANK, alpha=ALPHA, targets="all-linear", dropout=DROPOUT)


def kept(model: Any, directory: Path) -> None:
    """One model of plain numbers: the rounded base with what the adapters learned written into it."""
    merge_adapter(model, dequantize=True, keep=False)
    model.save_pretrained(directory)


PRESET = Preset(
    name="guanaco-qlora",
    releases=("Guanaco (QLoRA)",),
    particular="the base is frozen in NF4, LoRA on all its linear layers learns; the loss is on whole conversations",
    here="rank 16 for 64; the longest answers stand for the best ranked replies",
    template=TEMPLATE,
    stages=(
        Supervised("qlora", "Conversations, loss on all of them, into adapters alone.", REPLIES, train_on="all",
                   prepare=quantized, keep=kept, lr=5e-3),
    ),
)  # fmt: skip
