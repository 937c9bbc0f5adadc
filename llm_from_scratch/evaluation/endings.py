"""Last words: does the model, left to itself, write exactly how a text ends?

An ending is right if every token of it is the model's first choice after what came before (greedy decoding would write
it); beside that stands how surprised the model is by an ending. Source: Paperno et al. 2016, arXiv:1606.06031.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import Estimate, bootstrap
from ..tokenizers import Tokenizer
from .fitting import fit
from .items import check_choices
from .kept import Kept


@dataclass(frozen=True)
class Endings(Estimate):
    """value: the share of endings that the model writes itself; matches (N,) which; log_likelihoods (N,)."""

    matches: np.ndarray
    log_likelihoods: np.ndarray
    truncated: int

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise an ending."""
        nats = -float(self.log_likelihoods.mean())
        return math.exp(nats) if nats < 700 else math.inf


def ending_accuracy(
    model: Any,
    tokenizer: Tokenizer,
    items: Sequence[Mapping[str, Any]],
    *,
    begin: list[int] | None = None,
    template: Any = None,
    truncate: bool = False,
    threads: int | None = None,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
    seed: int = 0,
) -> Endings:
    """items: {"context", "ending": what the text ends with, its space included}. Otherwise as `multiple_choice`.

    >>> from llm_from_scratch.checkpoints import build
    >>> tokenizer = Tokenizer.train("a", 260, special_tokens=["<s>"])
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=260, n_positions=32)
    >>> model.embedding.weight.data[:] = 0.0
    >>> result = ending_accuracy(model, tokenizer, [{"context": "The fox sa", "ending": "w"}])
    >>> float(result), round(result.perplexity)
    (0.0, 260)
    """
    known = [isinstance(item, Mapping) and item.get("ending") is not None for item in items]
    if not all(known):
        raise ValueError(f"item {known.index(False)} has no right answer: 'ending' must be what its text ends with")
    checked = check_choices([{**item, "choices": [item["ending"]], "answer": 0} for item in items], least=1)
    pairs = [(item.context, item.choices) for item in checked]
    rows, cut = fit(model, tokenizer, pairs, begin=begin, template=template, truncate=truncate)
    found = Kept.of(cache, model).complete(model, rows, threads=threads, progress=progress)
    matches = np.array([branches[0].greedy for branches in found])
    mean = bootstrap(matches, seed)
    sums = np.array([branches[0].log_probabilities.sum() for branches in found])
    return Endings(mean.value, mean.interval, mean.count, matches, sums, sum(count > 0 for count in cut))
