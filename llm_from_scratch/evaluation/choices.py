"""Multiple choice by likelihood: which of the given continuations does the model find likeliest?

A sum of log-probabilities favours short choices, so it may be divided by the choice's length: in the tokens that were
scored, in characters or in bytes of the choice as it is given. Beside the score stand what is reached without the model
(by chance, by taking the shortest or the longest choice) and without the question (by how likely each choice is as a
text of its own). Sources: Brown et al. 2020, arXiv:2005.14165, section 2.4; Gao 2021, "Multiple choice normalization".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import Estimate, bootstrap
from ..tokenizers import Tokenizer
from .branches import Scored
from .fitting import fit, start_of_text
from .items import Choice, check_choices
from .kept import Kept

NORMALIZATIONS = ("none", "tokens", "characters", "bytes")


@dataclass(frozen=True)
class MultipleChoice(Estimate):
    """value: the share of items whose right choice scores highest; its interval and count.

    scores: for each item an array, one score a choice, larger is better; predictions (N,), answers (N,).
    log_likelihoods: the sums before division, and tokens: how many tokens each is a sum of, in the same form.
    chance, shortest, longest: the share right by guessing, and by always taking the choice with the fewest or the most
    bytes (or what `normalize` counts), where equals share. prior: the share right by each choice's score as a text of
    its own; None if not asked for. truncated: how many items lost the beginning of their context.
    """

    scores: list[np.ndarray]
    predictions: np.ndarray
    answers: np.ndarray
    log_likelihoods: list[np.ndarray]
    tokens: list[np.ndarray]
    chance: float
    shortest: float
    longest: float
    prior: Estimate | None
    truncated: int

    @property
    def correct(self) -> np.ndarray:
        """Which items are right, (N,) bool."""
        return self.predictions == self.answers

    @property
    def probabilities(self) -> list[np.ndarray]:
        """The softmax of each item's scores: what the model would say of each choice, had it to be one of them."""
        shares = [np.exp(scores - scores.max()) for scores in self.scores]
        return [share / share.sum() for share in shares]


def multiple_choice(
    model: Any,
    tokenizer: Tokenizer,
    items: Sequence[Mapping[str, Any]],
    *,
    normalize: str = "none",
    begin: list[int] | None = None,
    template: Any = None,
    truncate: bool = False,
    prior: bool = False,
    threads: int | None = None,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
    seed: int = 0,
) -> MultipleChoice:
    """Score every choice of every item {"context", "choices", "answer": place of the right one}.

    Context and choice are encoded as one text and every token that reaches past the border is scored; white space
    between them belongs to the choice, or to the context: both work. Of equal scores the first choice is taken.
    normalize: "none", "tokens", "characters" or "bytes": what each sum is divided by. begin: ids that stand before a
    text, by default what the tokenizer says. template: for contexts that are messages. truncate: cut contexts that are
    too long on the left. prior: also score the choices without their contexts. cache: a file in which scores are kept
    item by item, so that an interrupted call goes on. progress: called with the number of items done.

    Raises ValueError or TypeError, naming the item, before anything is computed: for an item without a right answer, an
    empty or a single choice, a context longer than the model's, and nothing before the first scored token.

    >>> from llm_from_scratch.checkpoints import build
    >>> tokenizer = Tokenizer.train("a", 260, special_tokens=["<s>"])
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=260, n_positions=32)
    >>> model.embedding.weight.data[:] = 0.0                        # every token is as likely as any other,
    >>> items = [{"context": "Is it?", "choices": [" certainly", " no"], "answer": 0}]
    >>> result = multiple_choice(model, tokenizer, items)           # so the shorter choice is likelier
    >>> float(result), result.predictions.tolist(), result.scores[0].round(1).tolist()
    (0.0, [1], [-55.6, -16.7])
    """
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {list(NORMALIZATIONS)}, got {normalize!r}")
    checked = check_choices(items)
    rows, cut = fit(
        model, tokenizer, [(item.context, item.choices) for item in checked],
        begin=begin, template=template, truncate=truncate,
    )  # fmt: skip
    alone = None
    if prior:
        start = start_of_text(model, tokenizer) if begin is None else begin
        if start:
            alone, _ = fit(model, tokenizer, [("", item.choices) for item in checked], begin=start)
    kept = Kept.of(cache, model)
    found = kept.complete(model, rows, threads=threads, progress=progress)
    scores = [_scores(item, branches, normalize) for item, branches in zip(checked, found)]
    answers = np.array([item.answer for item in checked])
    predictions = np.array([int(np.argmax(one)) for one in scores])
    unconditional = None
    if alone is not None:
        others = kept.complete(model, alone, threads=threads)
        chosen = [int(np.argmax(_scores(item, branches, normalize))) for item, branches in zip(checked, others)]
        unconditional = bootstrap(np.array(chosen) == answers, seed)
    lengths = [
        _lengths(item, branches, "bytes" if normalize == "none" else normalize)
        for item, branches in zip(checked, found)
    ]
    mean = bootstrap(predictions == answers, seed)
    return MultipleChoice(
        mean.value, mean.interval, mean.count, scores, predictions, answers,
        [_lengths(item, branches, "log") for item, branches in zip(checked, found)],
        [_lengths(item, branches, "tokens").astype(int) for item, branches in zip(checked, found)],
        float(np.mean([1 / len(item.choices) for item in checked])),
        float(np.mean([_picked(-length, item.answer) for item, length in zip(checked, lengths)])),
        float(np.mean([_picked(length, item.answer) for item, length in zip(checked, lengths)])),
        unconditional, sum(count > 0 for count in cut),
    )  # fmt: skip


def _scores(item: Choice, branches: Sequence[Scored], normalize: str) -> np.ndarray:
    return _lengths(item, branches, "log") / _lengths(item, branches, normalize)


def _lengths(item: Choice, branches: Sequence[Scored], unit: str) -> np.ndarray:
    """What a choice's sum is divided by, (choices,) float64; "log": the sum itself."""
    count: Callable[[str, Scored], float] = {
        "log": lambda text, branch: branch.log_probabilities.sum(),
        "none": lambda text, branch: 1,
        "tokens": lambda text, branch: len(branch.log_probabilities),
        "characters": lambda text, branch: len(text),
        "bytes": lambda text, branch: len(text.encode("utf-8")),
    }[unit]
    return np.array([count(text, branch) for text, branch in zip(item.choices, branches)], np.float64)


def _picked(preference: np.ndarray, answer: int) -> float:
    """How often the answer is taken by whoever takes the most preferred, choosing among equals by chance."""
    best = preference == preference.max()
    return float(best[answer] / best.sum())
