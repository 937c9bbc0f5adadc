"""Training: objectives, optimisers, schedules, clipping, gradients over shards of a batch, checkpoints, the loop.

It knows that a model has named parameters, and nothing else about models.
"""

from .accumulate import accumulate_gradients
from .adam import Adam
from .adamw import AdamW, decay_groups
from .checkpoint import load_checkpoint, save_checkpoint
from .clip import clip_grad_norm, clip_scale, grad_norm
from .config import TrainingSettings
from .curve import plot_curve
from .lion import Lion
from .log import read_log
from .loop import train
from .objectives import Objective, next_token, objective
from .optimizer import Optimizer
from .run import Outcome
from .schedules import constant_schedule, cosine_schedule, linear_schedule
from .sgd import SGD
from .validation import evaluate, token_byte_lengths

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Objective",
    "Optimizer",
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
    "next_token",
    "objective",
    "plot_curve",
    "read_log",
    "save_checkpoint",
    "token_byte_lengths",
    "train",
]
