"""Other right answers of chapter 26.

Partition and a cumulative count, loops over models, masked sums, arctan2 for the angle.
"""

from __future__ import annotations

import numpy as np


def trim(tau, density):
    flat, count = tau.reshape(-1), max(int(tau.size * density), 1)
    sizes = np.abs(flat)
    least = np.partition(sizes, tau.size - count)[tau.size - count]
    above, equal = sizes > least, sizes == least
    room = count - above.sum()
    return np.where(above | (equal & (np.cumsum(equal) <= room)), flat, flat.dtype.type(0)).reshape(tau.shape)


def elect(taus):
    total = sum(taus[k] for k in range(len(taus)))
    return taus.dtype.type(1) - taus.dtype.type(2) * (total < 0)


def merge_agreeing(taus, sign):
    total, count = np.zeros_like(sign), np.zeros(sign.shape, int)
    for tau in taus:
        agrees = tau * sign > 0
        total = total + np.where(agrees, tau, 0)
        count = count + agrees
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0, casting="unsafe")


def slerp(a, b, t):
    p, q = np.float64(a) / np.linalg.norm(np.float64(a)), np.float64(b) / np.linalg.norm(np.float64(b))
    cos = np.tensordot(p, q, p.ndim)
    if not -0.9995 <= cos <= 0.9995:
        return a + t * (b - a)
    angle = 2 * np.arctan2(np.linalg.norm(p - q), np.linalg.norm(p + q))
    shares = np.sin([(1 - t) * angle, t * angle]) / np.sin(angle)
    return a.dtype.type(shares[0]) * a + b.dtype.type(shares[1]) * b


def fisher_average(models, fishers):
    kept = np.where((fishers == 0).all(axis=0), 1, fishers.astype(np.float64))
    return np.average(models.astype(np.float64), axis=0, weights=kept).astype(models.dtype)


def drop_and_rescale(tau, density, uniform):
    out = np.zeros_like(tau)
    stays = uniform < density
    out[stays] = tau[stays] / density
    return out
