"""Documents of any length into rows of one length, without one document seeing or predicting another.

Batches are dicts of int64 arrays (B, T): "ids", "targets" (already shifted: targets[:, t] is what position t
must predict, -100 where nothing is to be predicted) and "segments" (the document's number within its row, -1
for padding; attention stays inside equal numbers). This module packs whole documents; `sampler` cuts windows
from a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

Batch = dict[str, np.ndarray]
IGNORE = -100


def window_batch(windows: np.ndarray, separator: int | None = None) -> Batch:
    """Rows of T + 1 consecutive ids -> a batch of T columns.

    windows (B, T + 1) -> ids (B, T), targets (B, T), and segments (B, T) when a separator is given. The
    separator opens a document, so it belongs to the document that follows it. It is still the target of the
    token before it: "the text ends here" is something to learn, and attends to nothing of the next document.

    >>> batch = window_batch(np.array([[5, 6, 0, 7, 8]]), separator=0)
    >>> batch["ids"].tolist(), batch["targets"].tolist(), batch["segments"].tolist()
    ([[5, 6, 0, 7]], [[6, 0, 7, 8]], [[0, 0, 1, 1]])
    """
    windows = np.asarray(windows)
    if windows.ndim != 2 or windows.shape[1] < 2 or windows.dtype.kind not in "iu":
        raise ValueError(
            f"windows must be integers of shape (B, T + 1) with T at least 1, got {windows.shape} of {windows.dtype}"
        )
    windows = windows.astype(np.int64)
    batch = {"ids": windows[:, :-1].copy(), "targets": windows[:, 1:].copy()}  # one row would share its memory
    if separator is not None:
        opens = batch["ids"] == separator
        opens[:, 0] = False  # numbering starts at 0 in every row
        batch["segments"] = np.cumsum(opens, axis=1, dtype=np.int64)
    return batch


def document_positions(segments: np.ndarray) -> np.ndarray:
    """Positions that restart at every document, for models with a learned table of positions.

    segments (B, T) -> positions (B, T).

    >>> document_positions(np.array([[0, 0, 0, 1, 1, -1]])).tolist()
    [[0, 1, 2, 0, 1, 0]]
    """
    segments = np.asarray(segments)
    columns = np.broadcast_to(np.arange(segments.shape[1]), segments.shape)
    starts = np.zeros(segments.shape, dtype=np.int64)
    starts[:, 1:] = np.where(segments[:, 1:] != segments[:, :-1], columns[:, 1:], 0)
    return columns - np.maximum.accumulate(starts, axis=1)


def examples_from_documents(
    documents: Iterable[Sequence[int] | np.ndarray], context: int, separator: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Turn documents into (ids, targets) pairs of at most `context` tokens; a longer one becomes several.

    With a separator a document reads [separator, d1 … dn] and its targets [d1 … dn, separator]; without
    one the last token has no target. Every token of a document is a target once (its first only when a
    separator leads to it).

    >>> [(i.tolist(), t.tolist()) for i, t in examples_from_documents([[5, 6, 7]], 2, separator=0)]
    [([0, 5], [5, 6]), ([6, 7], [7, 0])]
    """
    _check_context(context)
    for document in documents:
        ids = np.asarray(document, dtype=np.int64)
        if separator is not None:
            ids = np.concatenate([[separator], ids])
        end = IGNORE if separator is None else separator
        targets = np.concatenate([ids[1:], [end]])
        for start in range(0, len(ids), context):
            piece = targets[start : start + context]
            if np.any(piece != IGNORE):  # a lone last token without a target teaches nothing
                yield ids[start : start + context], piece


def pack_examples(
    examples: Iterable[tuple[np.ndarray, np.ndarray]],
    batch_size: int,
    context: int,
    *,
    pad_id: int = 0,
    open_rows: int = 64,
) -> Iterator[Batch]:
    """Pack (ids, targets) pairs into batches (batch_size, context), several in a row where they fit.

    Each example goes into the fullest row that still has room for it, among at most `open_rows` unfinished
    rows (so memory stays bounded); when none has room the fullest row is sent on. Examples are never cut.
    The last batch may have fewer rows. Raises ValueError for an example longer than the context or of
    unequal ids and targets.

    >>> pairs = [(np.arange(n), np.arange(n)) for n in (3, 4, 2, 1)]
    >>> next(pack_examples(pairs, 2, 5))["segments"].tolist()
    [[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]
    """
    _check_context(context)
    if batch_size < 1 or open_rows < 1:
        raise ValueError(f"batch_size and open_rows must be at least 1, got {batch_size} and {open_rows}")
    rows: list[list[tuple[np.ndarray, np.ndarray]]] = []
    room: list[int] = []
    done: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for number, (ids, targets) in enumerate(examples):
        if len(ids) != len(targets) or not 0 < len(ids) <= context:
            raise ValueError(
                f"example {number} has {len(ids)} ids and {len(targets)} targets; expected as many of each, "
                f"between 1 and the context of {context}"
            )
        fitting = [row for row, free in enumerate(room) if free >= len(ids)]
        if fitting:
            row = min(fitting, key=room.__getitem__)
        else:
            if len(rows) == open_rows:
                fullest = min(range(len(room)), key=room.__getitem__)
                done.append(rows.pop(fullest))
                room.pop(fullest)
            row = len(rows)
            rows.append([])
            room.append(context)
        rows[row].append((ids, targets))
        room[row] -= len(ids)
        if room[row] == 0:
            done.append(rows.pop(row))
            room.pop(row)
        while len(done) >= batch_size:
            yield _rows_to_batch(done[:batch_size], context, pad_id)
            del done[:batch_size]
    done += rows
    for start in range(0, len(done), batch_size):
        yield _rows_to_batch(done[start : start + batch_size], context, pad_id)


def pad_documents(documents: Sequence[Sequence[int] | np.ndarray], pad_id: int = 0) -> Batch:
    """One document a row, padded on the right to the longest: ids, targets and a mask (True = real token).

    >>> batch = pad_documents([[5, 6, 7], [8, 9]])
    >>> batch["ids"].tolist(), batch["targets"].tolist(), batch["mask"].tolist()
    ([[5, 6, 7], [8, 9, 0]], [[6, 7, -100], [9, -100, -100]], [[True, True, True], [True, True, False]])
    """
    if not len(documents) or not all(len(document) for document in documents):
        raise ValueError("pad_documents needs at least one document and no empty ones")
    length = max(len(document) for document in documents)
    ids = np.full((len(documents), length), pad_id, dtype=np.int64)
    targets = np.full_like(ids, IGNORE)
    mask = np.zeros(ids.shape, dtype=bool)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = document
        targets[row, : len(document) - 1] = document[1:]
        mask[row, : len(document)] = True
    return {"ids": ids, "targets": targets, "mask": mask}


def _rows_to_batch(rows: list[list[tuple[np.ndarray, np.ndarray]]], context: int, pad_id: int) -> Batch:
    ids = np.full((len(rows), context), pad_id, dtype=np.int64)
    targets = np.full_like(ids, IGNORE)
    segments = np.full_like(ids, -1)
    for row, pieces in enumerate(rows):
        start = 0
        for number, (piece, wanted) in enumerate(pieces):
            end = start + len(piece)
            ids[row, start:end], targets[row, start:end], segments[row, start:end] = piece, wanted, number
            start = end
    return {"ids": ids, "targets": targets, "segments": segments}


def _check_context(context: int) -> None:
    if context < 1:
        raise ValueError(f"context must be at least 1, got {context}")
