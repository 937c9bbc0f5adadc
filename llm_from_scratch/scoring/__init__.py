"""What a model thinks of texts: likelihoods over a data set, a model as a judge, and how sure a score is."""

from .answers import answer

__all__ = [
    "answer",
]
