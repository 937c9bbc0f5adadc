"""Quantising as contenders: one matrix, the real 135M model, and one token's products with what comes out.

GPTQ stands beside rounding to nearest, which is the least that there is to do; a product beside making numbers of the
codes and multiplying with them, and beside float32. Products are timed over all 210 matrices of the model in turn, as a
token meets them: a single one would stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..compression import gptq, hessian, quantize_model, round_to_nearest
from ..quantization import GridWeight, Int8Weight, NF4Weight
from ..quantization.grid import round_to_grid
from . import models
from .case import Work

SHAPES = ((576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)) * 30


def _on_grid(bits: int) -> Callable[[np.ndarray], Any]:
    return lambda weight: GridWeight.of(round_to_grid(weight, bits=bits, group_size=64))


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "nf4": NF4Weight.of,
    "int8": Int8Weight.of,
    **{f"grid-{bits}": _on_grid(bits) for bits in (2, 3, 4)},
}
TOKENS = 16384  # of calibration text
_ROWS = 2048


def one_matrix(method: str) -> Work:
    """576 outputs of 1,536 inputs to 4 bits in groups of 64; by GPTQ with the Hessian of 2,048 rows."""
    rng = np.random.default_rng(0)
    weight, inputs = (rng.standard_normal((n, 1536), np.float32) for n in (576, _ROWS))
    if method == "rtn":
        return lambda: round_to_nearest(weight, bits=4, group_size=64)
    return lambda: gptq(weight, hessian(inputs), bits=4, group_size=64)


def whole_model(method: str) -> Work:
    """SmolLM2-135M from its file to 4 bits, with 32 rows of 512 tokens."""
    models.real_model(packed=True)  # is it there?
    rows = np.random.default_rng(0).integers(0, 49152, (TOKENS // 512, 512))
    return lambda: quantize_model(models.real_model(packed=True), method, rows, bits=4, group_size=64)


def products(form: str, way: str, shapes: Any = SHAPES) -> Work:
    """One token through all matrices. way: "codes" as they lie, "numbers" made of them each time, or "float32"."""
    rng = np.random.default_rng(0)
    weights = [FORMS[form](rng.standard_normal(shape, np.float32)) for shape in shapes]
    inputs = {n: rng.standard_normal((1, n), np.float32) for n in {shape[1] for shape in shapes}}
    if way == "float32":
        kept = [np.ascontiguousarray(weight.expand()) for weight in weights]
        return lambda: [inputs[len(weight)] @ weight for weight in kept]
    if way == "numbers":
        return lambda: [inputs[weight.shape[0]] @ weight.expand() for weight in weights]
    return lambda: [weight.matmul(inputs[weight.shape[0]]) for weight in weights]
