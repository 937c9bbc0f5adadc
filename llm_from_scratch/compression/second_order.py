"""GPTQ: weights are rounded input by input, and those not yet rounded make up for the error.

Input by input, each weight takes the nearest number of its grid; its error, weighed by the inverse Hessian, is then
taken off all weights of the row whose turn comes later. All rows take the same order, so that one factorisation of the
Hessian serves them all.

Glossary, with the paper's symbols: U `upper`, the Cholesky factor of H⁻¹; B `block_size`, the inputs after which errors
are passed on to the rest of the row in one product ("lazily"); λ `damping`, as a share of H's mean diagonal; act-order:
the inputs with the largest squares come first.

Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1, and the authors' code where the paper is silent.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..quantization.grid import Grid, check_bits, check_group_size, check_weight, fit, nearest_codes
from .curvature import check_hessian, inverse_factor


def gptq(
    weight: Any,
    hessian: Any,
    *,
    bits: int,
    group_size: int | None = None,
    symmetric: bool = False,
    act_order: bool = False,
    static_groups: bool = False,
    damping: float = 0.01,
    block_size: int = 128,
    stale_grids: bool = False,
) -> Grid:
    """Quantise a matrix (outputs, inputs) for inputs with this Hessian (inputs, inputs) -> Grid.

    group_size: inputs that share a scale, a divisor of a row; None: a whole row, whose grid is taken beforehand. A
    group's grid is taken from the weights as they stand when the group begins. act_order: inputs with a large diagonal
    entry first; groups are then of inputs that follow each other in that order, unless static_groups: groups of
    neighbours, whose grids are taken from the weights as they were. damping: what is added to the diagonal, as a share
    of its mean. block_size changes the speed and, in the last digits, the order of sums. stale_grids: a group that
    begins inside a block takes its grid from the weights as they stood at the block's beginning, as in the authors'
    code (which differs where groups are shorter than blocks).

    An input that was always zero (a diagonal entry of 0) gets weights of zero. Raises TypeError for anything but
    floating-point numbers; ValueError for weights that are no matrix or not finite, bits outside 2..8, a group size
    that does not divide, and a Hessian of another shape, not finite, zero, or singular in spite of the damping. It
    never falls back to plain rounding.

    >>> weight, curvature = np.array([[0.4, 0.4, 3.0]]), np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> gptq(weight, curvature, bits=2).values()         # the second makes up for the first: 0.8 in all becomes 1
    array([[0., 1., 3.]])
    """
    weight, bits = check_weight(weight), check_bits(bits)
    outputs, inputs = weight.shape
    size = check_group_size(group_size, inputs)
    if isinstance(block_size, bool) or not isinstance(block_size, (int, np.integer)) or block_size < 1:
        raise ValueError(f"block_size is a positive whole number, not {block_size!r}")
    curvature = check_hessian(hessian, inputs)

    # The authors take the grid of whole rows before weights that nothing reads become zero, those of groups after it.
    whole = fit(weight, bits, symmetric=symmetric) if group_size is None else None
    w = weight.T.copy()  # (inputs, outputs): what is rounded at a time lies together
    dead = np.diagonal(curvature) == 0
    if dead.all():
        raise ValueError("the Hessian is zero: no calibration text has reached this layer")
    curvature[dead, dead] = 1
    w[dead] = 0

    def grid_of(group: int) -> tuple[np.ndarray, np.ndarray]:
        return whole or fit(w[group * size : (group + 1) * size].T, bits, symmetric=symmetric)

    grids = {group: grid_of(group) for group in range(inputs // size)} if static_groups else {}
    order = np.argsort(-np.diagonal(curvature), kind="stable") if act_order else np.arange(inputs)
    group_of_turn = order // size if static_groups else np.arange(inputs) // size
    w, upper = w[order], _damped_factor(curvature[np.ix_(order, order)], damping, np.asarray(hessian).dtype)
    upper = upper.astype(w.dtype)

    codes = np.empty(w.shape, np.uint8)
    # A block ends where a group does, so that the next group begins with weights that are up to date.
    borders = {*range(0, inputs, block_size), *(() if stale_grids else range(0, inputs, size)), inputs}
    for start, stop in pairwise(sorted(borders)):
        if not static_groups:
            begun = range(-(-start // size), -(-stop // size))
            grids.update({group: grid_of(group) for group in begun})
        errors = np.empty((stop - start, outputs), w.dtype)
        for i in range(start, stop):
            scale, zero = grids[group_of_turn[i]]
            codes[i] = nearest_codes(w[i], scale, zero, bits)
            errors[i - start] = (w[i] - (codes[i] - zero) * scale) / upper[i, i]
            w[i + 1 : stop] -= np.outer(upper[i, i + 1 : stop], errors[i - start])
        w[stop:] -= upper[start:stop, stop:].T @ errors

    turn = np.argsort(order)
    scale, zero = (np.stack(parts, axis=1) for parts in zip(*(grids[group] for group in range(inputs // size))))
    return Grid(np.ascontiguousarray(codes[turn].T), scale, zero, group_of_turn[turn], bits)


def _damped_factor(curvature: np.ndarray, damping: Any, dtype: np.dtype) -> np.ndarray:
    """The factor of the inverse once a share of its mean is added to the diagonal; dtype: what it was computed in."""
    if isinstance(damping, bool) or not isinstance(damping, (int, float, np.floating)) or not 0 <= damping < np.inf:
        raise ValueError(f"damping is a number >= 0, a share of the Hessian's mean diagonal, not {damping!r}")
    diagonal = np.einsum("ii->i", curvature)  # a view
    diagonal += damping * diagonal.mean()
    try:
        upper = inverse_factor(curvature)
    except np.linalg.LinAlgError:
        upper = np.full_like(curvature, np.inf)
    # 1 / U² is what the later inputs do not say about this one: rounding noise alone where they say all.
    with np.errstate(divide="ignore"):
        unexplained = np.diagonal(upper) ** -2.0
    if not (unexplained > 4 * np.finfo(dtype).eps * diagonal).all():
        raise ValueError(
            f"the Hessian is singular with damping={damping}: some inputs repeat others, or there were fewer "
            "calibration rows than inputs; raise the damping (0.01 is usual) or take more text"
        )
    return upper
