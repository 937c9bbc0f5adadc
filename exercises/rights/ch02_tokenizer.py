"""Other right answers of chapter 2.

Tokens are taken off a stack, pairs recounted at every merge, bytes spelled by recursion.
"""

from __future__ import annotations

from collections import Counter, defaultdict


def pair_counts(words):
    counts = Counter()
    for word, n in words.items():
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += n
    return counts


def merge(ids, pair, new_id):
    out, ids = [], list(ids)[::-1]
    while ids:
        out.append(ids.pop())
        if ids and (out[-1], ids[-1]) == tuple(pair):
            ids.pop()
            out[-1] = new_id
    return out


def train(words, vocab_size):
    text = [list(word) for word in words]
    names, merges = {i: bytes([i]) for i in range(256)}, []
    for new_id in range(256, vocab_size):
        counts = defaultdict(int)
        for word in text:
            for pair in zip(word, word[1:]):
                counts[pair] += 1
        if not counts:
            return merges
        top = max(counts.values())
        best = max((p for p in counts if counts[p] == top), key=lambda p: (names[p[0]], names[p[1]]))
        names[new_id] = names[best[0]] + names[best[1]]
        merges.append(best)
        text = [merge(word, best, new_id) for word in text]
    return merges


def encode(word, merges):
    ids = [int(b) for b in word]
    for i, pair in enumerate(merges):
        ids = merge(ids, pair, 256 + i)
    return ids


def decode(ids, merges):
    def spell(i):
        if i < 0 or i >= 256 + len(merges):
            raise ValueError(i)
        return bytes([i]) if i < 256 else spell(merges[i - 256][0]) + spell(merges[i - 256][1])

    out = bytearray()
    for i in ids:
        out.extend(spell(i))
    return bytes(out)


def decode_stream(pieces):
    texts, shown = [], 0
    for n in range(1, len(pieces) + 1):
        data = b"".join(pieces[:n])
        for cut in range(4):  # hold back what may still become a character
            tail = data[len(data) - cut :]
            try:
                tail.decode()
            except UnicodeDecodeError as e:
                if e.reason != "unexpected end of data" or e.start != 0:
                    continue
                data = data[: len(data) - cut]
                break
        text = data.decode("utf-8", "replace")
        texts.append(text[shown:])
        shown = len(text)
    return texts + [b"".join(pieces).decode("utf-8", "replace")[shown:]]
