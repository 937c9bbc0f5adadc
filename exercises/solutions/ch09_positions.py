"""Chapter 9 exercises: telling a model where its tokens stand, and what happens beyond the length it was trained on.

Everything here is a pure function on arrays; nothing that was handed in is changed. Positions count from 0. Angles are
worked out in float64, results come back in the dtype of the array that was handed in.

Symbols: theta is `base`, the width of a head (all of it rotary here) is D, T counts tokens, H heads.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "one_radian: a pair turns the other way": (
            "The turn by an angle a takes (1, 0) to (cos a, sin a): the first new coordinate is x1 cos - x2 sin, the "
            "second x2 cos + x1 sin."
        ),
        "halves: pairs are neighbours where they should be D/2 apart": (
            "Without interleaving, coordinate i is paired with coordinate i + D/2: split each head in two halves."
        ),
        "pairs_slow_down: all pairs turn equally fast": (
            "Pair i turns by base ** (-2 i / D) radians a position: the first by 1, the last by almost 1 / base."
        ),
        "each_call_by_itself: a table of angles was kept": (
            "A table belongs to its positions, its base and its pairs: make it anew, or keep it under all of these."
        ),
        "far_positions_in_float32: the angles were computed in float32": (
            "positions * frequency in float64; only cos and sin are converted to x.dtype."
        ),
        "far_positions_in_float32: must have dtype float32, got float64": (
            "Compute cos and sin in float64, then convert them to x.dtype before they meet x."
        ),
    },
    why="""A rotation leaves the length of a vector alone and the product of two vectors turned by m and n radians
    depends on m - n only. So every score q.k knows how far apart the two tokens are and nothing else, although
    each of them was turned by itself, with no table, no parameter and no change to the value vectors. Slow
    pairs hold long distances, fast pairs tell neighbours apart.""",
)
def rotate(x: np.ndarray, positions: np.ndarray, base: float = 10000.0, interleaved: bool = False) -> np.ndarray:
    """Rotary position embedding of queries or keys.

    x: (..., T, D) with D even; positions: (T,) integers
    interleaved: False pairs coordinate i with i + D/2 (the Hugging Face layout of LLaMA), True pairs 2i with 2i + 1
    returns: (..., T, D), of x's dtype

    Pair i = 0 .. D/2 - 1 of the token at position m turns by the angle m * base ** (-2 * i / D).

    >>> rotate(np.array([[1.0, 0.0]]), np.array([1])).round(4)      # one radian: (cos 1, sin 1)
    array([[0.5403, 0.8415]])
    >>> rotate(np.array([[1.0, 5.0, 0.0, 7.0]]), np.array([1]), base=1e12).round(2)   # the second pair hardly turns
    array([[0.54, 5.  , 0.84, 7.  ]])
    """
    width = x.shape[-1]
    frequency = base ** (-2.0 * np.arange(width // 2) / width)
    angles = positions[:, None] * frequency  # (T, D/2)
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., : width // 2], x[..., width // 2 :])
    turned = np.empty_like(x)
    to_first, to_second = (
        (turned[..., 0::2], turned[..., 1::2])
        if interleaved
        else (turned[..., : width // 2], turned[..., width // 2 :])
    )
    to_first[...] = first * cos - second * sin
    to_second[...] = second * cos + first * sin
    return turned


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "one_head: rows stand in the opposite order": (
            "This is the way from neighbours to halves: all even rows of a head first, then all odd ones."
        ),
        "several_heads: rows wandered from head to head": (
            "Each head is permuted by itself. Give the heads an axis first: reshape to (heads, D/2, 2, in)."
        ),
        "ValueError: cannot reshape array": "The rows are heads * D: D is len(weight) // heads.",
    },
    why="""The two conventions are the same rotation with the coordinates of a head in another order, and the order of
    the coordinates of q and k does not matter as long as both have the same: q.k is a sum. So a checkpoint for
    one convention becomes one for the other by permuting rows of the query and key matrices. Values are never
    rotated and must stay. Meta's LLaMA files and GGUF hold neighbours, the Hugging Face layout halves; a model
    loaded without this step runs without any error and talks nonsense.""",
)
def neighbours_to_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Permute the rows of a query or key matrix made for interleaved pairs (2i, 2i + 1) to pairs (i, i + D/2).

    weight: (heads * D, in), stored (out, in), head after head
    returns: (heads * D, in)

    Afterwards `rotate(x @ weight.T per head, ..., interleaved=False)` gives the same scores q.k as the original did
    with interleaved=True.

    >>> neighbours_to_halves(np.array([[0], [10], [1], [11]]), heads=1).ravel()
    array([ 0,  1, 10, 11])
    """
    inputs = weight.shape[1]
    pairs = weight.reshape(heads, -1, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(weight.shape)


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "powers_of_two: the slopes of 8 heads begin with 1/2": (
            "The first slope is 2 ** (-8 / heads), not 1: a counts from 1."
        ),
        "other_numbers: the remaining heads have the wrong slopes": (
            "For 6 heads take all 4 slopes of 4 heads, then the 1st and the 3rd of 8 heads, 2 ** -1 and 2 ** -3."
        ),
        "how_many: as many slopes as heads": "With p the largest power of two up to heads, heads - p remain.",
    },
    why="""ALiBi subtracts slope * distance from every score, so heads with steep slopes look at their neighbours and
    those with flat ones far back. No position is ever represented, hence nothing is out of range beyond the
    trained length. The odd rule for head counts that are no powers of two decides whether BLOOM with its 112
    heads works: a plain 2 ** (-8 a / 112) is a smooth sequence as well, and gives another model.""",
)
def alibi_slopes(heads: int, bias_max: float = 8.0) -> np.ndarray:
    """ALiBi's slopes for any number of heads.

    returns: (heads,) float64

    If heads is a power of two: 2 ** (-bias_max * a / heads) for a = 1 .. heads. Otherwise, with p the largest power of
    two below heads: the p slopes of p heads, then of the slopes for 2p heads the 1st, 3rd, 5th ... as many as it takes.

    >>> alibi_slopes(4)
    array([0.25      , 0.0625    , 0.015625  , 0.00390625])
    >>> alibi_slopes(6)[4:]
    array([0.5  , 0.125])
    """
    power = 2 ** int(math.log2(heads))
    slopes = 2.0 ** (-bias_max * np.arange(1, power + 1) / power)
    between = 2.0 ** (-bias_max * np.arange(1, 2 * (heads - power), 2) / (2 * power))
    return np.concatenate([slopes, between])


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "inside_the_trained_length: the base changed": "Up to `trained` tokens nothing may change.",
        "slowest_pair: it should be stretched by exactly factor * n / trained - (factor - 1)": (
            "The exponent is D / (D - 2), not 1: the last pair has -(D - 2) / D on the base, and both cancel."
        ),
        "TypeError: 'float' object": "The result is a Python float, not an array: no NumPy is needed.",
    },
    why="""Positions beyond the trained length turn slow pairs into angles the model has never seen. Dividing all
    positions by a factor (linear interpolation) keeps them in range but squeezes neighbours together for the
    fast pairs, too. Raising the base stretches the slowest pair by the whole factor and leaves the fastest,
    which has seen every angle many times, exactly as it was; pairs between get their share. The model has to be
    run again whenever the base changes: keys in a cache were turned by the old one.""",
)
def dynamic_base(base: float, width: int, length: int, trained: int, factor: float = 1.0) -> float:
    """The rotary base for a sequence of `length` tokens, by the dynamic NTK rule.

    base: as trained; width: D, rotary coordinates of a head; trained: the trained length
    returns: a float

    Up to the trained length: base. Beyond it: base * s ** (D / (D - 2)), s = factor * length / trained - (factor - 1).

    >>> dynamic_base(10000.0, 4, 200, trained=100)          # s = 2, and 2 ** (4 / 2) = 4
    40000.0
    """
    stretch = factor * max(length, trained) / trained - (factor - 1)
    return float(base * stretch ** (width / (width - 2)))


@task(
    points=3,
    difficulty="hard",
    minutes=30,
    hints={
        "by_hand: rows are shifted the wrong way": (
            "Column d of the input belongs to the distance T - 1 - d: the last to distance 0, the first to T - 1 "
            "back. The result has in row i, column j what belongs to the distance i - j back."
        ),
        "visible_entries: rows run into each other": (
            "Put a column of zeros in FRONT, (T, T + 1), read the numbers as (T + 1, T), and drop the first row."
        ),
        "future_is_zero: what lies above the diagonal": "Only keys j <= i count; np.tril sets the others to 0.",
    },
    why="""Transformer-XL's score has a part that depends on the query and the distance: a matrix product over
    distances, one column a distance. Each row then has to be moved so that columns become keys. A loop over
    rows, or gathering with T x T indices, is slow; padding with one zero and reading the same numbers in rows
    of another length moves row i by i for free. Gopher and Chinchilla use this; XLNet and T5 have their own
    variants.""",
)
def relative_shift(scores: np.ndarray) -> np.ndarray:
    """From scores by distance to scores by key, as in Transformer-XL.

    scores: (..., T, T); scores[..., i, d] is for query i and a key that stands T - 1 - d positions before it
    returns: (..., T, T) with entry [..., i, j] for query i and key j where j <= i, and zeros where j > i

    >>> relative_shift(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    array([[3, 0, 0],
           [5, 6, 0],
           [7, 8, 9]])
    """
    *lead, length, _ = scores.shape
    padded = np.concatenate([np.zeros((*lead, length, 1), scores.dtype), scores], axis=-1)
    shifted = padded.reshape(*lead, length + 1, length)[..., 1:, :]
    return np.tril(shifted)
