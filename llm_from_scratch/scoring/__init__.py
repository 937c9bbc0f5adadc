"""What a model thinks of texts: likelihoods over a data set, a model as a judge, and how sure a score is."""

from .answers import Sampled, answer, sample
from .intervals import Difference, Estimate, bootstrap, paired_bootstrap
from .judge import ModelJudge, Verdict, judge_by_text, position_bias, verdicts
from .likelihoods import log_likelihoods
from .matching import ExactMatch, exact_match, normalized
from .windows import Perplexity, perplexity
from .winning import WinRate, win_rate

__all__ = [
    "Difference",
    "Estimate",
    "ExactMatch",
    "ModelJudge",
    "Perplexity",
    "Sampled",
    "Verdict",
    "WinRate",
    "answer",
    "bootstrap",
    "exact_match",
    "judge_by_text",
    "log_likelihoods",
    "normalized",
    "paired_bootstrap",
    "perplexity",
    "position_bias",
    "sample",
    "verdicts",
    "win_rate",
]
