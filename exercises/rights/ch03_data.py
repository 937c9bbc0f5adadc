"""Other right answers of chapter 3.

Words by hand, counting, one function after the other, sorting instead of dictionaries, loops over places, logarithms.
"""

from __future__ import annotations

import math

import numpy as np


def shingles(text, n):
    plain = "".join(c if c.isalnum() or c == "_" else " " for c in text.casefold().lower())
    words = plain.split()
    width = min(n, len(words))
    return set(map(tuple, zip(*[words[k:] for k in range(width)]))) if words else set()


def jaccard(a, b):
    either = a.union(b)
    if not either:
        return 1
    return sum(x in a and x in b for x in either) / len(either)


def signature(numbers, factors, offsets, prime):
    found = np.empty(len(factors), np.int64)
    for k, (a, b) in enumerate(zip(factors, offsets)):
        found[k] = min(((int(a) * int(x) + int(b)) % prime for x in numbers), default=prime)
    return found


def candidate_pairs(signatures, bands, rows):
    found = set()
    for k in range(bands):
        part = signatures[:, k * rows : k * rows + rows]
        _, bucket = np.unique(part, axis=0, return_inverse=True)
        order = np.argsort(bucket.reshape(-1), kind="stable")
        starts = np.flatnonzero(np.diff(bucket.reshape(-1)[order], prepend=-1))
        for members in np.split(order, starts[1:]):
            for p, i in enumerate(members.tolist()):
                for j in members[p + 1 :].tolist():
                    found.add((min(i, j), max(i, j)))
    return found


def pack(documents, context, separator):
    stream, owner = [], []
    for number, document in enumerate(documents):
        stream.append(separator)
        stream.extend(int(i) for i in document)
        owner.extend([number] * (1 + len(document)))
    rows = (len(stream) - 1) // context if stream else 0
    ids, targets = np.zeros((rows, context), np.int64), np.zeros((rows, context), np.int64)
    mask = np.zeros((rows, context, context), bool)
    for r in range(rows):
        at = r * context
        ids[r], targets[r] = stream[at : at + context], stream[at + 1 : at + context + 1]
        for i in range(context):
            for j in range(i + 1):
                mask[r, i, j] = owner[at + i] == owner[at + j]
    return ids, targets, mask


def mixing_weights(sizes, temperature):
    logits = np.array([0.0 if math.isinf(temperature) else math.log(size) / temperature for size in sizes])
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()
