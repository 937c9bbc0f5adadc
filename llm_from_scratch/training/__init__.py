"""Training: AdamW, schedules, clipping, gradient accumulation over shards of the batch, checkpoints, logs and the loop.

It knows that a model has named parameters and a loss, and nothing about families.
"""

from .accumulate import accumulate_gradients
from .adamw import AdamW, decay_groups
from .checkpoint import load_checkpoint, save_checkpoint
from .clip import clip_grad_norm, clip_scale, grad_norm
from .config import TrainingSettings
from .curve import plot_curve
from .evaluate import evaluate, token_byte_lengths
from .log import read_log
from .loop import Outcome, train
from .schedules import constant_schedule, cosine_schedule, linear_schedule

__all__ = [
    "AdamW",
    "Outcome",
    "TrainingSettings",
    "accumulate_gradients",
    "clip_grad_norm",
    "clip_scale",
    "constant_schedule",
    "cosine_schedule",
    "decay_groups",
    "evaluate",
    "grad_norm",
    "linear_schedule",
    "load_checkpoint",
    "plot_curve",
    "read_log",
    "save_checkpoint",
    "token_byte_lengths",
    "train",
]
