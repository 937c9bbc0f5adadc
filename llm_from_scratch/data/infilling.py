"""Blank infilling, GLM's training objective: parts of a text are taken out, and the model writes them back.

An example reads [context with blanks, start, a span, start, the next span, …]. The context is seen in both directions,
the spans are written from left to right, each after its own start token; only their tokens and an end token are
targets. Two kinds of blank, never mixed in one example: [MASK] stands for short spans inside the text, [gMASK] for all
the rest of it. Batches go to `model.loss` as they are. This module knows ids, not texts; `generation.fill_blanks` is
the other end.

Sources: Du et al. 2021, arXiv:2103.10360, section 2; Zeng et al. 2022, arXiv:2210.02414, section 2.2; positions as in
the released code of GLM-130B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from .packing import IGNORE, Batch

SHORT_SHARE = 0.3  # of the training text; the rest is [gMASK]
MASKED_SHARE = 0.15  # of the tokens of a text, in short spans
MEAN_LENGTH = 3.0  # of a short span, Poisson

Span = tuple[int, int]


@dataclass(frozen=True)
class BlankTokens:
    """The ids of the special tokens: [MASK], [gMASK], start of a span ([sop]), its end ([eop]), and padding.

    The first four differ from each other and do not occur in texts.
    """

    mask: int
    gmask: int
    start: int
    end: int
    pad: int = 0

    def __post_init__(self) -> None:
        for value in astuple(self):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"special tokens are ids, integers of 0 or more; got {value!r} in {self}")
        if len({self.mask, self.gmask, self.start, self.end}) < 4:
            raise ValueError(f"mask, gmask, start and end must be four different ids, got {self}")


@dataclass(frozen=True)
class Example:
    """One row before padding: ids, targets and positions (T,), and how many first tokens are the context."""

    ids: np.ndarray
    targets: np.ndarray
    positions: np.ndarray
    prefix_length: int


def mask_spans(ids: Sequence[int] | np.ndarray, spans: Sequence[Span], tokens: BlankTokens) -> Example:
    """An example with [MASK] blanks: ids (n,), spans [(start, stop), …] in the order in which they are to be written.

    Every position of a span, its start token included, is the index of its [MASK] in the context: the model is not told
    how long a blank is. A later span sees the earlier ones. T = n + 2 · (number of spans).

    Raises ValueError for spans that are empty, overlap or touch, or leave the text.

    >>> example = mask_spans([10, 11, 12, 13, 14], [(3, 4), (0, 2)], BlankTokens(mask=1, gmask=2, start=3, end=4))
    >>> example.ids.tolist(), example.prefix_length          # context, then 13, then 10 and 11
    ([1, 12, 1, 14, 3, 13, 3, 10, 11], 4)
    >>> example.targets.tolist()
    [-100, -100, -100, -100, 13, 4, 10, 11, 4]
    >>> example.positions.tolist()
    [0, 1, 2, 3, 2, 2, 0, 0, 0]
    """
    text = _text(ids, tokens)
    inside = sorted((int(a), int(b)) for a, b in spans)
    if not inside or any(not 0 <= a < b <= len(text) for a, b in inside):
        raise ValueError(f"spans are pairs 0 <= start < stop <= {len(text)}, at least one; got {list(spans)}")
    if any(later[0] <= earlier[1] for earlier, later in zip(inside, inside[1:])):
        raise ValueError(f"at least one token must stand between two blanks, got the spans {inside}")
    context: list[int] = []
    place = {}
    last = 0
    for a, b in inside:
        context += text[last:a].tolist()
        place[a] = len(context)
        context.append(tokens.mask)
        last = b
    context += text[last:].tolist()
    parts = [(text[int(a) : int(b)], np.full(int(b) - int(a) + 1, place[int(a)])) for a, b in spans]
    return _example(np.array(context, np.int64), parts, tokens)


def mask_rest(ids: Sequence[int] | np.ndarray, cut: int, tokens: BlankTokens) -> Example:
    """An example with a [gMASK]: the first `cut` tokens of ids (n,) are context, the rest is to be written.

    Positions simply count, so that a text can be continued for as long as one likes. T = n + 2.

    >>> example = mask_rest([10, 11, 12, 13], 2, BlankTokens(mask=1, gmask=2, start=3, end=4))
    >>> example.ids.tolist(), example.targets.tolist(), example.prefix_length
    ([10, 11, 2, 3, 12, 13], [-100, -100, -100, 12, 13, 4], 3)
    """
    text = _text(ids, tokens)
    if isinstance(cut, bool) or not isinstance(cut, (int, np.integer)) or not 0 <= cut < len(text):
        raise ValueError(f"the cut must lie in 0..{len(text) - 1}, so that something is left to write; got {cut!r}")
    context = np.concatenate([text[:cut], [tokens.gmask]])
    positions = len(context) + np.arange(len(text) - cut + 1)
    return _example(context, [(text[cut:], positions)], tokens)


def short_spans(
    length: int, rng: np.random.Generator, *, share: float = MASKED_SHARE, mean: float = MEAN_LENGTH
) -> list[Span]:
    """Blanks for a text of `length` tokens, in random order: Poisson lengths, in all share · length tokens, at least 1.

    Lengths of 0 are drawn again, the last one is cut to fit. Places are uniform among those where no two blanks touch.

    >>> short_spans(40, np.random.default_rng(1))
    [(33, 35), (25, 29)]
    """
    if not 0 < share <= 0.5 or not 0 < mean < math.inf:
        raise ValueError(f"share must lie in (0, 0.5] and the mean length be positive, got {share} and {mean}")
    if length < 2:
        raise ValueError(f"a text of {length} tokens has no room for a blank and a context")
    budget = max(1, int(share * length))
    lengths: list[int] = []
    while sum(lengths) < budget:
        drawn = int(rng.poisson(mean))
        if drawn:
            lengths.append(min(drawn, budget - sum(lengths)))
    lengths = rng.permutation(lengths).tolist()
    kept = length - budget  # context tokens; a blank goes into one of the gaps before, between and behind them
    gaps = np.sort(rng.choice(kept + 1, size=len(lengths), replace=False))
    taken = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    spans = [(int(gap + before), int(gap + before + n)) for gap, before, n in zip(gaps, taken, lengths)]
    return [spans[i] for i in rng.permutation(len(spans))]


def infilling_batch(
    sequences: Sequence[Sequence[int] | np.ndarray],
    tokens: BlankTokens,
    rng: np.random.Generator,
    *,
    short: float = SHORT_SHARE,
    share: float = MASKED_SHARE,
    mean: float = MEAN_LENGTH,
    length: int | None = None,
) -> Batch:
    """One example a sequence, padded on the right: what `model.loss` takes.

    sequences: token ids of two or more each. short: the chance of [MASK] blanks (the published mix is 30 %); otherwise
    a [gMASK] at a uniformly drawn place. share, mean: as in `short_spans`. length: of the rows; default the longest
    one's. Returns ids, targets, positions, mask (B, T) and prefix_length (B,). Equal generators give equal batches.

    Raises ValueError for sequences that are too short, hold special tokens, or do not fit in `length`.

    >>> special = BlankTokens(mask=1, gmask=2, start=3, end=4)
    >>> batch = infilling_batch([[10, 11, 12], [20, 21, 22, 23, 24]], special, np.random.default_rng(0))
    >>> batch["ids"].tolist(), batch["prefix_length"].tolist()
    ([[10, 11, 2, 3, 12, 0, 0], [20, 1, 22, 23, 24, 3, 21]], [3, 5])
    >>> batch["mask"].sum(axis=1).tolist()
    [5, 7]
    """
    if not 0 <= short <= 1:
        raise ValueError(f"short is a chance, between 0 and 1; got {short}")
    if not len(sequences):
        raise ValueError("a batch needs at least one sequence")
    examples = []
    for row, sequence in enumerate(sequences):
        try:
            examples.append(_draw(sequence, tokens, rng, short, share, mean))
        except (ValueError, TypeError) as error:
            raise type(error)(f"sequence {row}: {error}") from None
    longest = max(len(example.ids) for example in examples)
    columns = longest if length is None else length
    if columns < longest:
        raise ValueError(f"the longest example has {longest} tokens and does not fit in rows of {length}")
    batch = {
        name: np.full((len(examples), columns), filler, np.int64)
        for name, filler in (("ids", tokens.pad), ("targets", IGNORE), ("positions", 0))
    }
    batch["mask"] = np.zeros((len(examples), columns), bool)
    for row, example in enumerate(examples):
        n = len(example.ids)
        batch["ids"][row, :n], batch["targets"][row, :n] = example.ids, example.targets
        batch["positions"][row, :n], batch["mask"][row, :n] = example.positions, True
    batch["prefix_length"] = np.array([example.prefix_length for example in examples])
    return batch


def _draw(
    sequence: Any, tokens: BlankTokens, rng: np.random.Generator, short: float, share: float, mean: float
) -> Example:
    count = len(sequence)
    if count < 2:
        raise ValueError(f"{count} tokens are too few for a context and something to write: give 2 or more")
    if rng.random() < short:
        return mask_spans(sequence, short_spans(count, rng, share=share, mean=mean), tokens)
    return mask_rest(sequence, int(rng.integers(1, count)), tokens)


def _text(ids: Any, tokens: BlankTokens) -> np.ndarray:
    text = np.asarray(ids)
    if text.ndim != 1 or not text.size:
        raise ValueError(f"a text is a list of one token id or more, got the shape {text.shape}")
    if text.dtype.kind not in "iu":
        raise TypeError(f"token ids are integers, got {text.dtype}")
    special = np.isin(text, [tokens.mask, tokens.gmask, tokens.start, tokens.end])
    if special.any() or text.min() < 0:
        place = int(np.argmax(special | (text < 0)))
        raise ValueError(f"the text holds {int(text[place])} at {place}: a special token, or no token id")
    return text.astype(np.int64)


def _example(context: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], tokens: BlankTokens) -> Example:
    """parts: (what is to be written (m,), the positions of its start token and of its tokens (m + 1,))."""
    ids, targets = [context], [np.full(len(context), IGNORE)]
    for span, _ in parts:
        ids.append(np.concatenate([[tokens.start], span]))
        targets.append(np.concatenate([span, [tokens.end]]))
    positions = [np.arange(len(context)), *(where for _, where in parts)]
    return Example(np.concatenate(ids), np.concatenate(targets), np.concatenate(positions), len(context))
