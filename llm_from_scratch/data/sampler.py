"""Batches from a stream of token ids: seeded, endless, and resumable to the byte.

`BatchSampler` cuts the stream into windows and deals them out in a fresh shuffle each epoch. Its state is a
few integers: the shuffle is computed again from seed and epoch, so that a restored sampler goes on exactly
as the uninterrupted one. `evaluation_batches` walks a held-out stream once, every target exactly one time.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .packing import IGNORE, Batch, window_batch
from .token_file import TokenFile

MODES = ("epochs", "documents", "random")


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Where a row of a batch comes from: it begins at `start` among `tokens`. source: whose these are, of several.

    >>> row = Origin(np.array([0, 5, 6, 0, 7, 8]), 2, separator=0)
    >>> row.document(0), row.document(2)
    (0, 1)
    """

    tokens: np.ndarray
    start: int
    separator: int | None = None
    source: str | None = None

    def document(self, column: int) -> int | None:
        """The number, from 0, of the document that a column of the row belongs to; None without a separator."""
        if self.separator is None:
            return None
        opened = np.count_nonzero(np.asarray(self.tokens[: self.start + column + 1]) == self.separator)
        return max(int(opened) - 1, 0)


class BatchSampler:
    """An endless iterator of batches {"ids", "targets"[, "segments"]}, each int64 (batch_size, context).

    mode "epochs": the stream is cut into windows of `context` + 1 ids that overlap by one, at a random
    offset each epoch; every window is used at most once an epoch (what does not fill a batch waits for
    another epoch's shuffle). mode "documents": every window starts where a document does, so that a row has
    seen all that it continues; each document is used at most once an epoch as a start, and the rest of the
    row holds what follows it. mode "random": every window starts anywhere, drawn anew for each batch.
    `separator`: the id that opens a document; given, batches carry document numbers and attention stays
    inside a document.

    >>> sampler = BatchSampler(np.arange(100), batch_size=2, context=4, seed=1)
    >>> first = next(sampler)
    >>> state = sampler.state()
    >>> again = BatchSampler(np.arange(100), batch_size=2, context=4, seed=1)
    >>> again.restore(state)
    >>> np.array_equal(next(again)["ids"], next(sampler)["ids"])
    True
    """

    def __init__(
        self,
        tokens: np.ndarray | TokenFile,
        batch_size: int,
        context: int,
        *,
        seed: int = 0,
        separator: int | None = None,
        mode: str = "epochs",
    ) -> None:
        self._file = tokens if isinstance(tokens, TokenFile) else None
        self.tokens = _check_tokens(tokens)
        if batch_size < 1 or context < 1:
            raise ValueError(f"batch_size and context must be at least 1, got {batch_size} and {context}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
        needed = batch_size * context + 1 if mode == "epochs" else context + 1
        if len(self.tokens) < needed:
            raise ValueError(
                f"the corpus has {len(self.tokens):,} tokens, but one batch of {batch_size} × {context} "
                f"takes {needed:,}: bring more text, or make the batch or the context smaller"
            )
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.separator, self.mode = separator, mode
        self._starts = np.empty(0, dtype=np.int64)
        if mode == "documents":
            if separator is None:
                raise ValueError("mode 'documents' needs the separator, the id that opens a document")
            self._starts = np.flatnonzero(self.tokens[: len(self.tokens) - context] == separator)
            if len(self._starts) < batch_size:
                raise ValueError(
                    f"{len(self._starts):,} documents start early enough to fill a row of {context} tokens, "
                    f"and a batch takes {batch_size}: bring more text, make the batch or the context smaller, "
                    "or use mode 'epochs'"
                )
        self.starts = np.empty(0, dtype=np.int64)  # where the rows of the last batch begin in the stream
        self.epoch = 0  # in mode "random" one epoch without end
        self.batch = 0  # batches given in this epoch
        self._order_of: int | None = None  # the epoch that _order and _offset belong to
        self._order = np.empty(0, dtype=np.int64)
        self._offset = 0

    @property
    def batches_per_epoch(self) -> int:
        """Batches in the current epoch; it may differ by one between epochs, as the offset does."""
        if self.mode == "random":
            return max(1, (len(self.tokens) - 1) // (self.batch_size * self.context))
        self._shuffle()
        return len(self._order) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._file is not None:
            self._file.check_length()
        if self.mode == "random":
            rng = np.random.default_rng((self.seed, self.batch))
            starts = rng.integers(0, len(self.tokens) - self.context, size=self.batch_size)
            self.batch += 1
        else:
            if self.batch >= self.batches_per_epoch:
                self.epoch, self.batch = self.epoch + 1, 0
            self._shuffle()
            chosen = self._order[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
            starts = self._starts[chosen] if self.mode == "documents" else self._offset + chosen * self.context
            self.batch += 1
        self.starts = starts
        windows = self.tokens[starts[:, None] + np.arange(self.context + 1)]
        return window_batch(windows, self.separator)

    @property
    def origins(self) -> list[Origin]:
        """Where the rows of the last batch come from."""
        return [Origin(self.tokens, int(start), self.separator) for start in self.starts]

    def state(self) -> dict[str, Any]:
        """Where the sampler stands, as a small JSON-able dict, with a fingerprint of what it walks over."""
        return {"epoch": self.epoch, "batch": self.batch, **self._identity()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a state taken from a sampler over the same corpus with the same settings.

        Raises ValueError naming every difference: going on over other data would silently not be a
        resumption.
        """
        mine = self._identity()
        differences = [f"{k}: saved {state.get(k)!r}, now {v!r}" for k, v in mine.items() if state.get(k) != v]
        if differences:
            raise ValueError("the saved position belongs to another sampler (" + "; ".join(differences) + ")")
        epoch, batch = state.get("epoch"), state.get("batch")
        if type(epoch) is not int or type(batch) is not int or epoch < 0 or batch < 0:
            raise ValueError(f"the saved position is damaged: epoch {epoch!r}, batch {batch!r}")
        self.epoch, self.batch = epoch, batch

    def _identity(self) -> dict[str, Any]:
        # A checksum of the whole corpus would read it all; ends, length and a sparse sample catch an
        # exchanged file.
        if self._file is not None:
            self._file.check_length()
        sample = self.tokens[:: max(1, len(self.tokens) // 4096)].astype("<u4")
        return {
            "seed": self.seed,
            "mode": self.mode,
            "batch_size": self.batch_size,
            "context": self.context,
            "separator": self.separator,
            "tokens": len(self.tokens),
            "fingerprint": zlib.crc32(sample.tobytes()),
        }

    def _shuffle(self) -> None:
        if self._order_of == self.epoch:
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        self._order_of = self.epoch
        if self.mode == "documents":
            self._order = rng.permutation(len(self._starts))
            return
        # The offset moves the window borders between epochs, but never so far that less than one batch is
        # left.
        spare = len(self.tokens) - 1 - self.batch_size * self.context
        self._offset = int(rng.integers(0, min(self.context, spare + 1)))
        self._order = rng.permutation((len(self.tokens) - 1 - self._offset) // self.context)


def evaluation_batches(
    tokens: np.ndarray | TokenFile,
    batch_size: int,
    context: int,
    *,
    separator: int | None = None,
    limit: int | None = None,
) -> Iterator[Batch]:
    """Walk the stream once in order; each of its N - 1 targets occurs exactly once. At most `limit` batches.

    The last window is filled up with id 0 and targets -100, the last batch may have fewer rows. Raises
    ValueError for fewer than two tokens.

    >>> batches = list(evaluation_batches(np.arange(1, 8), batch_size=2, context=4))
    >>> batches[0]["targets"].tolist()
    [[2, 3, 4, 5], [6, 7, -100, -100]]
    """
    ids = _check_tokens(tokens)
    if batch_size < 1 or context < 1:
        raise ValueError(f"batch_size and context must be at least 1, got {batch_size} and {context}")
    if len(ids) < 2:
        raise ValueError(
            f"the held-out text has {len(ids)} tokens and at least 2 are needed: "
            f"bring more text or hold out a larger fraction"
        )
    return _walk(tokens, batch_size, context, separator, limit)


def _walk(
    tokens: np.ndarray | TokenFile, batch_size: int, context: int, separator: int | None, limit: int | None
) -> Iterator[Batch]:
    span, count = batch_size * context, len(_check_tokens(tokens))
    for number, start in enumerate(range(0, count - 1, span)):
        if limit is not None and number >= limit:
            return
        ids = _check_tokens(tokens)
        piece = ids[start : start + span + 1].astype(np.int64)
        rows = -(-(len(piece) - 1) // context)
        missing = rows * context + 1 - len(piece)
        piece = np.concatenate([piece, np.zeros(missing, dtype=np.int64)])
        batch = window_batch(piece[np.arange(rows)[:, None] * context + np.arange(context + 1)], separator)
        if missing:
            batch["targets"][-1, context - missing :] = IGNORE
        yield batch


def _check_tokens(tokens: np.ndarray | TokenFile) -> np.ndarray:
    if isinstance(tokens, TokenFile):
        tokens.check_length()
    ids = tokens.ids if isinstance(tokens, TokenFile) else np.asarray(tokens)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"tokens must be a one-dimensional array of integers, got shape {ids.shape} of {ids.dtype}")
    return ids
