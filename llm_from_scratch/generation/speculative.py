"""Speculative decoding: a small model proposes some tokens, the large one reads them at once and keeps what it likes.

A proposal d that the draft drew with probability q(d) is kept with probability min(1, p(d) / q(d)), p being the large
model's. At the first that is not kept, a token is drawn from max(0, p - q) instead, and the rest is forgotten; where
all are kept, one more comes from p. So every token has exactly the distribution p that it has without a draft. Greedy
decoding is the case in which p and q each have one token: the same comes out as without a draft, up to ties within
rounding, since several tokens read at once are added up in another order than one by one.

Source: Leviathan, Kalman & Matias 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .rows import Row
from .sampling import NoTokenLeft, Sampling, draw, greedy
from .stepping import vocabulary_size
from .truncation import softmax


@dataclasses.dataclass
class Speculation:
    """How speculating went, in counts that add up over rows and calls.

    passes: of the large model, those over prompts left out. proposed: tokens that the draft proposed; tested: those of
    them that were looked at, up to the first that was not kept; accepted: those that were kept.

    >>> went = Speculation(passes=10, proposed=40, tested=30, accepted=24)
    >>> went.acceptance, went.tokens_per_pass
    (0.8, 3.4)
    """

    passes: int = 0
    proposed: int = 0
    tested: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float:
        """The share of the proposals looked at that were kept; NaN if there was none."""
        return self.accepted / self.tested if self.tested else float("nan")

    @property
    def tokens_per_pass(self) -> float:
        """Tokens that a pass of the large model brought: what was kept, and one of its own; NaN if there was none."""
        return (self.accepted + self.passes) / self.passes if self.passes else float("nan")


def add_speculated_tokens(
    model: Any, draft: Any, rows: Sequence[Row], sampling: Sampling, guesses: int, went: Speculation
) -> None:
    """Continue every row until it has ended, one row after the other: each goes forward by as much as it is lucky.

    draft: steps as `model` does, which also can `step_each`. guesses: how many tokens the draft proposes at once.
    sampling holds for both: a proposal that could not be chosen would be lost. went: is counted up. See `check_draft`
    for what is refused beforehand.
    """
    for row in rows:
        large, small = _Reader(model), _Reader(draft)
        row.add(sampling.choose(large.read(row.seen), row.seen, row.rng))  # the prompt is read by itself in any case
        while not row.ended:
            left = row.max_new_tokens - len(row.new)
            guessed, guessed_from = _guess(small, row, sampling, min(guesses, left - 1))  # a pass brings one more
            scores = large.read_each(row.seen, guessed)
            went.passes += 1
            went.proposed += len(guessed)
            _add_accepted(row, guessed, guessed_from, scores, sampling, went)
            for reader in (large, small):
                reader.back_to(len(row.seen) - 1)  # the last token is new to both


def _guess(reader: _Reader, row: Row, sampling: Sampling, count: int) -> tuple[list[int], list[np.ndarray]]:
    """Tokens that the draft draws one after the other, and the distribution that each was drawn from.

    Fewer than `count` where a text would end, or where the draft has no token left: the model may never come there.
    """
    guesses: list[int] = []
    guessed_from: list[np.ndarray] = []
    while len(guesses) < count and not (guesses and guesses[-1] in row.stop_tokens):
        text = row.seen + guesses
        logits = reader.read(text, certain=len(row.seen))
        try:
            guessed_from.append(distribution(logits, text, sampling))
        except NoTokenLeft:
            break
        except ValueError as error:
            raise ValueError(f"the draft cannot guess: {error}") from error
        guesses.append(draw(guessed_from[-1], row.rng))
    return guesses, guessed_from


def _add_accepted(
    row: Row,
    guesses: list[int],
    guessed_from: list[np.ndarray],
    scores: np.ndarray,
    sampling: Sampling,
    went: Speculation,
) -> None:
    """Add guesses up to the first that is not kept, and one token more; or up to one that ends the row."""
    for guess, q, logits in zip(guesses, guessed_from, scores):
        p = distribution(logits, row.seen, sampling)
        if p.shape != q.shape:  # of models that do not say beforehand
            raise _other_tokens(q.size, p.size)
        kept = accepts(p, q, guess, row.rng)
        went.tested += 1
        went.accepted += kept
        row.add(guess if kept else draw(residual(p, q), row.rng))
        if row.ended or not kept:
            return
    row.add(draw(distribution(scores[-1], row.seen, sampling), row.rng))


def check_draft(model: Any, draft: Any, prompts: Sequence[int], max_new_tokens: int) -> None:
    """TypeError or ValueError if the draft cannot guess for this model after prompts of so many tokens."""
    for whose, stepper, needs in (("draft_model", draft, "step"), ("the model", model, "step_each")):
        missing = [name for name in ("new_memory", needs) if not callable(getattr(stepper, name, None))]
        if missing:
            raise TypeError(
                f"{whose} ({type(stepper).__name__}) has no `{missing[0]}`: a draft is a model that can step, and the "
                "model that it guesses for can `step_each`, which gives the logits after each of several tokens"
            )
    theirs, ours = vocabulary_size(draft), vocabulary_size(model)
    if theirs is not None and ours is not None and theirs != ours:
        raise _other_tokens(theirs, ours)
    for name, weight in getattr(model, "named_weights", tuple)():
        if not getattr(weight, "rows_independent", True):
            raise ValueError(
                f"{name} is {weight.kind} with outliers, which all tokens read together share: with a draft other "
                "texts could come out than without. Generate without one, quantise with threshold=0, or say "
                "batch_invariant()"
            )
    longest = max(prompts) + max_new_tokens - 1  # the last token is chosen, never read
    limit = getattr(draft, "position_limit", None)
    if limit is not None and max_new_tokens and longest > limit:
        raise ValueError(
            f"a prompt of {max(prompts)} tokens and {max_new_tokens} new ones need {longest} positions, the draft has "
            f"{limit}: ask for fewer tokens, or take another draft"
        )
    outlived = getattr(model.new_memory(1), "outlived", None)
    for prompt in prompts:
        if outlived is not None and max_new_tokens and outlived(prompt, prompt + max_new_tokens - 1):
            raise ValueError(
                f"between {prompt} and {prompt + max_new_tokens - 1} tokens this model's rotary base rises (dynamic "
                "NTK): tokens read together would not be what they are one by one. Generate without a draft"
            )


def _other_tokens(draft: int, model: int) -> ValueError:
    return ValueError(
        f"the draft chooses among {draft:,} tokens and the model among {model:,}: a draft guesses in the model's own "
        "tokens, take one with the same tokenizer"
    )


def distribution(logits: np.ndarray, seen: Sequence[int], sampling: Sampling) -> np.ndarray:
    """What the next token is drawn from: logits (V,) -> probabilities (V,), all of it on one token when greedy.

    >>> distribution(np.array([0.0, 3.0, 1.0]), [], Sampling(temperature=0.0))
    array([0., 1., 0.])
    """
    logits = sampling.adjust(logits, seen)
    if sampling.temperature == 0:
        return np.eye(1, logits.size, greedy(logits))[0]
    return softmax(logits)


def accepts(p: np.ndarray, q: np.ndarray, guess: int, rng: np.random.Generator) -> bool:
    """Whether a guess that was drawn from q (V,) may stand for one from p (V,): with probability min(1, p / q).

    >>> accepts(np.array([0.5, 0.5]), np.array([0.1, 0.9]), 0, np.random.default_rng(0))
    True
    """
    return bool(rng.random() * q[guess] < p[guess])


def residual(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """What p (V,) has beyond q (V,), from which a token is drawn where a guess from q was not kept; not normed.

    >>> residual(np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.8, 0.1])).round(2)
    array([0.4, 0. , 0.1])
    """
    beyond = np.maximum(p - q, 0)
    return beyond if beyond.any() else p  # equal up to rounding, and a guess was refused for that


class _Reader:
    """A model that reads one text, and can go back in it: by cropping its memory, by a copy, or by reading again."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._begin()

    def _begin(self) -> None:
        self.memory, self.length = self.model.new_memory(1), 0  # length: of the text that the memory holds
        self.kept: tuple[Any, int] | None = None

    def read(self, text: list[int], certain: int | None = None) -> np.ndarray:
        """The logits (V,) after a text, which goes on from what was read; certain: what of it will never change."""
        if certain is not None and self.length == certain:
            self._keep()
        logits = self.model.step(np.array([text[self.length :]]), self.memory)[0]
        self.length = len(text)
        return logits

    def read_each(self, text: list[int], guesses: list[int]) -> np.ndarray:
        """The logits after a text and after each of the guesses behind it, (1 + guesses, V)."""
        if not guesses:
            return self.read(text)[None]
        first = None
        if self._shortest() >= self.length:  # a state that cannot go back at all: the guesses come after a copy of it
            first = self.read(text)[None]
            self._keep()
        new = (text + guesses)[self.length :]
        rows = self.model.step_each(np.array([new]), self.memory)[0]
        self.length = len(text) + len(guesses)
        return rows[-len(guesses) - 1 :] if first is None else np.concatenate([first, rows])

    def back_to(self, length: int) -> None:
        """Forget all but the first `length` tokens of the text, or more: what is then missing is read again."""
        if length >= self.length:
            return
        if self._shortest() <= length:
            self.memory.crop(self.memory.length - (self.length - length))  # a learned prefix counts there, not here
            self.length = length
        elif self.kept is not None:
            self.memory, self.length = self.kept
        else:
            self._begin()
        self.kept = None

    def _keep(self) -> None:
        if self._shortest() > 0:
            self.kept = copy.deepcopy(self.memory), self.length

    def _shortest(self) -> int:
        """The fewest tokens of the text, besides none, that the memory can go back to; all, if it cannot crop."""
        if not hasattr(self.memory, "crop"):
            return self.length
        shortest = getattr(self.memory, "shortest", 0)
        return shortest - (self.memory.length - self.length) if shortest else 0
