"""Fewer bits a weight, chosen by what a layer reads: rounding to nearest as the baseline, GPTQ, and AWQ.

The algorithms see one matrix (outputs, inputs) and what calibration text says about its inputs: their Hessian, or the
inputs themselves. They return a `quantization.Grid`. `quantize_model` takes them through a whole model.
"""

from .awq import AwqScale, awq_clip, awq_scale, clip
from .calibration import calibration_rows
from .curvature import RunningHessian, hessian, output_error
from .layerwise import METHODS, Quantized
from .rounding import round_to_nearest
from .second_order import gptq
from .smoothquant import smoothing_scale
from .sweep import Report, quantize_model

__all__ = [
    "AwqScale",
    "METHODS",
    "Quantized",
    "Report",
    "RunningHessian",
    "awq_clip",
    "awq_scale",
    "calibration_rows",
    "clip",
    "gptq",
    "hessian",
    "output_error",
    "quantize_model",
    "round_to_nearest",
    "smoothing_scale",
]
