"""Products of matrices and of anything with named axes."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from ..kernels.row_products import product
from .broadcasting import normal, one_dtype, unbroadcast
from .operators import known_as
from .primitives import primitive
from .shaping import reshape
from .tensor import Tensor, as_tensor


@known_as(operator="matmul", numpy=["matmul", "dot"])
def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product of matrices and vectors: see `matrix_product`.

    A vector is a row on the left and a column on the right, and loses that axis again, as in NumPy.

    >>> matmul([1.0, 2.0], [3.0, 4.0])
    Tensor(11.)
    """
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim:
        raise ValueError(f"matmul takes vectors and matrices, not shapes {a.shape} and {b.shape}: use * for numbers")
    row, column = a.ndim == 1, b.ndim == 1
    y = matrix_product(reshape(a, (1, -1)) if row else a, reshape(b, (-1, 1)) if column else b)
    if not (row or column):
        return y
    return reshape(y, y.shape[:-2] + y.shape[-2:-1] * (not row) + y.shape[-1:] * (not column))


@primitive
def matrix_product(a, b, /):
    """Matrix product over the last two axes, the others broadcast: (..., M, K), (..., K, N) -> (..., M, N).

    >>> matrix_product([[1.0, 2.0]], [[3.0], [4.0]])
    Tensor([[11.]])
    """
    a, b = one_dtype(a, b)
    return product(a, b), (a, b)


@matrix_product.backward
def _(dy, saved, needs):
    a, b = saved
    da = unbroadcast(dy @ b.swapaxes(-1, -2), a.shape) if needs[0] else None
    return da, unbroadcast(a.swapaxes(-1, -2) @ dy, b.shape) if needs[1] else None


for _shapes in (((2, 3, 4), (4, 5)), ((3, 4), (2, 1, 4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((1, 1), (1, 1))):
    normal(matrix_product, shapes=_shapes)


@known_as(numpy=["einsum", "inner", "outer", "tensordot", "trace"])
def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Sums of products over named axes: subscripts such as "bij,bjk->bik", as np.einsum has them.

    "..." stands for any axes in front, a letter named twice in one operand for its diagonal.

    >>> einsum("ii->", [[1.0, 2.0], [3.0, 4.0]])
    Tensor(5.)
    """
    return sum_of_products(*operands, subscripts=subscripts)


@primitive
def sum_of_products(*operands, subscripts):
    """What `einsum` computes, as a primitive.

    >>> sum_of_products([1.0, 2.0], [3.0, 4.0], subscripts="i,i->")
    Tensor(11.)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum takes its subscripts first, as a text such as 'ij,jk->ik', not {subscripts!r:.40}")
    operands = one_dtype(*operands)
    inputs, output = _explicit(subscripts, operands)
    return np.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=len(operands) > 2), (operands, inputs, output)


@sum_of_products.backward
def _(dy, saved, needs):
    operands, inputs, output = saved
    return tuple(_operand_gradient(i, dy, operands, inputs, output) if n else None for i, n in enumerate(needs))


def _operand_gradient(number, dy, operands, inputs, output):
    """The product is linear in each operand: its gradient is the product of dy with all the others."""
    names, operand = inputs[number], operands[number]
    once = "".join(dict.fromkeys(names))
    others = [(inputs[i], x) for i, x in enumerate(operands) if i != number]
    length = {name: n for part, x in [*others, (names, operand)] for name, n in zip(part, x.shape) if n != 1}
    # What neither dy nor another operand names was summed over alone; a length of 1 there was broadcast.
    seen = {name for part, x in [(output, dy), *others] for name, n in zip(part, x.shape) if n == length.get(name, 1)}
    terms = [(output, dy), *others, *((c, np.ones(length.get(c, 1), dy.dtype)) for c in once if c not in seen)]
    spec = ",".join(part for part, _ in terms)
    full = np.einsum(f"{spec}->{once}", *(x for _, x in terms), optimize=len(terms) > 2)
    full = unbroadcast(full, tuple(operand.shape[names.index(c)] for c in once))
    if len(once) == len(names):
        return full
    gradient = np.zeros(operand.shape, dy.dtype)  # an axis named twice means its diagonal
    places = np.ogrid[tuple(slice(n) for n in full.shape)]
    gradient[tuple(places[once.index(c)] for c in names)] = full
    return gradient


def _explicit(subscripts: str, operands: tuple[np.ndarray, ...]) -> tuple[list[str], str]:
    """The subscripts with a letter for every axis: "..." spelt out, and the output named. ValueError if they misfit."""
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} operands, got {len(operands)}")
    spare = [letter for letter in string.ascii_letters if letter not in text]
    wide = [x.ndim - len(part.replace("...", "")) for part, x in zip(inputs, operands) if "..." in part]
    dots = "".join(spare[: max(wide, default=0)])
    for i, (part, x) in enumerate(zip(inputs, operands)):
        if "..." in part:
            extra = x.ndim - len(part) + 3
            inputs[i] = part.replace("...", dots[len(dots) - extra :] if extra else "")
        if len(inputs[i]) != x.ndim:
            raise ValueError(f"einsum: {part!r} of {subscripts!r} does not fit the shape {x.shape}")
    if arrow:
        return inputs, output.replace("...", dots)
    letters = "".join(inputs)
    return inputs, dots + "".join(sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1))


_EQUATIONS: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("ij,jk->ik", ((2, 3), (3, 4))), ("bij,bkj->bik", ((2, 3, 4), (2, 5, 4))), ("ij->j", ((2, 3),)),
    ("ii->", ((3, 3),)), ("ii->i", ((3, 3),)), ("i,j", ((2,), (3,))), ("ij,ji", ((2, 3), (3, 2))),
    ("...i,i->...", ((2, 3, 4), (4,))),
    ("i...,...->i...", ((2, 3, 4), (1, 4))), ("ij,k->i", ((2, 3), (4,))), ("i,i,i->i", ((3,), (3,), (3,))),
    ("iij,j->ij", ((2, 2, 3), (3,))), ("...ij->...ji", ((2, 3, 4),)), (",i->i", ((), (3,))), ("->", ((),)),
    ("i,i->", ((3,), (1,))),
)  # fmt: skip
for _subscripts, _operands in _EQUATIONS:
    normal(sum_of_products, {"subscripts": _subscripts}, shapes=_operands)
