"""Fewer bits a weight, chosen by what a layer reads: rounding to nearest as the baseline, GPTQ, and AWQ.

The algorithms see one matrix (outputs, inputs) and what calibration text says about its inputs: their Hessian, or the
inputs themselves. They return a `quantization.Grid`.
"""

from .awq import AwqScale, awq_clip, awq_scale, clip
from .curvature import RunningHessian, hessian, output_error
from .rounding import round_to_nearest
from .second_order import gptq
from .smoothquant import smoothing_scale

__all__ = [
    "AwqScale",
    "RunningHessian",
    "awq_clip",
    "awq_scale",
    "clip",
    "gptq",
    "hessian",
    "output_error",
    "round_to_nearest",
    "smoothing_scale",
]
