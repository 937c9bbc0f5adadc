"""Automatic differentiation on NumPy arrays: `Tensor`, `@primitive`, elementary operations, `gradcheck`."""

from .arithmetic import absolute, add, divide, maximum, minimum, multiply, negative, power, subtract
from .bfloat16 import BFloat16Tensor, store_bfloat16, widen
from .broadcasting import unbroadcast
from .derivatives import hessian_vector_product, jacobian
from .differences import GradientMismatch, gradcheck
from .elementwise import clip, cos, exp, log, sin, sqrt, tanh
from .invariants import check_primitive
from .primitives import PRIMITIVES, Primitive, primitive
from .products import einsum, matmul, matrix_product
from .reductions import cumsum, logsumexp, mean, prod, std, total, var
from .reductions import max as max
from .reductions import min as min
from .selecting import sort, take, where
from .shaping import concatenate, pad, ravel, repeat, reshape, split, squeeze, stack, swapaxes, transpose
from .tensor import Tensor, as_tensor, grad_enabled, no_grad

abs, sum = absolute, total  # NumPy's names; inside the package, ours leave Python's alone

# `max`, `min`, `abs` and `sum` are left out: `from … import *` must not replace Python's own.
__all__ = [
    "PRIMITIVES",
    "BFloat16Tensor",
    "GradientMismatch",
    "Primitive",
    "Tensor",
    "absolute",
    "add",
    "as_tensor",
    "check_primitive",
    "clip",
    "concatenate",
    "cos",
    "cumsum",
    "divide",
    "einsum",
    "exp",
    "grad_enabled",
    "gradcheck",
    "hessian_vector_product",
    "jacobian",
    "log",
    "logsumexp",
    "matmul",
    "matrix_product",
    "maximum",
    "mean",
    "minimum",
    "multiply",
    "negative",
    "no_grad",
    "pad",
    "power",
    "primitive",
    "prod",
    "ravel",
    "repeat",
    "reshape",
    "sin",
    "sort",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "store_bfloat16",
    "subtract",
    "swapaxes",
    "take",
    "tanh",
    "total",
    "transpose",
    "unbroadcast",
    "var",
    "where",
    "widen",
]
