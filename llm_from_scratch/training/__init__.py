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
from .depth import plot_statistics
from .lion import Lion
from .log import read_log
from .loop import train
from .objectives import Objective, next_token, objective
from .observers import Observer
from .optimizer import Optimizer
from .range_test import RangeTest, find_learning_rate, plot_range_test
from .run import Outcome
from .schedules import constant_schedule, cosine_schedule, exponential_schedule, linear_schedule
from .sgd import SGD
from .signals import statistics
from .statistics_file import read_statistics
from .storage import store
from .validation import evaluate, token_byte_lengths

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Objective",
    "Observer",
    "Optimizer",
    "Outcome",
    "RangeTest",
    "TrainingSettings",
    "accumulate_gradients",
    "clip_grad_norm",
    "clip_scale",
    "constant_schedule",
    "cosine_schedule",
    "decay_groups",
    "evaluate",
    "exponential_schedule",
    "find_learning_rate",
    "grad_norm",
    "linear_schedule",
    "load_checkpoint",
    "next_token",
    "objective",
    "plot_curve",
    "plot_range_test",
    "plot_statistics",
    "read_log",
    "read_statistics",
    "save_checkpoint",
    "statistics",
    "store",
    "token_byte_lengths",
    "train",
]
