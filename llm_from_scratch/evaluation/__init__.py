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
from .endings import Endings, ending_accuracy
from .generating import Generated, generation_accuracy, last_number
from .judged import judged_task
from .outcome import Comparison, Outcome, compare, read_outcomes, write_outcomes
from .overlap import Contamination, contamination
from .own_tasks import OWN_TASKS, own_task
from .passing import PassRate, pass_at_k
from .public_tasks import read_task
from .reliability import Bin, Calibration, calibration
from .running import run_task, run_text
from .seeds import Seeds, over_seeds
from .splitting import Split, split
from .task import Task, with_shots
from .text import BitsPerByte, bits_per_byte

__all__ = [
    "OWN_TASKS",
    "Bin",
    "BitsPerByte",
    "Calibration",
    "Comparison",
    "Contamination",
    "Difference",
    "Endings",
    "Estimate",
    "ExactMatch",
    "Generated",
    "MultipleChoice",
    "Outcome",
    "PassRate",
    "Perplexity",
    "Seeds",
    "Split",
    "Task",
    "WinRate",
    "bits_per_byte",
    "bootstrap",
    "calibration",
    "compare",
    "contamination",
    "ending_accuracy",
    "exact_match",
    "generation_accuracy",
    "judged_task",
    "last_number",
    "multiple_choice",
    "normalized",
    "over_seeds",
    "own_task",
    "paired_bootstrap",
    "pass_at_k",
    "perplexity",
    "read_outcomes",
    "read_task",
    "run_task",
    "run_text",
    "split",
    "win_rate",
    "with_shots",
    "write_outcomes",
]
