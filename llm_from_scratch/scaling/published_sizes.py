"""Chinchilla's and Gopher's tables of models, and which way of counting gives the parameters that they print.

Neither paper says what it counts, nor where its models have biases. Two facts a reader misses cost most of a percent: a
layer with Transformer-XL's relative positions has a fifth square matrix in its attention, and the embedding is counted
once, because the head is its transpose. `counted` counts by a rule that can be varied; that all of it is inferred, from
the printed millions alone, is marked where it is shown.

Sources: Hoffmann et al. 2022, arXiv:2203.15556, table A9; Rae et al. 2021, arXiv:2112.11446, table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

VOCABULARY = 32_000


@dataclass(frozen=True)
class Printed:
    """A row: millions of parameters as printed, width, width of a head, heads, layers; the feed-forward part is
    4·width.

    unit: what the last printed digit stands for, in millions.
    """

    millions: float
    width: int
    head_width: int
    heads: int
    layers: int
    unit: float = 1


_A9 = """
44 512 64 8 8, 57 576 64 9 9, 74 640 64 10 10, 90 640 64 10 13, 106 640 64 10 16, 117 768 64 12 12, 140 768 64 12 15,
163 768 64 12 18, 175 896 64 14 14, 196 896 64 14 16, 217 896 64 14 18, 251 1024 64 16 16, 278 1024 64 16 18,
306 1024 64 16 20, 425 1280 128 10 18, 489 1280 128 10 21, 509 1408 128 11 18, 552 1280 128 10 24, 587 1408 128 11 21,
632 1536 128 12 19, 664 1408 128 11 24, 724 1536 128 12 22, 816 1536 128 12 25, 893 1792 128 14 20, 1018 1792 128 14 23,
1143 1792 128 14 26, 1266 2048 128 16 22, 1424 2176 128 17 22, 1429 2048 128 16 25, 1593 2048 128 16 28,
1609 2176 128 17 25, 1731 2304 128 18 24, 1794 2176 128 17 28, 2007 2304 128 18 28, 2283 2304 128 18 32,
2298 2560 128 20 26, 2639 2560 128 20 30, 2980 2560 128 20 34, 3530 2688 128 22 36, 3802 2816 128 22 36,
4084 2944 128 22 36, 4516 3072 128 24 36, 6796 3584 128 28 40, 9293 4096 128 32 42, 11452 4352 128 32 47,
12295 4608 128 36 44, 12569 4608 128 32 47, 13735 4864 128 32 47, 14940 4992 128 32 49, 16183 5120 128 40 47
"""
CHINCHILLA_TABLE = tuple(Printed(*map(int, row.split())) for row in _A9.replace("\n", " ").split(","))
GOPHER_TABLE = (
    Printed(44, 512, 32, 16, 8), Printed(117, 768, 64, 12, 12), Printed(417, 1536, 128, 12, 12),
    Printed(1_400, 2048, 128, 16, 24, 100), Printed(7_100, 4096, 128, 32, 32, 100),
    Printed(280_000, 16384, 128, 128, 80, 1_000),
)  # fmt: skip

# Ways of counting: the settings of `counted`. The first is the one that the tables use.
RULES: dict[str, dict[str, bool]] = {
    "all, head tied": {},
    "without relative positions": {"relative": False},
    "without the embedding": {"embedding": False},
    "head of its own": {"tied": False},
    "without biases and norms": {"small": False},
}


def counted(
    row: Printed, *, relative: bool = True, embedding: bool = True, tied: bool = True, small: bool = True
) -> int:
    """Parameters of a row's model.

    relative: a matrix for distances and two vectors a head in every layer. embedding: the rows of the vocabulary. tied:
    the head is not counted a second time. small: norms, the bias of attention's output and those of the feed-forward
    part.

    >>> counted(CHINCHILLA_TABLE[0]), counted(CHINCHILLA_TABLE[0], embedding=False)
    (43688448, 27304448)
    """
    inner, width = row.heads * row.head_width, row.width
    layer = (4 + relative) * width * inner + 8 * width * width + 2 * inner * relative
    layer += 8 * width * small  # two norms, one bias of attention, 4 + 1 of the feed-forward part
    vocabulary = VOCABULARY * width * (embedding + (not tied))
    return row.layers * layer + vocabulary + width * small


def recovers(row: Printed, **rule: bool) -> bool:
    """Whether a rule gives what is printed, to the last printed digit."""
    return round(counted(row, **rule) / (1e6 * row.unit)) == round(row.millions / row.unit)
