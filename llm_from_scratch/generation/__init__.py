"""Generation: choosing tokens, stopping, and showing text as it arrives, over anything that can `step`.

A "thing that steps" has `new_memory(batch_size)` and `step(ids, memory, mask=None) -> logits (B, V)`; what it is inside
is not asked here.
"""

from .continuation import Stepper, generate, generate_text
from .infilling import fill_blanks, generate_blank
from .prompts import continue_prompts, left_padded
from .sampling import (
    Sampling,
    greedy,
    limit_to_top_k,
    limit_to_top_p,
    penalise_repetition,
    sample,
    scale_by_temperature,
)
from .stopping import StopStrings, end_tokens
from .streaming import TextStream, print_stream

__all__ = [
    "Sampling",
    "Stepper",
    "StopStrings",
    "TextStream",
    "continue_prompts",
    "end_tokens",
    "fill_blanks",
    "generate",
    "generate_blank",
    "generate_text",
    "greedy",
    "left_padded",
    "limit_to_top_k",
    "limit_to_top_p",
    "penalise_repetition",
    "print_stream",
    "sample",
    "scale_by_temperature",
]
