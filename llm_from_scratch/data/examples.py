"""Examples of unequal length, in batches: what tuning goes over, as `BatchSampler` goes over a text.

An example is a mapping from names to its arrays: rows of tokens ("ids", "targets", "chosen_ids" …) and single numbers
("weight"). A batch stacks them; rows of tokens are filled up on the right to the longest of the batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .packing import IGNORE, Batch

Example = Mapping[str, Any]
# What fills up a row, by the last word of its name: "chosen_targets" as "targets"; anything else by 0.
FILLING: Mapping[str, int | bool] = {"targets": IGNORE, "segments": -1, "mask": False}


def collate(examples: Sequence[Example], *, pad_id: int = 0, multiple: int = 1) -> Batch:
    """Stack examples -> {name: (N, T) or (N,)}.

    multiple: T is rounded up to a multiple of it, so that kernels meet fewer shapes. Names that share all but their
    last word ("chosen_ids", "chosen_targets") come out equally long. Raises ValueError for no example, for examples
    with other names than the first, an entry of more than one dimension, or unequal lengths within a group.

    >>> batch = collate([{"ids": [5, 6, 7], "targets": [6, 7, -100], "weight": 0.5},
    ...                  {"ids": [8], "targets": [9], "weight": 1.0}])
    >>> batch["ids"].tolist(), batch["targets"].tolist(), batch["weight"].tolist()
    ([[5, 6, 7], [8, 0, 0]], [[6, 7, -100], [9, -100, -100]], [0.5, 1.0])
    """
    if not len(examples):
        raise ValueError("there are no examples to stack")
    names = set(examples[0])
    for number, example in enumerate(examples):
        if set(example) != names:
            raise ValueError(f"example {number} has {sorted(example)}, the first one {sorted(names)}")
    batch: Batch = {}
    lengths: dict[tuple[str, int], tuple[int, str]] = {}  # (group, example) -> its length, and which array said so
    for name in examples[0]:
        rows = [np.asarray(example[name]) for example in examples]
        if any(row.ndim != rows[0].ndim or row.ndim > 1 for row in rows):
            raise ValueError(f"{name} must be one number, or one row of them, in every example")
        if rows[0].ndim == 0:
            batch[name] = np.stack(rows)
            continue
        group, _, kind = name.rpartition("_")
        for number, row in enumerate(rows):
            length, other = lengths.setdefault((group, number), (len(row), name))
            if length != len(row):
                raise ValueError(f"example {number}: {name} has {len(row)} entries, {other} {length}")
        width = -(-max(map(len, rows)) // multiple) * multiple
        stacked = np.full((len(rows), width), pad_id if kind == "ids" else FILLING.get(kind, 0), np.result_type(*rows))
        for row, filled in zip(rows, stacked):
            filled[: len(row)] = row
        batch[name] = stacked
    return batch


class ExampleSampler:
    """An endless iterator of batches of examples, in a fresh shuffle each epoch; what does not fill a batch is left.

    Its state is two integers and a fingerprint of the examples. ValueError for fewer examples than a batch takes.

    >>> examples = [{"ids": [k], "targets": [k + 1]} for k in range(5)]
    >>> sampler = ExampleSampler(examples, batch_size=2, seed=1)
    >>> first = next(sampler)
    >>> again = ExampleSampler(examples, batch_size=2, seed=1)
    >>> again.restore(sampler.state())
    >>> np.array_equal(next(again)["ids"], next(sampler)["ids"])
    True
    """

    def __init__(
        self, examples: Sequence[Example], batch_size: int, *, seed: int = 0, pad_id: int = 0, multiple: int = 1
    ) -> None:
        if batch_size < 1 or len(examples) < batch_size:
            raise ValueError(f"a batch takes {batch_size} examples (at least 1), and there are {len(examples):,}")
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.pad_id, self.multiple = pad_id, multiple
        self.position = 0  # batches given so far
        self._order_of, self._order = -1, np.empty(0, np.int64)
        self._identity = {"seed": seed, "batch_size": batch_size, "examples": len(examples), "fingerprint": self._sum()}

    @property
    def batches_per_epoch(self) -> int:
        """Full batches only: an epoch leaves out what fills no batch."""
        return len(self.examples) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        epoch, number = divmod(self.position, self.batches_per_epoch)
        if self._order_of != epoch:
            self._order_of = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.examples))
        self.position += 1
        chosen = self._order[number * self.batch_size :][: self.batch_size]
        return collate([self.examples[k] for k in chosen], pad_id=self.pad_id, multiple=self.multiple)

    def state(self) -> dict[str, Any]:
        """Where the sampler stands, as JSON can hold it."""
        return {"position": self.position, **self._identity}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a state of a sampler over the same examples; ValueError naming what differs."""
        changed = [f"{k}: saved {state.get(k)!r}, now {v!r}" for k, v in self._identity.items() if state.get(k) != v]
        if changed:
            raise ValueError("the saved position belongs to another sampler (" + "; ".join(changed) + ")")
        position = state.get("position")
        if type(position) is not int or position < 0:
            raise ValueError(f"the saved position is damaged: {position!r}")
        self.position = position

    def _sum(self) -> int:
        total = 0
        for example in self.examples:
            for name in sorted(example):
                array = np.asarray(example[name])
                total = zlib.crc32(f"{name}{array.dtype.str}{array.shape}".encode(), total)
                total = zlib.crc32(array.tobytes(), total)
        return total


def example_batches(examples: Sequence[Example], batch_size: int, *, pad_id: int = 0) -> Iterator[Batch]:
    """Every example once, in order: what evaluations go over. The last batch may be smaller."""
    for start in range(0, len(examples), batch_size):
        yield collate(examples[start : start + batch_size], pad_id=pad_id)
