"""ALiBi's slopes: how steeply each head's scores fall with the distance of a key."""

from __future__ import annotations

import math


def alibi_slopes(heads: int, bias_max: float = 8.0) -> tuple[float, ...]:
    """One slope a head: 2^(-bias_max·a/heads) for a = 1..heads when the number of heads is a power of two.

    Otherwise those of the next smaller power p, then every other slope (the 1st, 3rd, …) of 2p heads.

    >>> alibi_slopes(4)
    (0.25, 0.0625, 0.015625, 0.00390625)
    >>> alibi_slopes(6)[4:]
    (0.5, 0.125)

    Source: Press et al. 2021, arXiv:2108.12409, and the authors' code for other numbers of heads.
    """
    power = 2 ** math.floor(math.log2(heads))

    def slope(a: int, count: int) -> float:
        return 2.0 ** (-bias_max * a / count)

    first = [slope(a, power) for a in range(1, power + 1)]
    return tuple(first + [slope(a, 2 * power) for a in range(1, 2 * (heads - power), 2)])
