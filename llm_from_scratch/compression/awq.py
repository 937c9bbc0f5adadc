"""AWQ: inputs that are large on average get finer steps, by scaling their weights up before rounding and back after.

Few inputs of a layer are much larger than the rest, and the error of their weights counts as much more. Multiplying
these weights by s before they are rounded, and the input by 1/s, changes nothing but where the grid is fine. The 1/s is
folded into whatever makes the input (`folding.py`). One number is searched, α in s = (mean |x|)^α, by trying: with each
α the weights are rounded, and what counts is the output of the module in which the matrices act together: attention for
queries, keys and values, the feed-forward part for gate and up, the matrix itself for the rest.

After it the range of each group is searched as well: cutting off its largest weights makes steps finer for all others.

How a sweep over a model uses it, for each place where a scale can be folded (`folding.places(block)`):

1. `chosen = awq_scale(matrices, inputs, output, bits=…, group_size=…)`, with the place's matrices (outputs, inputs),
   what they read (N, inputs), and `output(matrices) -> array`, the output of the inspected module when these matrices
   stand in it. `inputs` and what `output` reads need not be the same rows.
2. `folding.fold(block, place, chosen.scale)`: the block computes what it did, its matrices are W · s.
3. What the layer reads is now `inputs / chosen.scale`; of that the Hessian, and
   `limits = awq_clip(matrix, hessian, bits=…, group_size=…)`, but not for queries and keys, whose product matters;
4. `round_to_nearest(clip(matrix, limits), bits=…, group_size=…)` is the layer's grid.

Source: Lin et al. 2023, arXiv:2306.00978, and the authors' code, except that a group's grid always holds zero: theirs
cuts a group off that lies on one side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..quantization.grid import check_bits, check_group_size, check_weight, fit, nearest_codes, round_to_grid
from .curvature import check_hessian


@dataclass(frozen=True, eq=False)
class AwqScale:
    """What a search found: scale (inputs,), the α it comes from, and the mean squared error at each α tried."""

    scale: np.ndarray
    alpha: float
    errors: tuple[float, ...]


def awq_scale(
    weights: Sequence[Any],
    inputs: Any,
    output: Callable[[list[np.ndarray]], np.ndarray] | None = None,
    *,
    bits: int,
    group_size: int | None = None,
    symmetric: bool = False,
    steps: int = 20,
) -> AwqScale:
    """The scale of a layer's inputs with which rounding changes the output least.

    weights: the matrices (outputs, inputs) that read the same inputs and share the scale. inputs: what they read,
    (..., inputs). output: called with a matrix for each of them, already rounded and scaled back, gives the inspected
    module's output; it may be left out for a single matrix, whose product with the inputs it is then. steps: α is 0,
    1/steps … 1 - 1/steps; at 0 nothing is scaled, so what is found is no worse than plain rounding here. An input that
    was always zero is scaled by a very small number, never by one that is zero or infinite.

    Raises as `round_to_nearest`, and ValueError for inputs or outputs that are not finite and for matrices that do not
    read the same inputs.

    >>> weight, inputs = np.array([[1.0, 0.3, 0.2]]), np.array([[0.1, 8.0, 0.1], [0.1, -8.0, 0.1]])
    >>> found = awq_scale([weight], inputs, bits=2)
    >>> found.alpha, bool(found.errors[0] > 100 * min(found.errors))
    (0.4, True)
    """
    matrices = [check_weight(weight, f"weight {i}") for i, weight in enumerate(weights)]
    if not matrices or len({(matrix.shape[1], matrix.dtype) for matrix in matrices}) != 1:
        raise ValueError(f"the weights share their inputs and dtype, got {[m.shape for m in matrices] or 'none'}")
    width, bits = matrices[0].shape[1], check_bits(bits)
    check_group_size(group_size, width)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps is a positive whole number, not {steps!r}")
    rows = np.asarray(inputs)
    rows = check_weight(rows.reshape(-1, rows.shape[-1]) if rows.ndim > 2 else rows, "input")
    if rows.shape[1] != width:
        raise ValueError(f"the weights read {width} inputs, got inputs {np.shape(inputs)}")
    if output is None:
        if len(matrices) != 1:
            raise ValueError(f"{len(matrices)} weights act together: give the output of the module that they stand in")
        output = lambda given: rows @ given[0].T  # noqa: E731

    wanted = _finite(output(matrices))
    magnitude = np.abs(rows).mean(axis=0, dtype=np.float64)
    scales = [_scale(magnitude, step / steps).astype(matrices[0].dtype) for step in range(steps)]
    errors = []
    for scale in scales:
        rounded = [
            round_to_grid(matrix * scale, bits=bits, group_size=group_size, symmetric=symmetric).values() / scale
            for matrix in matrices
        ]
        errors.append(float(np.square(_finite(output(rounded)) - wanted, dtype=np.float64).mean()))
    best = int(np.argmin(errors))
    return AwqScale(scales[best], best / steps, tuple(errors))


def _scale(magnitude: np.ndarray, alpha: float) -> np.ndarray:
    """magnitude ^ α, but not below 1e-4, over the root of its largest times its smallest: (inputs,) float64."""
    scale = np.maximum(magnitude**alpha, 1e-4)
    return scale / (np.sqrt(scale.max()) * np.sqrt(scale.min()))


def _finite(output: Any) -> np.ndarray:
    array = np.asarray(output)
    if not np.isfinite(array).all():
        raise ValueError("the module's output is not finite: are its inputs and weights sound?")
    return array


def awq_clip(
    weight: Any,
    hessian: Any,
    *,
    bits: int,
    group_size: int | None = None,
    symmetric: bool = False,
    steps: int = 20,
    shrink: float = 0.5,
) -> np.ndarray:
    """The largest magnitude that each group's weights should be cut off at: (outputs, groups).

    Tried are a group's largest magnitude times 1, 1 - 1/steps, … down to 1 - shrink, which is left out. What counts is
    the mean square of the change in the output that comes from this group alone, ½ δ H δᵀ with the group's part of the
    Hessian (inputs, inputs). Raises as `round_to_nearest` and for a Hessian that is none of this layer.

    >>> awq_clip(np.array([[0.9, 0.3, 0.3, 0.3]]), np.diag([0.01, 1, 1, 1.0]), bits=2)          # 0, 0.3, 0.6 and 0.9
    array([[0.9]])
    >>> awq_clip(np.array([[1.2, 0.3, 0.3, 0.3]]), np.diag([0.01, 1, 1, 1.0]), bits=2).round(2)
    array([[0.9]])
    """
    weight, bits = check_weight(weight), check_bits(bits)
    outputs, inputs = weight.shape
    size = check_group_size(group_size, inputs)
    curvature = check_hessian(hessian, inputs).astype(weight.dtype)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1 or not 0 < shrink < 1:
        raise ValueError(f"steps is a positive whole number and shrink between 0 and 1, not {steps!r} and {shrink!r}")

    limits = np.empty((outputs, inputs // size), weight.dtype)
    for group in range(inputs // size):
        part = slice(group * size, (group + 1) * size)
        w, h = weight[:, part], curvature[part, part]
        largest = np.abs(w).max(axis=1)
        best = np.full(outputs, np.inf)
        for step in range(max(1, int(shrink * steps))):
            limit = largest * weight.dtype.type(1 - step / steps)
            cut = np.clip(w, -limit[:, None], limit[:, None])
            scale, zero = (parts[:, None] for parts in fit(cut, bits, symmetric=symmetric))
            change = (nearest_codes(cut, scale, zero, bits) - zero) * scale - w
            error = np.einsum("oi,oi->o", change @ h, change)
            better = error < best
            best[better], limits[better, group] = error[better], limit[better]
    return limits


def clip(weight: Any, limits: Any) -> np.ndarray:
    """The weights (outputs, inputs) cut off at ± limits (outputs, groups), a limit for each group of a row.

    >>> clip(np.array([[1.2, 0.3, -3.0, 0.5]]), np.array([[0.9, 2.0]]))
    array([[ 0.9,  0.3, -2. ,  0.5]])
    """
    weight, limits = check_weight(weight), np.asarray(limits)
    outputs, inputs = weight.shape
    if limits.ndim != 2 or len(limits) != outputs or not limits.size or inputs % limits.shape[1]:
        raise ValueError(f"limits (outputs, groups) do not fit a weight {weight.shape}: {limits.shape}")
    each = np.repeat(limits.astype(weight.dtype, copy=False), inputs // limits.shape[1], axis=1)
    return np.clip(weight, -each, each)
