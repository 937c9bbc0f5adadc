"""llm_from_scratch: how the open large language models of 2023 are built, in plain NumPy.

The names below are loaded when first used, so that importing the package costs next to nothing and compiles nothing.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # `typing` itself may be a file of the user's: see __main__.py
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "Tensor": "autograd",
    "no_grad": "autograd",
    "batch_invariant": "kernels.row_products",
    "gradcheck": "autograd",
    "check_primitive": "autograd",
    "primitive": "autograd",
    "cross_entropy": "functional",
    "check_mixer": "layers",
    "build": "checkpoints",
    "spec": "checkpoints",
    "from_pretrained": "checkpoints",
    "save_gguf": "checkpoints",
    "Decoder": "checkpoints",
    "ModelSpec": "models",
    "Tokenizer": "tokenizers",
    "ChatTemplate": "tokenizers.chat_template",
    "SGD": "training",
    "Adam": "training",
    "AdamW": "training",
    "Lion": "training",
    "clip_grad_norm": "training",
    "cosine_schedule": "training",
    "accumulate_gradients": "training",
    "load_adapter": "adapters",
    "merge_adapter": "adapters",
    "save_adapter": "adapters",
    "unmerge_adapter": "adapters",
    "next_token": "training",
    "objective": "training",
    "train": "training",
    "TrainingSettings": "training",
}
_ROOMS = (
    "adapters",
    "alignment",
    "autograd",
    "checkpoints",
    "compression",
    "data",
    "evaluation",
    "families",
    "files",
    "functional",
    "generation",
    "grading",
    "interpretability",
    "kernels",
    "layers",
    "merging",
    "models",
    "parallel",
    "quantization",
    "recipes",
    "scaling",
    "scoring",
    "tokenizers",
    "training",
    "zoo",
)

__all__ = ["F", *_HOMES, *_ROOMS]  # F is functional, as everybody abbreviates it


def __getattr__(name: str) -> Any:
    if name in _ROOMS or name == "F":
        return importlib.import_module(".functional" if name == "F" else f".{name}", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
