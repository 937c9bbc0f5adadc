"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .distillation import cosine_loss, distil, distillation_loss

__all__ = [
    "cosine_loss",
    "distil",
    "distillation_loss",
]
