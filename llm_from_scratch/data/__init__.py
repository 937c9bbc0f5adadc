"""Data: corpora, token files, packing and batches.

Text comes in, batches of ids go out; nothing here knows a model. The names below are loaded when first used, so that
`data.tales` can be had without NumPy.
"""

from __future__ import annotations

import importlib
from typing import Any

# Where each public name lives.
_HOMES = {
    "documents": "sources",
    "load_text": "sources",
    "split_documents": "split",
    "write_split": "split",
    "TokenFile": "token_file",
    "open_tokens": "token_file",
    "write_tokens": "token_file",
    "BatchSampler": "sampler",
    "evaluation_batches": "sampler",
    "ExampleSampler": "examples",
    "collate": "examples",
    "example_batches": "examples",
    "dialogue_example": "dialogue_batches",
    "dialogue_examples": "dialogue_batches",
    "encode_dialogue": "encoding",
    "read_dialogues": "dialogues",
    "read_preferences": "preference_files",
    "read_rankings": "ranking_files",
    "read_ratings": "ranking_files",
    "write_dialogues": "dialogues",
    "write_preferences": "preference_files",
    "template_names": "encoding",
    "pack_dialogues": "dialogue_batches",
    "packed_rows": "dialogue_batches",
    "BlankTokens": "infilling",
    "infilling_batch": "infilling",
    "mask_rest": "infilling",
    "mask_spans": "infilling",
    "short_spans": "infilling",
    "examples_from_documents": "packing",
    "pack_examples": "packing",
    "pad_documents": "packing",
    "DELIMITER": "tales",
    "consistency": "tales",
    "consistency_score": "tales",
    "tale": "tales",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    # `tales` is a package of its own: data.tales.tales is the iterator.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
