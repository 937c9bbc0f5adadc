"""How good a model is, and how sure that is: likelihoods of texts and of answers, written answers, intervals."""

from ..scoring import (
    Difference,
    Estimate,
    ExactMatch,
    Perplexity,
    WinRate,
    bootstrap,
    exact_match,
    normalized,
    paired_bootstrap,
    perplexity,
    win_rate,
)
from .choices import MultipleChoice, multiple_choice
from .generating import Generated, generation_accuracy, last_number
from .overlap import Contamination, contamination
from .passing import PassRate, pass_at_k
from .reliability import Bin, Calibration, calibration
from .seeds import Seeds, over_seeds
from .splitting import Split, split
from .text import BitsPerByte, bits_per_byte

__all__ = [
    "Bin",
    "BitsPerByte",
    "Calibration",
    "Contamination",
    "Difference",
    "Estimate",
    "ExactMatch",
    "Generated",
    "MultipleChoice",
    "PassRate",
    "Perplexity",
    "Seeds",
    "Split",
    "WinRate",
    "bits_per_byte",
    "bootstrap",
    "calibration",
    "contamination",
    "exact_match",
    "generation_accuracy",
    "last_number",
    "multiple_choice",
    "normalized",
    "over_seeds",
    "paired_bootstrap",
    "pass_at_k",
    "perplexity",
    "split",
    "win_rate",
]
