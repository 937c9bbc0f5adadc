"""Automatic differentiation on NumPy arrays: `Tensor`, `@primitive`, elementary operations, `gradcheck`."""

from . import operators as _operators  # puts + - * / @ [] and the methods on Tensor
from .gradcheck import GradientMismatch, gradcheck
from .ops import concatenate, unbroadcast
from .primitive import PRIMITIVES, Primitive, primitive
from .tensor import Tensor, as_tensor, grad_enabled, no_grad

__all__ = [
    "PRIMITIVES",
    "GradientMismatch",
    "Primitive",
    "Tensor",
    "as_tensor",
    "concatenate",
    "grad_enabled",
    "gradcheck",
    "no_grad",
    "primitive",
    "unbroadcast",
]
del _operators
