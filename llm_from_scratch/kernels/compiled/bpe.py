"""Compiled versions of `kernels.bpe`: scan short words, keep the pairs of long ones in a heap."""

from __future__ import annotations

import functools

import numpy as np

from ..dispatch import compiled

HASH_LEFT, HASH_RIGHT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
HASH_SHIFT = np.uint64(32)

# Up to this many symbols, looking at every pair after each merge is faster than a heap.
SHORT = 48
NEVER = np.int32(0x7FFFFFFF)


def _lengths(ends, size, name):
    """The lengths of the words that end there, checked. (np.diff would cost more than a short text's merges.)"""
    lengths = ends.copy()
    lengths[1:] -= ends[:-1]
    if ends.size and (lengths.min() < 0 or ends[-1] > size):
        raise ValueError(f"{name}: ends must increase from 0 to at most {size}")
    return lengths


@functools.lru_cache(4)
def _row_numbers(count):
    return np.arange(count, dtype=np.int32)


def merge_words(symbols, ends, merges, table):
    """Pairs are ranked by their place in the list."""
    return _merge("merge_words", symbols, ends, merges, _row_numbers(len(merges)), table)


def merge_ranked(symbols, ends, merges, ranks, table):
    if ranks.dtype != np.int32 or ranks.shape != (len(merges),):
        raise ValueError(f"merge_ranked: expected a rank (int32) for each of {len(merges)} merges")
    if ranks.size and not 0 <= ranks.min() <= ranks.max() < NEVER:
        raise ValueError(f"merge_ranked: ranks must lie in [0, {NEVER})")
    return _merge("merge_ranked", symbols, ends, merges, ranks, table)


def _merge(name, symbols, ends, merges, ranks, table):
    if symbols.dtype != np.int32 or ends.dtype != np.int64 or merges.dtype != np.int32 or table.dtype != np.int32:
        raise ValueError(f"{name}: symbols, merges and table must be int32, ends int64")
    lengths = _lengths(ends, symbols.size, name)
    if merges.ndim != 2 or merges.shape[1] != 3 or table.size & (table.size - 1) or table.size <= len(merges):
        raise ValueError(f"{name}: expected merges (m, 3) and the table that merge_table makes of them")
    ids = np.empty(int(ends[-1]) if ends.size else 0, np.int32)
    new_ends = np.empty(ends.size, np.int64)
    longest = int(lengths.max(initial=0))
    used = _merge_words(symbols, ends, merges, ranks, table, ids, new_ends, longest)
    return ids[:used].copy(), new_ends


@compiled
def _row(table, merges, left, right):
    """The place of a pair in the list of merges, or NEVER."""
    value = np.uint64(left) * HASH_LEFT + np.uint64(right) * HASH_RIGHT
    mask = table.size - 1
    place = np.int64((value ^ (value >> HASH_SHIFT)) & np.uint64(mask))
    while True:
        row = table[place]
        if row < 0 or row >= merges.shape[0]:
            return NEVER
        if merges[row, 0] == left and merges[row, 1] == right:
            return row
        place = (place + 1) & mask


@compiled
def _rank_of(table, merges, ranks, left, right):
    row = _row(table, merges, left, right)
    return NEVER if row == NEVER else ranks[row]


@compiled
def _merge_words(symbols, ends, merges, ranks, table, ids, new_ends, longest):
    waiting = np.empty(SHORT, np.int32)
    before = np.empty(longest if longest > SHORT else 0, np.int64)
    after = np.empty(before.size, np.int64)
    heap = np.empty(3 * before.size, np.int64)
    used = 0
    start = 0
    for w in range(ends.size):
        end = ends[w]
        length = end - start
        word = ids[used : used + length]
        for i in range(length):
            word[i] = symbols[start + i]
        if length <= SHORT:
            used += _merge_short(word, length, waiting, merges, ranks, table)
        else:
            used += _merge_long(word, length, before, after, heap, merges, ranks, table)
        new_ends[w] = used
        start = end
    return used


@compiled
def _merge_short(word, length, waiting, merges, ranks, table):
    """Merge in place; the number of symbols left. waiting[i] is the rank of the pair (i, i + 1)."""
    for i in range(length - 1):
        waiting[i] = _rank_of(table, merges, ranks, word[i], word[i + 1])
    while length > 1:
        at = 0
        for i in range(1, length - 1):
            if waiting[i] < waiting[at]:
                at = i
        if waiting[at] == NEVER:
            break
        word[at] = merges[_row(table, merges, word[at], word[at + 1]), 2]
        length -= 1
        for i in range(at + 1, length):
            word[i] = word[i + 1]
        for i in range(at + 1, length - 1):
            waiting[i] = waiting[i + 1]
        if at > 0:
            waiting[at - 1] = _rank_of(table, merges, ranks, word[at - 1], word[at])
        if at < length - 1:
            waiting[at] = _rank_of(table, merges, ranks, word[at], word[at + 1])
    return length


@compiled
def _push(heap, size, entry):
    i = size
    while i > 0 and heap[(i - 1) >> 1] > entry:
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    heap[i] = entry


@compiled
def _pop(heap, size):
    """Remove the smallest of `size` entries and return it."""
    top = heap[0]
    last = heap[size - 1]
    size -= 1
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= last:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = last
    return top


@compiled
def _merge_long(word, length, before, after, heap, merges, ranks, table):
    """A linked list of symbols and a heap of rank * 2^32 + position; entries that no longer hold are skipped."""
    size = np.int64(0)
    for i in range(length):
        before[i] = i - 1
        after[i] = i + 1
        if i + 1 < length:
            rank = _rank_of(table, merges, ranks, word[i], word[i + 1])
            if rank != NEVER:
                _push(heap, size, np.int64(rank) << 32 | np.int64(i))
                size += 1
    while size > 0:
        entry = _pop(heap, size)
        size -= 1
        i = entry & 0xFFFFFFFF
        j = after[i]
        # A removed symbol is marked by -1. A pair that came later and has the same rank is as good as the one meant.
        if word[i] < 0 or j >= length:
            continue
        row = _row(table, merges, word[i], word[j])
        if row == NEVER or np.int64(ranks[row]) != entry >> 32:
            continue
        word[i] = merges[row, 2]
        word[j] = -1
        k = after[j]
        after[i] = k
        if k < length:
            before[k] = i
            rank = _rank_of(table, merges, ranks, word[i], word[k])
            if rank != NEVER:
                _push(heap, size, np.int64(rank) << 32 | np.int64(i))
                size += 1
        h = before[i]
        if h >= 0:
            rank = _rank_of(table, merges, ranks, word[h], word[i])
            if rank != NEVER:
                _push(heap, size, np.int64(rank) << 32 | h)
                size += 1
    left = 0
    for i in range(length):
        if word[i] >= 0:
            word[left] = word[i]
            left += 1
    return left


def gather_words(ids, ends, which):
    if ids.dtype != np.int32 or ends.dtype != np.int64 or which.dtype != np.int32:
        raise ValueError("gather_words: ids and which must be int32, ends int64")
    lengths = _lengths(ends, ids.size, "gather_words")
    if which.size and (which.min() < 0 or which.max() >= ends.size):
        raise ValueError(f"gather_words: numbers of words must lie in [0, {ends.size})")
    result = np.empty(int(lengths[which].sum()) if which.size else 0, np.int32)
    _gather_words(ids, ends, which, result)
    return result


@compiled
def _gather_words(ids, ends, which, result):
    used = 0
    for n in range(which.size):
        w = which[n]
        for i in range(ends[w - 1] if w > 0 else 0, ends[w]):
            result[used] = ids[i]
            used += 1
