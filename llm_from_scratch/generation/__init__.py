"""Generation: choosing tokens, stopping, and showing text as it arrives, over anything that can `step`.

A "thing that steps" has `new_memory(batch_size)` and `step(ids, memory, mask=None) -> logits (B, V)`; what it is inside
is not asked here.
"""

from .continuation import continue_rows, generate, generate_text
from .infilling import fill_blanks, generate_blank
from .prompts import continue_prompts
from .repetition import forbid_repeated_ngrams, penalise_repetition
from .row_batch import RowBatch
from .rows import Row, left_padded
from .sampling import Sampling, greedy, sample, scale_by_temperature
from .speculative import Speculation
from .stepping import Stepper
from .stopping import StopStrings, end_tokens
from .streaming import TextStream, print_stream
from .truncation import limit_to_min_p, limit_to_top_k, limit_to_top_p, limit_to_typical

__all__ = [
    "Row",
    "RowBatch",
    "Sampling",
    "Speculation",
    "Stepper",
    "StopStrings",
    "TextStream",
    "continue_prompts",
    "continue_rows",
    "end_tokens",
    "fill_blanks",
    "forbid_repeated_ngrams",
    "generate",
    "generate_blank",
    "generate_text",
    "greedy",
    "left_padded",
    "limit_to_min_p",
    "limit_to_top_k",
    "limit_to_top_p",
    "limit_to_typical",
    "penalise_repetition",
    "print_stream",
    "sample",
    "scale_by_temperature",
]
