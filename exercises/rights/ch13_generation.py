"""Other right answers of chapter 13.

A loop over sorted pairs, masks, einsum, all beginnings of all stop strings, a heap of entries, a choice by subtraction.
"""

from __future__ import annotations

import numpy as np


def top_p(logits, p):
    wide = logits.astype(np.float64)
    share = np.exp(wide - wide.max())
    share /= share.sum()
    held, kept = 0.0, []
    for token in sorted(range(len(share)), key=lambda t: (-logits[t], t)):
        if kept and held >= p:
            break
        kept.append(token)
        held += share[token]
    out = np.zeros(len(share))
    out[kept] = share[kept] / share[kept].sum()
    return out.astype(logits.dtype)


def penalise(logits, seen, penalty):
    mask = np.isin(np.arange(len(logits)), np.asarray(seen, dtype=int))
    factor = np.where(logits > 0, 1 / penalty, penalty).astype(logits.dtype)
    return np.where(mask, logits * factor, logits)


def cached_step(q, k, v, keys, values, real):
    keys = np.append(keys, k.reshape(len(k), 1, -1), axis=1)
    values = np.append(values, v.reshape(len(v), 1, -1), axis=1)
    y = np.zeros_like(q)
    for b in range(len(q)):
        places = [s for s in range(keys.shape[1]) if s == keys.shape[1] - 1 or real[b, s]]
        scores = np.einsum("sd,d->s", keys[b, places], q[b]) * q.dtype.type(q.shape[1] ** -0.5)
        weights = np.exp(scores - max(scores))
        y[b] = (weights / weights.sum()) @ values[b, places]
    return y, keys, values


def shown(pieces, stops):
    text, given, out, over = "", 0, [], None
    for piece in pieces:
        for letter in piece:
            if over is None:
                text += letter
                over = max((len(s) for s in stops if text[given:].endswith(s)), default=None)
        end = len(text) - (over or 0)
        if over is None:
            ends = range(given, len(text))
            end = next((i for i in ends if any(s.startswith(text[i:]) for s in stops)), len(text))
        out.append(text[given:end])
        given = end
    return out + ["" if over else text[given:]]


def beam_step(scores, log_probabilities, end, beams):
    entries = []
    for beam, line in enumerate(log_probabilities):
        for token, value in enumerate(line):
            total = float(scores[beam] + value)
            if total != float("-inf"):
                entries.append((-total, beam, token))
    entries.sort()
    going, gone = [], []
    for rank, (total, beam, token) in enumerate(entries):
        if token == end:
            if rank < beams:
                gone.append((beam, token, -total))
        elif len(going) < beams:
            going.append((beam, token, -total))
    return going, gone


def accept(p, q, guess, u, w):
    if u * q[guess] < p[guess]:
        return guess
    missing = np.where(p > q, p - q, 0)
    left = w * missing.sum()
    for token, weight in enumerate(missing):
        if left < weight:
            return token
        left -= weight
    return int(missing.argmax())
