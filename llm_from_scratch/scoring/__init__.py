"""What a model thinks of texts: likelihoods over a data set, a model as a judge, and how sure a score is."""

from .answers import Sampled, answer, sample
from .likelihoods import log_likelihoods

__all__ = [
    "Sampled",
    "answer",
    "log_likelihoods",
    "sample",
]
