"""Compiled version of `kernels.bpe_training`: the same heap and the same bookkeeping, on flat arrays.

Pairs are numbered as they come up; `table` finds the number of a pair of ids. A "list" is a linked list of the words
to revisit when its pair is merged: with ties of the `tokenizers` kind a pair gets a new list at every merge that
brings it up, with exact counts it has one list until it is merged itself. The heap holds lists.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

EMPTY = np.int32(-1)
LEFT, RIGHT, LIST = 0, 1, 2  # columns of `pairs`
PAIR, HEAD, STEP = 0, 1, 2  # columns of `lists`: the pair, the first node, the merge that last touched it
WORD, NEXT = 0, 1  # columns of `nodes`


def learn_merges(
    symbols, ends, counts, token_bytes, token_ends, reserved, new_tokens, min_frequency, lexicographic
):
    if symbols.dtype != np.int32 or token_bytes.dtype != np.uint8 or not ends.size == counts.size:
        raise ValueError("learn_merges: expected int32 symbols, uint8 token_bytes, and one count a word")
    for what, borders, size in (("ends", ends, symbols.size), ("token_ends", token_ends, token_bytes.size)):
        if borders.size and (borders[0] < 0 or borders[-1] > size or (np.diff(borders) < 0).any()):
            raise ValueError(f"learn_merges: {what} must increase from 0 to at most {size}")
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < token_ends.size:
        raise ValueError(f"learn_merges: symbols must lie in [0, {token_ends.size})")
    return _learn(
        symbols.copy(), ends.astype(np.int64), counts.astype(np.int64), token_bytes, token_ends.astype(np.int64),
        int(reserved), token_ends.size + int(new_tokens), max(1, int(min_frequency)), bool(lexicographic),
    )  # fmt: skip


@compiled
def _longer(array):
    """Twice the length, the same content at the front."""
    grown = np.empty(2 * array.size, array.dtype)
    grown[: array.size] = array
    return grown


@compiled
def _longer_rows(array):
    grown = np.empty((2 * array.shape[0], array.shape[1]), array.dtype)
    grown[: array.shape[0]] = array
    return grown


@compiled
def _place(table, pairs, left, right):
    """Where the pair stands in the table, or the empty place where it belongs."""
    value = (np.uint64(left) << np.uint64(32) | np.uint64(right)) * np.uint64(0x9E3779B97F4A7C15)
    mask = table.size - 1
    at = np.int64((value >> np.uint64(32)) & np.uint64(mask))
    while table[at] != EMPTY and (pairs[table[at], LEFT] != left or pairs[table[at], RIGHT] != right):
        at = (at + 1) & mask
    return at


@compiled
def _compare_tokens(tokens, token_ends, a, b):
    """-1, 0 or 1 as the bytes of token a are less than, equal to or greater than those of token b."""
    at_a = token_ends[a - 1] if a > 0 else 0
    at_b = token_ends[b - 1] if b > 0 else 0
    length_a, length_b = token_ends[a] - at_a, token_ends[b] - at_b
    for i in range(min(length_a, length_b)):
        if tokens[at_a + i] != tokens[at_b + i]:
            return -1 if tokens[at_a + i] < tokens[at_b + i] else 1
    return 0 if length_a == length_b else (-1 if length_a < length_b else 1)


@compiled
def _sooner(count, a, other_count, b, pairs, tokens, token_ends, lexicographic):
    """Is pair a, with its count, to be merged before pair b?"""
    if count != other_count:
        return count > other_count
    if a == b:
        return False
    if lexicographic:
        order = _compare_tokens(tokens, token_ends, pairs[a, LEFT], pairs[b, LEFT])
        if order == 0:
            order = _compare_tokens(tokens, token_ends, pairs[a, RIGHT], pairs[b, RIGHT])
        return order > 0
    if pairs[a, LEFT] != pairs[b, LEFT]:
        return pairs[a, LEFT] < pairs[b, LEFT]
    return pairs[a, RIGHT] < pairs[b, RIGHT]


@compiled
def _push(heap, size, count, which, lists, pairs, tokens, token_ends, lexicographic):
    """heap[i] = (count at the time, list)."""
    pair = lists[which, PAIR]
    i = size
    while i > 0:
        up = (i - 1) >> 1
        above = lists[heap[up, 1], PAIR]
        if not _sooner(count, pair, heap[up, 0], above, pairs, tokens, token_ends, lexicographic):
            break
        heap[i, 0], heap[i, 1] = heap[up, 0], heap[up, 1]
        i = up
    heap[i, 0], heap[i, 1] = count, which


@compiled
def _pop(heap, size, lists, pairs, tokens, token_ends, lexicographic):
    """Take away the first of `size` entries, after the caller has read it."""
    size -= 1
    count, which = heap[size, 0], heap[size, 1]
    pair = lists[which, PAIR]
    i = 0
    while 2 * i + 1 < size:
        down = 2 * i + 1
        below = lists[heap[down, 1], PAIR]
        if down + 1 < size:
            beside = lists[heap[down + 1, 1], PAIR]
            if _sooner(
                heap[down + 1, 0], beside, heap[down, 0], below, pairs, tokens, token_ends, lexicographic
            ):
                down, below = down + 1, beside
        if not _sooner(heap[down, 0], below, count, pair, pairs, tokens, token_ends, lexicographic):
            break
        heap[i, 0], heap[i, 1] = heap[down, 0], heap[down, 1]
        i = down
    heap[i, 0], heap[i, 1] = count, which


@compiled
def _token_place(table, tokens, token_ends, n):
    """Where the token numbered n stands in a table of tokens by their bytes, or the empty place for it."""
    start = token_ends[n - 1] if n > 0 else 0
    value = np.uint64(0xCBF29CE484222325)
    for i in range(start, token_ends[n]):
        value = (value ^ np.uint64(tokens[i])) * np.uint64(0x100000001B3)
    mask = table.size - 1
    at = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(mask))
    while table[at] != EMPTY and _compare_tokens(tokens, token_ends, table[at], n) != 0:
        at = (at + 1) & mask
    return at


@compiled
def _table_of_tokens(size, tokens, token_ends, n_tokens):
    table = np.full(size, EMPTY, np.int32)
    for n in range(n_tokens):
        if token_ends[n] > (token_ends[n - 1] if n > 0 else 0):  # special tokens that no bytes can spell are empty
            table[_token_place(table, tokens, token_ends, n)] = n
    return table


@compiled
def _learn(
    symbols, word_ends, word_counts, token_bytes, first_token_ends, reserved, goal, min_frequency, lexicographic
):
    n_words = word_ends.size
    starts = np.zeros(n_words, np.int64)
    starts[1:] = word_ends[:-1]
    lengths = word_ends - starts

    # The bytes of all tokens, and a table from bytes to id.
    n_tokens = first_token_ends.size
    tokens = np.empty(max(1024, 2 * token_bytes.size), np.uint8)
    tokens[: token_bytes.size] = token_bytes
    token_ends = np.empty(2 * n_tokens + 64, np.int64)
    token_ends[:n_tokens] = first_token_ends
    token_table = _table_of_tokens(4096, tokens, token_ends, n_tokens)

    table = np.full(1 << 12, EMPTY, np.int32)
    pairs = np.empty((1 << 10, 3), np.int32)
    pair_counts = np.empty(1 << 10, np.int64)
    lists = np.empty((1 << 10, 3), np.int32)
    nodes = np.empty((1 << 12, 2), np.int32)
    heap = np.empty((1 << 10, 2), np.int64)
    merges = np.empty((1 << 10, 3), np.int32)
    touched = np.empty(1 << 10, np.int32)
    n_pairs = n_lists = n_nodes = n_heap = n_merges = n_touched = 0

    # Step 0 counts the pairs of the whole text; step s > 0 makes merge s. Both walk over words; the words of step 0
    # are all of them, those of a merge are the nodes of its pair's list.
    left = right = result = EMPTY
    node = EMPTY
    step = 0
    while True:
        w = -1
        n_touched = 0
        while True:
            if step == 0:
                w += 1
                if w == n_words:
                    break
            else:
                if node == EMPTY:
                    break
                w = nodes[node, WORD]
                node = nodes[node, NEXT]
            length, start, count = lengths[w], starts[w], word_counts[w]
            # Room for everything this word can add.
            room = 2 * length
            while n_pairs + room > pair_counts.size:
                pairs, pair_counts = _longer_rows(pairs), _longer(pair_counts)
            while n_lists + room > lists.shape[0]:
                lists = _longer_rows(lists)
            while n_nodes + room > nodes.shape[0]:
                nodes = _longer_rows(nodes)
            while n_touched + room > touched.size:
                touched = _longer(touched)
            if 2 * (n_pairs + room) > table.size:
                size = table.size
                while 2 * (n_pairs + room) > size:
                    size *= 2
                table = np.full(size, EMPTY, np.int32)
                for p in range(n_pairs):
                    table[_place(table, pairs, pairs[p, LEFT], pairs[p, RIGHT])] = p

            read = written = 0
            while read < length:
                symbol = symbols[start + read]
                joined = step > 0 and symbol == left and read + 1 < length and symbols[start + read + 1] == right
                if not joined and step > 0:
                    symbols[start + written] = symbol
                    written += 1
                    read += 1
                    continue
                # Pairs that come: (previous, result) and (result, following) of a merge; (symbol, following) in step 0.
                following = symbols[start + read + 2] if step > 0 and read + 2 < length else EMPTY
                previous = symbols[start + written - 1] if step > 0 and written > 0 else EMPTY
                if step == 0 and read + 1 < length:
                    following = symbols[start + read + 1]
                if previous != EMPTY:
                    pair_counts[table[_place(table, pairs, previous, left)]] -= count
                if step > 0 and following != EMPTY:
                    pair_counts[table[_place(table, pairs, right, following)]] -= count
                if joined and lexicographic:
                    pair_counts[table[_place(table, pairs, left, right)]] -= count
                new_symbol = result if joined else symbol
                for side in range(2):
                    a = previous if side == 0 else new_symbol
                    b = new_symbol if side == 0 else following
                    if a == EMPTY or b == EMPTY:
                        continue
                    place = _place(table, pairs, a, b)
                    p = table[place]
                    if p == EMPTY:
                        p = n_pairs
                        n_pairs += 1
                        table[place] = p
                        pairs[p, LEFT], pairs[p, RIGHT], pairs[p, LIST] = a, b, EMPTY
                        pair_counts[p] = 0
                    pair_counts[p] += count
                    which = pairs[p, LIST]
                    if which == EMPTY or (not lexicographic and lists[which, STEP] != step):
                        which = n_lists
                        n_lists += 1
                        lists[which, PAIR], lists[which, HEAD], lists[which, STEP] = p, EMPTY, EMPTY
                        pairs[p, LIST] = which
                    if lists[which, STEP] != step:
                        lists[which, STEP] = step
                        touched[n_touched] = which
                        n_touched += 1
                    head = lists[which, HEAD]
                    if head == EMPTY or nodes[head, WORD] != w:
                        nodes[n_nodes, WORD], nodes[n_nodes, NEXT] = w, head
                        lists[which, HEAD] = n_nodes
                        n_nodes += 1
                symbols[start + written] = new_symbol
                written += 1
                read += 2 if joined else 1
            lengths[w] = written

        while n_heap + n_touched + 1 > heap.shape[0]:
            heap = _longer_rows(heap)
        for k in range(n_touched):
            which = touched[k]
            count = pair_counts[lists[which, PAIR]]
            if count > 0:
                _push(heap, n_heap, count, which, lists, pairs, tokens, token_ends, lexicographic)
                n_heap += 1

        # The next pair.
        found = False
        while n_heap > 0 and n_tokens < goal:
            count, which = heap[0, 0], heap[0, 1]
            p = lists[which, PAIR]
            if count == pair_counts[p] and count < min_frequency:
                break
            _pop(heap, n_heap, lists, pairs, tokens, token_ends, lexicographic)
            n_heap -= 1
            if lexicographic and pairs[p, LIST] != which:
                continue  # merged already
            if count != pair_counts[p]:  # out of date: back in line with today's count
                _push(heap, n_heap, pair_counts[p], which, lists, pairs, tokens, token_ends, lexicographic)
                n_heap += 1
                continue
            left, right = pairs[p, LEFT], pairs[p, RIGHT]
            # Spell the new token behind the others and see whether it exists.
            begin = token_ends[n_tokens - 1] if n_tokens > 0 else 0
            at_left = token_ends[left - 1] if left > 0 else 0
            at_right = token_ends[right - 1] if right > 0 else 0
            size_left, size_right = token_ends[left] - at_left, token_ends[right] - at_right
            while begin + size_left + size_right > tokens.size:
                tokens = _longer(tokens)
            if n_tokens + 1 > token_ends.size:
                token_ends = _longer(token_ends)
            for i in range(size_left):
                tokens[begin + i] = tokens[at_left + i]
            for i in range(size_right):
                tokens[begin + size_left + i] = tokens[at_right + i]
            token_ends[n_tokens] = begin + size_left + size_right
            place = _token_place(token_table, tokens, token_ends, n_tokens)
            result = token_table[place]
            if result == EMPTY:
                result = np.int32(n_tokens)
                token_table[place] = result
                n_tokens += 1
                if 2 * n_tokens > token_table.size:
                    token_table = _table_of_tokens(2 * token_table.size, tokens, token_ends, n_tokens)
            elif result < reserved:
                continue  # spells a special token
            node = lists[which, HEAD]
            if lexicographic:
                pairs[p, LIST] = EMPTY
            found = True
            break
        if not found:
            return merges[:n_merges].copy()
        step += 1
        if n_merges == merges.shape[0]:
            merges = _longer_rows(merges)
        merges[n_merges, 0], merges[n_merges, 1], merges[n_merges, 2] = left, right, result
        n_merges += 1
