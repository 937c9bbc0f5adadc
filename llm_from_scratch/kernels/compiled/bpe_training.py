"""Compiled version of `kernels.bpe_training`: the same heap and the same bookkeeping, on flat arrays of int64.

Pairs are numbered as they come up: `keys` holds left * 2^32 + right, and `table` finds the number of a key. A "list"
is a linked list of the words to revisit when its pair is merged: with ties of the `tokenizers` kind a pair gets a new
list at every merge that brings it up; with exact counts it has one list until it is merged itself. The heap holds
lists. Everything is int64, so that each helper is compiled once.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

NONE = np.int64(-1)


def learn_merges(symbols, ends, counts, token_bytes, token_ends, reserved, new_tokens, min_frequency, lexicographic):
    if symbols.dtype != np.int32 or token_bytes.dtype != np.uint8 or ends.size != counts.size:
        raise ValueError("learn_merges: expected int32 symbols, uint8 token_bytes, and one count a word")
    for what, borders, size in (("ends", ends, symbols.size), ("token_ends", token_ends, token_bytes.size)):
        if borders.size and (borders[0] < 0 or borders[-1] > size or (np.diff(borders) < 0).any()):
            raise ValueError(f"learn_merges: {what} must increase from 0 to at most {size}")
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < token_ends.size:
        raise ValueError(f"learn_merges: symbols must lie in [0, {token_ends.size})")
    # borders[i] is where word i begins, borders[i + 1] where it ends; likewise for the bytes of tokens.
    borders = np.concatenate(([0], ends)).astype(np.int64)
    token_borders = np.zeros(2 * token_ends.size + 64, np.int64)
    token_borders[1 : token_ends.size + 1] = token_ends
    tokens = np.zeros(2 * token_bytes.size + 1024, np.uint8)
    tokens[: token_bytes.size] = token_bytes
    return _learn(
        symbols.astype(np.int64),
        borders,
        counts.astype(np.int64),
        tokens,
        token_borders,
        token_ends.size,
        int(reserved),
        token_ends.size + int(new_tokens),
        max(1, int(min_frequency)),
        bool(lexicographic),
    )


@compiled
def _longer(array):
    """Twice the length, the same content at the front."""
    grown = np.empty(2 * array.size, array.dtype)
    for i in range(array.size):
        grown[i] = array[i]
    return grown


@compiled
def _place(table, keys, key):
    """Where the pair stands in the table, or the empty place where it belongs."""
    value = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    mask = table.size - 1
    at = np.int64(value >> np.uint64(32)) & mask
    while table[at] != NONE and keys[table[at]] != key:
        at = (at + 1) & mask
    return at


@compiled
def _compare_tokens(tokens, borders, a, b):
    """Below, equal to or above 0 as the bytes of token a are less than, equal to or greater than those of b."""
    length_a, length_b = borders[a + 1] - borders[a], borders[b + 1] - borders[b]
    for i in range(min(length_a, length_b)):
        difference = np.int64(tokens[borders[a] + i]) - np.int64(tokens[borders[b] + i])
        if difference != 0:
            return difference
    return length_a - length_b


@compiled
def _sooner(count, key, other_count, other_key, tokens, borders, lexicographic):
    """Is the pair `key`, with its count, to be merged before the other?"""
    if count != other_count:
        return count > other_count
    if lexicographic and key != other_key:
        order = _compare_tokens(tokens, borders, key >> 32, other_key >> 32)
        if order == 0:
            order = _compare_tokens(tokens, borders, key & 0xFFFFFFFF, other_key & 0xFFFFFFFF)
        return order > 0
    return key < other_key


@compiled
def _push(heap_counts, heap_lists, size, count, which, list_keys, tokens, borders, lexicographic):
    """Add (count at this time, list) to a heap of `size` entries."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        above = list_keys[heap_lists[up]]
        if not _sooner(count, list_keys[which], heap_counts[up], above, tokens, borders, lexicographic):
            break
        heap_counts[i], heap_lists[i] = heap_counts[up], heap_lists[up]
        i = up
    heap_counts[i], heap_lists[i] = count, which


@compiled
def _pop(heap_counts, heap_lists, size, list_keys, tokens, borders, lexicographic):
    """Take away the first of `size` entries, after the caller has read it."""
    size -= 1
    count, which = heap_counts[size], heap_lists[size]
    i = np.int64(0)
    while 2 * i + 1 < size:
        # First the sooner of the two below, then that one against the entry on its way down.
        down = 2 * i + 1
        for challenger in (2 * i + 2, size):
            if challenger < size:
                if _sooner(
                    heap_counts[challenger], list_keys[heap_lists[challenger]],
                    heap_counts[down], list_keys[heap_lists[down]], tokens, borders, lexicographic,
                ):  # fmt: skip
                    down = challenger
        below = list_keys[heap_lists[down]]
        if not _sooner(heap_counts[down], below, count, list_keys[which], tokens, borders, lexicographic):
            break
        heap_counts[i], heap_lists[i] = heap_counts[down], heap_lists[down]
        i = down
    heap_counts[i], heap_lists[i] = count, which


@compiled
def _token_place(table, tokens, borders, n):
    """Where the token numbered n stands in a table of tokens by their bytes, or the empty place for it."""
    value = np.uint64(0xCBF29CE484222325)
    for i in range(borders[n], borders[n + 1]):
        value = (value ^ np.uint64(tokens[i])) * np.uint64(0x100000001B3)
    mask = table.size - 1
    at = np.int64(value >> np.uint64(32)) & mask
    while table[at] != NONE and _compare_tokens(tokens, borders, table[at], n) != 0:
        at = (at + 1) & mask
    return at


@compiled
def _table_of_tokens(size, tokens, borders, n_tokens):
    table = np.full(size, NONE)
    for n in range(n_tokens):
        if borders[n + 1] > borders[n]:  # special tokens that no bytes can spell are empty
            table[_token_place(table, tokens, borders, np.int64(n))] = n
    return table


@compiled
def _table_of_pairs(size, keys, n_pairs):
    table = np.full(size, NONE)
    for p in range(n_pairs):
        table[_place(table, keys, keys[p])] = p
    return table


@compiled
def _learn(symbols, starts, word_counts, tokens, borders, n_tokens, reserved, goal, min_frequency, lexicographic):
    n_words = word_counts.size
    lengths = starts[1:] - starts[:-1]
    token_table = _table_of_tokens(4096, tokens, borders, n_tokens)
    # Pairs: key, how often it occurs, its list.
    table = np.full(1 << 12, NONE)
    keys, pair_counts, pair_lists = (
        np.empty(1 << 11, np.int64),
        np.empty(1 << 11, np.int64),
        np.empty(1 << 11, np.int64),
    )
    # Lists: the key of the pair, its number, the first node, the step that last touched it. Nodes: word, next node.
    list_keys, list_pairs = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    list_heads, list_steps = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    node_words, node_nexts = np.empty(1 << 12, np.int64), np.empty(1 << 12, np.int64)
    heap_counts, heap_lists = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    touched = np.empty(1 << 11, np.int64)
    merges = np.empty(1 << 10, np.int64)  # keys
    results = np.empty(1 << 10, np.int64)
    n_pairs = n_lists = n_nodes = n_heap = n_merges = 0

    # Step 0 counts the pairs of the whole text; step s > 0 makes merge s. Both walk over words: step 0 over all of
    # them, a merge over the nodes of its pair's list.
    left = right = result = node = NONE
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
                if node == NONE:
                    break
                w = node_words[node]
                node = node_nexts[node]
            length, start, count = lengths[w], starts[w], word_counts[w]
            room = 2 * length  # for everything this word can add
            while n_pairs + room > keys.size:
                keys, pair_counts, pair_lists = _longer(keys), _longer(pair_counts), _longer(pair_lists)
            while n_lists + room > list_keys.size:
                list_keys, list_pairs = _longer(list_keys), _longer(list_pairs)
                list_heads, list_steps = _longer(list_heads), _longer(list_steps)
            while n_nodes + room > node_words.size:
                node_words, node_nexts = _longer(node_words), _longer(node_nexts)
            while n_touched + room > touched.size:
                touched = _longer(touched)
            if 2 * keys.size > table.size:
                table = _table_of_pairs(2 * keys.size, keys, n_pairs)

            read = written = 0
            while read < length:
                symbol = symbols[start + read]
                # The symbols around what comes: at step 0 a pair (symbol, following), else (previous, result) and
                # (result, following).
                previous = following = NONE
                taken = 1
                if step == 0:
                    if read + 1 < length:
                        following = symbols[start + read + 1]
                elif symbol == left and read + 1 < length and symbols[start + read + 1] == right:
                    taken = 2
                    symbol = result
                    if written > 0:
                        previous = symbols[start + written - 1]
                    if read + 2 < length:
                        following = symbols[start + read + 2]
                    for gone in range(3):
                        if gone == 0 and previous != NONE:
                            key = previous << 32 | left
                        elif gone == 1 and following != NONE:
                            key = right << 32 | following
                        elif gone == 2 and lexicographic:
                            key = left << 32 | right
                        else:
                            continue
                        pair_counts[table[_place(table, keys, key)]] -= count
                for come in range(2):
                    if come == 0 and previous != NONE:
                        key = previous << 32 | symbol
                    elif come == 1 and following != NONE:
                        key = symbol << 32 | following
                    else:
                        continue
                    place = _place(table, keys, key)
                    p = table[place]
                    if p == NONE:
                        p = n_pairs
                        n_pairs += 1
                        table[place] = p
                        keys[p], pair_counts[p], pair_lists[p] = key, 0, NONE
                    pair_counts[p] += count
                    which = pair_lists[p]
                    if which == NONE or (not lexicographic and list_steps[which] != step):
                        which = n_lists
                        n_lists += 1
                        list_keys[which], list_pairs[which] = key, p
                        list_heads[which], list_steps[which] = NONE, NONE
                        pair_lists[p] = which
                    if list_steps[which] != step:
                        list_steps[which] = step
                        touched[n_touched] = which
                        n_touched += 1
                    head = list_heads[which]
                    if head == NONE or node_words[head] != w:
                        node_words[n_nodes], node_nexts[n_nodes] = w, head
                        list_heads[which] = n_nodes
                        n_nodes += 1
                symbols[start + written] = symbol
                written += 1
                read += taken
            lengths[w] = written

        # Put the lists that were touched on the heap, and look for the next pair. An entry whose count is out of
        # date goes back in line with today's count (`again`).
        again = NONE
        k = 0
        while True:
            if k < n_touched or again != NONE:
                which = again
                if again == NONE:
                    which = touched[k]
                    k += 1
                count = pair_counts[list_pairs[which]]
                if count > 0 or again != NONE:
                    if n_heap == heap_counts.size:
                        heap_counts, heap_lists = _longer(heap_counts), _longer(heap_lists)
                    _push(heap_counts, heap_lists, n_heap, count, which, list_keys, tokens, borders, lexicographic)
                    n_heap += 1
                again = NONE
                continue
            if n_heap == 0 or n_tokens >= goal:
                break
            count, which = heap_counts[0], heap_lists[0]
            p = list_pairs[which]
            if count == pair_counts[p] and count < min_frequency:
                break
            _pop(heap_counts, heap_lists, n_heap, list_keys, tokens, borders, lexicographic)
            n_heap -= 1
            if lexicographic and pair_lists[p] != which:
                continue  # merged already
            if count != pair_counts[p]:
                again = which
                continue
            left, right = keys[p] >> 32, keys[p] & 0xFFFFFFFF
            # Spell the new token behind the others and see whether it exists.
            begin = borders[n_tokens]
            size = borders[left + 1] - borders[left] + borders[right + 1] - borders[right]
            while begin + size > tokens.size:
                tokens = _longer(tokens)
            if n_tokens + 2 > borders.size:
                borders = _longer(borders)
            end = begin
            for part in (left, right):
                for i in range(borders[part], borders[part + 1]):
                    tokens[end] = tokens[i]
                    end += 1
            borders[n_tokens + 1] = end
            place = _token_place(token_table, tokens, borders, n_tokens)
            result = token_table[place]
            if result == NONE:
                result = n_tokens
                token_table[place] = result
                n_tokens += 1
                if 2 * n_tokens > token_table.size:
                    token_table = _table_of_tokens(2 * token_table.size, tokens, borders, n_tokens)
            elif result < reserved:
                continue  # spells a special token
            if n_merges == merges.size:
                merges, results = _longer(merges), _longer(results)
            merges[n_merges], results[n_merges] = keys[p], result
            n_merges += 1
            node = list_heads[which]
            if lexicographic:
                pair_lists[p] = NONE
            break
        if n_merges == step:  # none was found
            break
        step += 1
    learnt = np.empty((n_merges, 3), np.int32)
    for k in range(n_merges):
        learnt[k, 0], learnt[k, 1], learnt[k, 2] = merges[k] >> 32, merges[k] & 0xFFFFFFFF, results[k]
    return learnt
