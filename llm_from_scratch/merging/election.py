"""TIES: trim each task vector to its largest entries, elect a sign for every entry, merge those that agree with it.

    τ_i = θ_i - θ_0, all but the share `density` of largest |τ_i| set to 0
    s = sign(Σ_i τ_i)                                  entry by entry: which side weighs more
    merged = θ_0 + λ · mean of those τ_i whose sign is s

Small entries are mostly noise, and of entries with opposite signs a mean would leave next to nothing. Three programs
mean three things by it, told apart here as dialects:

    authors   trims by one threshold over the whole model; no weights; a tie goes to the sign that the model has mostly
    mergekit  trims every tensor by itself, elects by weight · τ, divides by the weights of those that agree; a tie is +
    peft      trims every tensor by itself, elects by τ, weighs afterwards, divides by how many agree; a tie is +

Source: Yadav et al. 2023, arXiv:2306.01708.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .tensors import (
    PIECE,
    Pieces,
    Tensors,
    check_alike,
    check_density,
    check_models,
    check_number,
    check_numbers,
    check_sum,
    elementwise,
    over_tensors,
    working,
)
from .thresholds import kth_smallest

DIALECTS = ("authors", "mergekit", "peft")
_MOST = 16  # models whose weights of both signs are tried for cancelling: 65,536 sums


@dataclass(frozen=True)
class WholeModel:
    """What the authors' dialect must know of all tensors together: each model's threshold, and the sign of most
    entries.
    """

    thresholds: tuple[float, ...]
    sign: int


def ties(
    base: Tensors,
    models: Sequence[Tensors],
    weights: Any = None,
    *,
    density: Any,
    scale: float = 1.0,
    normalize: bool = True,
    dialect: str = "authors",
    whole: WholeModel | None = None,
) -> Any:
    """The base with the elected entries of the task vectors, times `scale` (λ), added.

    weights: one a model; None (or all 1) in the authors' dialect, which has none. density: the share of entries that a
    task vector keeps, one number or one a model; 1 keeps all. normalize: the mean of what agrees; else the sum. whole:
    for tensors that come one by one, what the authors' dialect needs of all (`whole_model`).

    Raises ValueError for a density outside (0, 1], for weights of which some may cancel where they divide, and where
    models differ.

    >>> base, a, b = np.zeros(4), np.array([4.0, 1.0, -2.0, 0.1]), np.array([2.0, -3.0, -4.0, 0.2])
    >>> ties(base, [a, b], density=0.75, dialect="peft")
    array([ 3., -3., -3.,  0.])
    """
    models = check_models(models)
    densities = check_density(density, len(models))
    shares = check_election(dialect, weights, len(models), normalize)
    factor = check_number("scale", scale)
    if dialect == "authors" and whole is None:
        check_alike(base, *models)
        whole = whole_model(lambda: tensors_of(base, models), densities)

    def merge(start: np.ndarray, *tuned: np.ndarray) -> np.ndarray:
        if whole is not None:
            keep = [_at_least(start, array, least) for array, least in zip(tuned, whole.thresholds)]
        else:
            keep = [largest(start, array, _count(array, d, dialect)) for array, d in zip(tuned, densities)]
        sign = 1 if whole is None else whole.sign
        return elect(start, tuned, keep, shares, scale=factor, normalize=normalize, dialect=dialect, tie=sign)

    return over_tensors(merge, base, *models)


def check_election(dialect: str, weights: Any, count: int, normalize: bool) -> tuple[float, ...]:
    """The weights of an election in that dialect; ValueError for an unknown one, or for weights that may cancel."""
    if dialect not in DIALECTS:
        raise ValueError(f"dialect must be {', '.join(map(repr, DIALECTS))}, not {dialect!r}")
    shares = check_numbers("weights", 1.0 if weights is None else weights, count)
    if dialect == "authors" and set(shares) != {1.0}:
        raise ValueError('the authors\' dialect knows no weights: leave them away, or choose "mergekit" or "peft"')
    if dialect == "mergekit" and normalize and min(shares) < 0 < max(shares):
        # Which models agree differs from entry to entry: any group of them may be what is divided by.
        voting = [share for share in shares if share]
        if len(voting) > _MOST:
            raise ValueError(
                f"weights of both signs can be normalised for {_MOST} models at most, not for {len(voting)}"
            )
        for size in range(2, len(voting) + 1):
            for group in itertools.combinations(voting, size):
                check_sum(group)
    return shares


def elect(
    start: np.ndarray,
    tuned: Sequence[np.ndarray],
    keep: Sequence[np.ndarray],
    weights: Sequence[float],
    *,
    scale: float,
    normalize: bool,
    dialect: str,
    tie: int = 1,
    rescaling: Sequence[float] | None = None,
) -> np.ndarray:
    """Election and merging of one tensor. keep: per model the entries that its trimming left; rescaling: of what it
    left; tie: the sign where neither side weighs more.
    """
    factors = [1.0] * len(tuned) if rescaling is None else rescaling
    weighted = dialect == "mergekit"

    def formula(pieces: Pieces, masks: Pieces) -> np.ndarray:
        origin, *rest = pieces
        kind = origin.dtype.type
        votes = []
        for piece, mask, weight, factor in zip(rest, masks, weights, factors):
            vote = (piece - origin) * mask
            votes.append(vote * kind(weight * factor if weighted else factor))
        total = np.sum(votes, axis=0)
        positive = total >= 0 if tie > 0 else total > 0
        merged, divisor = np.zeros_like(origin), np.zeros_like(origin)
        for vote, weight in zip(votes, weights):
            agrees = np.where(positive, vote > 0, vote < 0)
            merged += vote * agrees if weighted else vote * agrees * kind(weight)
            divisor += agrees * kind(weight if weighted else 1)
        if normalize:
            divisor[divisor == 0] = 1  # nobody agrees: the sum is 0
            merged /= divisor
        return origin + merged * kind(scale)

    return elementwise(formula, [start, *tuned], keep)


def largest(start: np.ndarray, tuned: np.ndarray, count: int, among: np.ndarray | None = None) -> np.ndarray:
    """Where the `count` largest |tuned - start| stand, as booleans; of equal ones those that come first.

    among: only entries that this says. (Half-precision weights have many equal differences.)

    >>> largest(np.zeros(4), np.array([1.0, -2.0, 2.0, 2.0]), 2)
    array([False,  True,  True, False])
    """
    size = tuned.size
    if count >= size:
        return np.ones(tuned.shape, bool) if among is None else among
    if not count:
        return np.zeros(tuned.shape, bool)
    sizes = np.concatenate([*_magnitudes(start, tuned)])
    if among is not None:
        sizes[~among.reshape(-1)] = 0
    sizes.partition(size - count)  # in place: the largest is what a merge keeps in memory beside the models
    least = sizes[size - count]
    above = int(np.count_nonzero(sizes[size - count :] > least))
    keep, room = np.empty(size, bool), count - above
    for first, part in zip(range(0, size, PIECE), _magnitudes(start, tuned)):
        if among is not None:
            part = part * among.reshape(-1)[first : first + PIECE]
        kept = part > least
        equal = np.flatnonzero(part == least)[:room]
        kept[equal] = True
        room -= len(equal)
        keep[first : first + PIECE] = kept
    return keep.reshape(tuned.shape)


def trimmed_count(size: int, density: float) -> int:
    """How many of so many entries mergekit keeps: the share, rounded down, at least one."""
    return max(1, int(density * size))


def _count(array: np.ndarray, density: float, dialect: str) -> int:
    return int(density * array.size) if dialect == "peft" else trimmed_count(array.size, density)


def _at_least(start: np.ndarray, tuned: np.ndarray, least: float) -> np.ndarray:
    parts = [part >= least for part in _magnitudes(start, tuned)]
    return np.concatenate([np.zeros(0, bool), *parts]).reshape(tuned.shape)


def _magnitudes(start: np.ndarray, tuned: np.ndarray) -> Iterator[np.ndarray]:
    """|tuned - start| flattened, piece by piece."""
    return (np.abs(part) for part in _differences(start, tuned))


def _differences(start: np.ndarray, tuned: np.ndarray) -> Iterator[np.ndarray]:
    work = working(start.dtype, tuned.dtype)
    first, second = start.reshape(-1), tuned.reshape(-1)
    for begin in range(0, first.size, PIECE):
        part = slice(begin, begin + PIECE)
        with np.errstate(invalid="ignore"):  # what is not finite is refused when it is merged
            yield second[part].astype(work, copy=False) - first[part].astype(work, copy=False)


def tensors_of(base: Tensors, models: Sequence[Tensors]) -> Iterator[list[np.ndarray]]:
    """The floating-point arrays of base and models, tensor by tensor."""
    if isinstance(base, Mapping):
        for name, array in base.items():
            if array.dtype.kind not in "biu":
                yield [array, *(model[name] for model in models)]  # type: ignore[call-overload]
    else:
        yield [base, *models]  # type: ignore[list-item]


def whole_model(tensors: Any, densities: Sequence[float]) -> WholeModel:
    """Thresholds and majority sign over all tensors. tensors: called for every pass over them, gives [base, models …].

    As in the authors' code the threshold is the entry of rank ⌊(1 - density) n⌋ among n, and what equals it stays: one
    more than the share. Three passes: two for the thresholds, and one for the sign that most entries elect.

    >>> whole_model(lambda: [[np.zeros(5), np.array([1.0, -2.0, 3.0, -4.0, 0.0])]], [0.4])
    WholeModel(thresholds=(2.0,), sign=-1)
    """

    shapes = [(base.size, working(base.dtype, *(model.dtype for model in models))) for base, *models in tensors()]
    size, work = sum(count for count, _ in shapes), np.result_type(*(kind for _, kind in shapes))

    def magnitudes() -> Iterator[list[np.ndarray]]:
        for base, *models in tensors():
            for parts in zip(*(_differences(base, model) for model in models)):
                yield [np.abs(part) for part in parts]

    thresholds = kth_smallest(magnitudes, [size - int(size * density) for density in densities], work)
    balance = 0
    for base, *models in tensors():
        for parts in zip(*(_differences(base, model) for model in models)):
            total = sum(part * (np.abs(part) >= least) for part, least in zip(parts, thresholds))
            balance += np.count_nonzero(total > 0) - np.count_nonzero(total < 0)
    return WholeModel(tuple(thresholds), int(np.sign(balance)))
