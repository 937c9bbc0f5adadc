"""Compiled version of `kernels.bpe_training`: the same heap and the same bookkeeping, on flat arrays.

Pairs are numbered as they come up: `keys` holds left * 2^32 + right, `table` finds the number of a key. The symbols of
a word are linked (`after`, `before`), and so are the places where a pair stands, from left to right (`heads`, `tails`
of each pair, `following`, `preceding` of each place). A place is where a pair's left symbol stands: it belongs to one
pair at a time, and a merge touches nothing but the places of its pair and their neighbours.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

NONE = np.int64(-1)


# Which of equally frequent pairs goes first: see the twins.
BY_ID, LEXICOGRAPHIC, SHORTEST = 0, 1, 2
NO_LIMIT = 1 << 62


def learn_merges(symbols, ends, counts, token_bytes, token_ends, reserved, new_tokens, min_frequency, lexicographic):
    arrays = _checked("learn_merges", symbols, ends, counts, token_bytes, token_ends)
    order = LEXICOGRAPHIC if lexicographic else BY_ID
    return _learn(*arrays, int(reserved), int(new_tokens), max(1, int(min_frequency)), order, NO_LIMIT)


def learn_pieces(symbols, ends, counts, token_bytes, token_ends, new_tokens, min_frequency, longest):
    arrays = _checked("learn_pieces", symbols, ends, counts, token_bytes, token_ends)
    return _learn(*arrays, 0, int(new_tokens), max(1, int(min_frequency)), SHORTEST, int(longest))


def _checked(name, symbols, ends, counts, token_bytes, token_ends):
    if symbols.size >= 2**31:
        raise ValueError(
            f"{name}: the distinct words have {symbols.size:,} symbols, at most {2**31 - 1:,} can be linked"
        )
    if symbols.dtype != np.int32 or token_bytes.dtype != np.uint8 or ends.size != counts.size:
        raise ValueError(f"{name}: expected int32 symbols, uint8 token_bytes, and one count a word")
    for what, borders, size in (("ends", ends, symbols.size), ("token_ends", token_ends, token_bytes.size)):
        if borders.size and (borders[0] < 0 or borders[-1] > size or (np.diff(borders) < 0).any()):
            raise ValueError(f"{name}: {what} must increase from 0 to at most {size}")
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < token_ends.size:
        raise ValueError(f"{name}: symbols must lie in [0, {token_ends.size})")
    # borders[i] is where word i begins, borders[i + 1] where it ends; likewise for the bytes of tokens.
    borders = np.concatenate(([0], ends)).astype(np.int64)
    token_borders = np.zeros(2 * token_ends.size + 64, np.int64)
    token_borders[1 : token_ends.size + 1] = token_ends
    tokens = np.zeros(2 * token_bytes.size + 1024, np.uint8)
    tokens[: token_bytes.size] = token_bytes
    return symbols.astype(np.int64), borders, counts.astype(np.int64), tokens, token_borders, token_ends.size


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
def _characters(tokens, borders, key):
    """How many characters the pair spells: bytes that do not continue one."""
    length = np.int64(0)
    for part in (key >> 32, key & 0xFFFFFFFF):
        for i in range(borders[part], borders[part + 1]):
            if tokens[i] & 0xC0 != 0x80:
                length += 1
    return length


@compiled
def _is_piece(tokens, borders, key, longest):
    """May a piece be this long, and does it hold at most one "▁" (bytes E2 96 81), or nothing else?"""
    length, spaces = np.int64(0), np.int64(0)
    for part in (key >> 32, key & 0xFFFFFFFF):
        for i in range(borders[part], borders[part + 1]):
            if tokens[i] & 0xC0 != 0x80:
                length += 1
            if tokens[i] == 0x81 and i >= borders[part] + 2 and tokens[i - 1] == 0x96 and tokens[i - 2] == 0xE2:
                spaces += 1
    return length <= longest and (spaces <= 1 or spaces == length)


@compiled
def _byte_of_pair(tokens, borders, key, i):
    """Byte i of what the pair spells, or -1 behind its end."""
    left, right = key >> 32, key & 0xFFFFFFFF
    length = borders[left + 1] - borders[left]
    if i < length:
        return np.int64(tokens[borders[left] + i])
    i -= length
    return np.int64(tokens[borders[right] + i]) if i < borders[right + 1] - borders[right] else NONE


@compiled
def _sooner(count, key, other_count, other_key, tokens, borders, rule):
    """Is the pair `key`, with its count, to be merged before the other?"""
    if count != other_count:
        return count > other_count
    if rule == LEXICOGRAPHIC and key != other_key:
        order = _compare_tokens(tokens, borders, key >> 32, other_key >> 32)
        if order == 0:
            order = _compare_tokens(tokens, borders, key & 0xFFFFFFFF, other_key & 0xFFFFFFFF)
        return order > 0
    if rule == SHORTEST and key != other_key:
        longer = _characters(tokens, borders, key) - _characters(tokens, borders, other_key)
        if longer != 0:
            return longer < 0
        i = np.int64(0)
        here = there = np.int64(0)
        while here == there and here != NONE:
            here, there = _byte_of_pair(tokens, borders, key, i), _byte_of_pair(tokens, borders, other_key, i)
            i += 1
        if here != there:
            return here < there
    return key < other_key


@compiled
def _push(heap_counts, heap_pairs, size, count, pair, keys, tokens, borders, rule):
    """Add (count at this time, pair) to a heap of `size` entries."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        above = keys[heap_pairs[up]]
        if not _sooner(count, keys[pair], heap_counts[up], above, tokens, borders, rule):
            break
        heap_counts[i], heap_pairs[i] = heap_counts[up], heap_pairs[up]
        i = up
    heap_counts[i], heap_pairs[i] = count, pair


@compiled
def _pop(heap_counts, heap_pairs, size, keys, tokens, borders, rule):
    """Take away the first of `size` entries, after the caller has read it."""
    size -= 1
    count, pair = heap_counts[size], heap_pairs[size]
    i = np.int64(0)
    while 2 * i + 1 < size:
        down = 2 * i + 1
        below = keys[heap_pairs[down]]
        if down + 1 < size:
            beside = keys[heap_pairs[down + 1]]
            if _sooner(heap_counts[down + 1], beside, heap_counts[down], below, tokens, borders, rule):
                down, below = down + 1, beside
        if not _sooner(heap_counts[down], below, count, keys[pair], tokens, borders, rule):
            break
        heap_counts[i], heap_pairs[i] = heap_counts[down], heap_pairs[down]
        i = down
    heap_counts[i], heap_pairs[i] = count, pair


@compiled
def _table_of_pairs(size, keys, n_pairs):
    table = np.full(size, NONE)
    for p in range(n_pairs):
        table[_place(table, keys, keys[p])] = p
    return table


@compiled
def _is_reserved(n, reserved, tokens, borders):
    """Does token n spell one of the first `reserved` tokens?"""
    for special in range(reserved):
        if _compare_tokens(tokens, borders, np.int64(special), n) == 0:
            return True
    return False


@compiled
def _arrive(place, pair, heads, tails, following, preceding):
    """`place` joins the places of a pair, which all lie to the left of it."""
    last = tails[pair]
    following[place], preceding[place] = NONE, last
    if last == NONE:
        heads[pair] = place
    else:
        following[last] = place
    tails[pair] = place


@compiled
def _leave(place, pair, heads, tails, following, preceding):
    """`place` leaves the places of a pair."""
    left, right = np.int64(preceding[place]), np.int64(following[place])
    if left == NONE:
        heads[pair] = right
    else:
        following[left] = right
    if right == NONE:
        tails[pair] = left
    else:
        preceding[right] = left


@compiled
def _learn(symbols, starts, word_counts, tokens, borders, n_tokens, reserved, new_tokens, min_frequency, rule, longest):
    size = starts[starts.size - 1]
    after, before = np.full(size, NONE, np.int32), np.full(size, NONE, np.int32)
    following, preceding = np.full(size, NONE, np.int32), np.full(size, NONE, np.int32)
    weights = np.empty(size, np.int64)
    for w in range(word_counts.size):
        for i in range(starts[w], starts[w + 1]):
            weights[i] = word_counts[w]
            if i > starts[w]:
                after[i - 1], before[i] = i, i - 1
    table = np.full(1 << 12, NONE)
    keys, pair_counts = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    heads, tails = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    heap_counts, heap_pairs = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    merges = np.empty((new_tokens if new_tokens < 1 << 20 else 1 << 20, 3), np.int32)
    n_pairs = n_heap = n_merges = 0

    # Round 0 counts the pairs of the whole text, every later round makes a merge. All walk from place to place: round 0
    # over all of them, a merge over those of its pair.
    left = right = new = pair = NONE
    first_round = True
    i = NONE
    while True:
        known = n_pairs  # the pairs from here on come up in this round
        while True:
            if first_round:
                i += 1
                if i == size:
                    break
                if after[i] == NONE:
                    continue
            else:
                i = heads[pair]
                if i == NONE:
                    break
                _leave(i, pair, heads, tails, following, preceding)
            # What comes: at first the pair that begins here, later (previous, new) and (new, next).
            previous = here = NONE
            if first_round:
                here = symbols[i] << 32 | symbols[after[i]]
            else:
                taken = after[i]
                if before[i] != NONE:
                    o = before[i]
                    p = table[_place(table, keys, symbols[o] << 32 | left)]
                    pair_counts[p] -= weights[i]
                    _leave(o, p, heads, tails, following, preceding)
                    previous = symbols[o] << 32 | new
                symbols[i] = new
                after[i] = after[taken]
                if after[i] != NONE:
                    before[after[i]] = i
                    p = table[_place(table, keys, right << 32 | symbols[after[i]])]
                    pair_counts[p] -= weights[i]
                    _leave(taken, p, heads, tails, following, preceding)
                    here = new << 32 | symbols[after[i]]
            for side in range(2):
                key = previous if side == 0 else here
                if key == NONE:
                    continue
                place = _place(table, keys, key)
                p = table[place]
                if p == NONE:
                    if n_pairs == keys.size:
                        keys, pair_counts = _longer(keys), _longer(pair_counts)
                        heads, tails = _longer(heads), _longer(tails)
                        table = _table_of_pairs(2 * keys.size, keys, n_pairs)
                        place = _place(table, keys, key)
                    p = n_pairs
                    n_pairs += 1
                    table[place] = p
                    keys[p], pair_counts[p], heads[p], tails[p] = key, 0, NONE, NONE
                pair_counts[p] += weights[i]
                _arrive(np.int64(before[i]) if side == 0 else i, p, heads, tails, following, preceding)

        # New pairs join the heap; then the first entry whose count is today's is the next merge. One that is out of
        # date goes back in line with today's count.
        first_round = False
        pushed = NONE
        while True:
            if known < n_pairs:
                pushed = known
                known += 1
            if pushed != NONE:
                if n_heap == heap_counts.size:
                    heap_counts, heap_pairs = _longer(heap_counts), _longer(heap_pairs)
                count = pair_counts[pushed]
                _push(heap_counts, heap_pairs, n_heap, count, pushed, keys, tokens, borders, rule)
                n_heap += 1
                pushed = NONE
                continue
            if n_heap == 0 or n_merges == new_tokens:
                return merges[:n_merges].copy()
            count, pair = heap_counts[0], heap_pairs[0]
            if count == pair_counts[pair] and count < min_frequency:
                return merges[:n_merges].copy()
            _pop(heap_counts, heap_pairs, n_heap, keys, tokens, borders, rule)
            n_heap -= 1
            if count != pair_counts[pair]:
                pushed = pair
                continue
            if longest < NO_LIMIT and not _is_piece(tokens, borders, keys[pair], longest):
                continue
            left, right = keys[pair] >> 32, keys[pair] & 0xFFFFFFFF
            # Spell the new token behind the others.
            end = borders[n_tokens]
            while end + borders[left + 1] - borders[left] + borders[right + 1] - borders[right] > tokens.size:
                tokens = _longer(tokens)
            if n_tokens + 2 > borders.size:
                borders = _longer(borders)
            for part in (left, right):
                for i in range(borders[part], borders[part + 1]):
                    tokens[end] = tokens[i]
                    end += 1
            borders[n_tokens + 1] = end
            new = np.int64(n_tokens)
            if _is_reserved(new, reserved, tokens, borders):
                continue
            break
        if n_merges == merges.shape[0]:
            more = np.empty((2 * n_merges, 3), np.int32)
            for k in range(n_merges):
                more[k, 0], more[k, 1], more[k, 2] = merges[k, 0], merges[k, 1], merges[k, 2]
            merges = more
        merges[n_merges, 0], merges[n_merges, 1], merges[n_merges, 2] = left, right, new
        n_merges += 1
        n_tokens += 1
