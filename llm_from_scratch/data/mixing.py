"""Batches from several sources at once, in exact shares: seeded, endless, and resumable to the byte.

Each row of a batch comes from one source, and whose turn it is follows from the weights alone: after any number of
rows, no source is a whole row away from its share. Drawing the sources at random would be right only on average, and
off by the square root of the number of rows. Within a source rows come as `BatchSampler` deals them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .packing import Batch
from .sampler import BatchSampler, Origin
from .token_file import TokenFile

WHEN_DRY = ("repeat", "stop")
_EXACT = 1e-6  # how far from 1 weights may sum


class RanDry(ValueError):
    """A source has no row left that was not read before."""


def mixing_weights(sizes: Mapping[str, float], *, temperature: float = 1.0) -> dict[str, float]:
    """Shares of sources by their sizes (in tokens): p_i = n_i^(1/T) / sum of n_j^(1/T).

    temperature: 1 reads all sources equally often, more favours the small ones, math.inf gives each the same share.
    Papers on many languages write the exponent as alpha = 1/T. Raises ValueError or TypeError for no source, a size
    that is not a finite number above 0, and a temperature that is not above 0.

    >>> mixing_weights({"web": 900, "books": 100}), mixing_weights({"web": 900, "books": 100}, temperature=2)
    ({'web': 0.9, 'books': 0.1}, {'web': 0.75, 'books': 0.25})

    Source: Devlin 2018 (multilingual BERT), with T = 1/0.7; Conneau et al. 2020, arXiv:1911.02116, section 3.1.
    """
    if not isinstance(sizes, Mapping) or not sizes:
        raise ValueError(f"a mixture needs sources, as {{name: size}}; got {sizes!r}")
    temperature = _number("the temperature", temperature, above=0.0, infinite=True)
    for name, size in sizes.items():
        _number(f"the size of {name}", size, above=0.0)
    if temperature == 1:
        powers = [float(size) for size in sizes.values()]
    else:  # relative to the largest, so that no power overflows
        largest = max(sizes.values())
        powers = [float(size / largest) ** (1 / temperature) for size in sizes.values()]
    total = math.fsum(powers)
    return {name: power / total for name, power in zip(sizes, powers)}


def checked_weights(weights: Mapping[str, float], sources: Any, *, normalize: bool = False) -> dict[str, float]:
    """The weights in the order of `sources`, summing to 1.

    A source that is not mentioned has weight 0. Raises ValueError or TypeError for a name that is no source, a weight
    that is not a finite number of at least 0, and weights that do not sum to 1, unless `normalize` asks for that.

    >>> checked_weights({"web": 3, "books": 1}, ["books", "web"], normalize=True)
    {'books': 0.25, 'web': 0.75}
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights are {{source: share}}, got {weights!r}")
    unknown = [str(name) for name in weights if name not in sources]
    if unknown:
        raise ValueError(f"there is no source {', '.join(unknown)} to give weight to; there are {', '.join(sources)}")
    for name, weight in weights.items():
        _number(f"the weight of {name}", weight, least=0.0)
    total = math.fsum(weights.values())
    told = " + ".join(f"{weight:g}" for weight in weights.values())
    if total == 0:
        raise ValueError(f"the weights {told or 'given'} leave no source to read: at least one must be above 0")
    if abs(total - 1) > _EXACT and not normalize:
        raise ValueError(f"the weights must sum to 1: {told} is {total:g}; change them, or ask for normalizing")
    return {name: float(weights.get(name, 0.0)) / total for name in sources}


def next_source(weights: np.ndarray, counts: np.ndarray) -> int:
    """Whose turn it is, when `counts` (S,) rows were dealt by `weights` (S,): a place in both.

    Of the sources that may have another row without going too far beyond their share, the one that would first be too
    far behind. After every row, each count is then less than 1 from weight × rows, whatever the weights.

    >>> counts = np.zeros(3)
    >>> for _ in range(10):
    ...     counts[next_source(np.array([0.5, 0.3, 0.2]), counts)] += 1
    >>> counts.tolist()
    [5.0, 3.0, 2.0]

    Source: Tijdeman 1980, "The chairman assignment problem", Discrete Mathematics 32: no rule can promise a smaller
    distance than its 1 - 1/(2(S - 1)).
    """
    used = np.flatnonzero(weights > 0)
    if len(used) == 1:
        return int(used[0])
    spare = 1 / (2 * len(used) - 2)
    behind = weights[used] * (counts.sum() + 1) - counts[used]
    # Rounding must not hide a source that stands exactly on the border.
    allowed = behind >= min(spare, behind.max()) - 1e-9
    deadline = np.where(allowed, (1 - spare - behind) / weights[used], np.inf)
    return int(used[int(np.argmin(deadline))])


class MixtureSampler:
    """An endless iterator of batches {"ids", "targets"[, "segments"]}, int64 (batch_size, context), of several sources.

    sources: {name: tokens}, token files or arrays of ids. weights: {name: share of the rows}, summing to 1 (or
    `normalize`d); without them a source's share follows from its length and the `temperature` (`mixing_weights`).
    when_dry: what happens when a source has been read to its end: "repeat" begins its next epoch in another order,
    "stop" raises RanDry (a ValueError). The rest is as in `BatchSampler`. A change of weights or batch size (`change`)
    goes on in each source where it was; a change of the context cuts it anew, so that what was read before may come
    again before an epoch is over.

    `figures`: rows and epochs (1.5: once and a half) that were read of each source.

    >>> mixture = MixtureSampler({"a": np.arange(100), "b": np.arange(900)}, 4, 8, weights={"a": 0.25, "b": 0.75})
    >>> for _ in range(10):
    ...     batch = next(mixture)
    >>> mixture.figures["rows a"], mixture.figures["rows b"]
    (10, 30)
    """

    def __init__(
        self,
        sources: Mapping[str, np.ndarray | TokenFile],
        batch_size: int,
        context: int,
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float = 1.0,
        normalize: bool = False,
        when_dry: str = "repeat",
        seed: int = 0,
        separator: int | None = None,
        mode: str = "epochs",
    ) -> None:
        if not isinstance(sources, Mapping) or not sources:
            raise ValueError(f"a mixture needs at least one source, as {{name: tokens}}; got {sources!r}")
        if weights is not None and temperature != 1:
            raise ValueError("weights and a temperature are two ways of saying the same: give one of them")
        if when_dry not in WHEN_DRY:
            raise ValueError(f"when_dry must be one of {', '.join(WHEN_DRY)}; got {when_dry!r}")
        self.sources, self.when_dry = dict(sources), when_dry
        self._settings: dict[str, Any] = {"seed": seed, "separator": separator, "mode": mode}
        self._rows: dict[tuple[str, int], BatchSampler] = {}  # of a source, at a context
        self._given: dict[tuple[str, int], int] = {}  # rows that were read of it
        self._windows: dict[tuple[str, int], int] = {}  # rows in its first epoch
        self.origins: list[Origin] = []  # where the rows of the last batch come from
        sizes = {
            name: np.size(tokens.ids if isinstance(tokens, TokenFile) else tokens)
            for name, tokens in self.sources.items()
        }
        empty = [name for name, size in sizes.items() if not size]
        if empty:
            raise ValueError(f"the source {empty[0]} is empty: bring text, or leave it out")
        self._by_size = mixing_weights(sizes, temperature=temperature)
        self.change(batch_size, context, weights, normalize=normalize)

    def change(
        self, batch_size: int, context: int, weights: Mapping[str, float] | None = None, *, normalize: bool = False
    ) -> None:
        """From the next batch on other rows, contexts or weights (None: by size); shares are counted anew."""
        for name, value in (("batch_size", batch_size), ("context", context)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        chosen = self._by_size if weights is None else weights
        self.weights = checked_weights(chosen, self.sources, normalize=normalize)
        self.batch_size, self.context = int(batch_size), int(context)
        self._shares = np.array(list(self.weights.values()))
        self._dealt = np.zeros(len(self.sources))  # rows of each source since the last change
        for name, weight in self.weights.items():
            if weight > 0 and (name, self.context) not in self._rows:
                self._rows[name, self.context] = self._new_sampler(name, self.context)
                self._given[name, self.context] = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        names = list(self.sources)
        dealt, rows, origins = self._dealt.copy(), [], []
        for _ in range(self.batch_size):
            turn = next_source(self._shares, dealt)
            dealt[turn] += 1
            rows.append(self._row(names[turn]))
            (origin,) = self._rows[names[turn], self.context].origins
            origins.append(dataclasses.replace(origin, source=names[turn]))
        self._dealt, self.origins = dealt, origins
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    @property
    def figures(self) -> dict[str, float]:
        """{"rows NAME": rows read, "epochs NAME": how often the source was read} for every source."""
        rows = {name: sum(n for (source, _), n in self._given.items() if source == name) for name in self.sources}
        told: dict[str, float] = {f"rows {name}": count for name, count in rows.items()}
        return told | {f"epochs {name}": round(self._epochs(name), 4) for name in self.sources}

    def per_epoch(self, name: str, context: int) -> int:
        """Rows in an epoch of a source, cut into so long ones (the first; the next may have one more or less)."""
        return self._windows[name, context]

    def state(self) -> dict[str, Any]:
        """Where the mixture stands, JSON-able: every source's place, and whose turn is next."""
        places: dict[str, dict[str, Any]] = {name: {} for name in self.sources}
        for (name, context), sampler in self._rows.items():
            places[name][str(context)] = {"given": self._given[name, context], **sampler.state()}
        return {**self._identity(), "dealt": [int(count) for count in self._dealt], "sources": places}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a state taken from a mixture of the same sources; ValueError naming every difference."""
        mine, places, dealt = self._identity(), state.get("sources"), state.get("dealt")
        differences = [f"{k}: saved {state.get(k)!r}, now {v!r}" for k, v in mine.items() if state.get(k) != v]
        if isinstance(places, dict) and list(places) != list(self.sources):
            differences.append(f"sources: saved {', '.join(map(str, places))}, now {', '.join(self.sources)}")
        if differences:
            raise ValueError("the saved position belongs to another mixture (" + "; ".join(differences) + ")")
        counts = [n for n in dealt if type(n) is int and n >= 0] if isinstance(dealt, list) else []
        if not isinstance(places, dict) or counts != dealt or len(counts) != len(self.sources):
            raise ValueError(f"the saved position is damaged: dealt {dealt!r}")
        rows: dict[tuple[str, int], BatchSampler] = {}
        given: dict[tuple[str, int], int] = {}
        for name, contexts in places.items():
            for context, place in contexts.items():
                try:
                    sampler = self._new_sampler(name, int(context))
                    sampler.restore(place)
                    rows[name, int(context)], given[name, int(context)] = sampler, int(place["given"])
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(f"the source {name}: {error}") from None
        self._rows, self._given, self._dealt = rows, given, np.array(counts, dtype=float)

    def _identity(self) -> dict[str, Any]:
        return {"weights": self.weights, "batch_size": self.batch_size, "context": self.context,
                "when_dry": self.when_dry}  # fmt: skip

    def _row(self, name: str) -> Batch:
        if self.when_dry == "stop" and self._epochs(name) + 1 / self._windows[name, self.context] > 1 + 1e-9:
            read = self.figures[f"rows {name}"]
            raise RanDry(
                f"the source {name} has run dry after {read:,} rows of its {len(self.sources[name]):,} tokens: "
                'bring more of it, give it less weight, train for fewer steps, or repeat it (when_dry="repeat")'
            )
        self._given[name, self.context] += 1
        return next(self._rows[name, self.context])

    def _epochs(self, name: str) -> float:
        """Full rounds and the begun one, of all contexts together."""
        rows = [sampler for (source, _), sampler in self._rows.items() if source == name]
        return sum(sampler.epoch + sampler.batch / sampler.batches_per_epoch for sampler in rows)

    def _new_sampler(self, name: str, context: int) -> BatchSampler:
        try:
            sampler = BatchSampler(self.sources[name], 1, context, **self._settings)
        except (ValueError, TypeError) as error:
            raise type(error)(f"the source {name}: {error}") from None
        self._windows[name, context] = sampler.batches_per_epoch
        return sampler


def _number(
    what: str, value: Any, *, above: float = -math.inf, least: float = -math.inf, infinite: bool = False
) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} must be a number, got {value!r}")
    bounds = f"above {above:g}" if above > -math.inf else f"of at least {least:g}"
    try:
        value = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        value = math.inf if value > 0 else -math.inf
    if math.isnan(value) or (math.isinf(value) and not infinite) or value <= above or value < least:
        raise ValueError(f"{what} must be a {'' if infinite else 'finite '}number {bounds}, got {value:g}")
    return value
