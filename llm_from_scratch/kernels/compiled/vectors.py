"""Short vectors for loops whose shape LLVM does not find by itself: whole numbers of 16 bits, multiplied pair by pair.

Numba has no vectors, and no plain loop makes LLVM multiply neighbouring 16-bit numbers and add the two products into 32
bits, the one thing that integer products live on. So a vector is a type of its own here, held in registers, and each
function below is an operation on it in LLVM's general terms, for any width and any processor; the back end finds the
instruction (x86: `pmaddwd`, with VNNI `vpdpwssd`). What is added up are 16 numbers a vector, what is multiplied are 32.

Nothing here checks an index: whoever calls has done it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

from .atomics import prefetch

intrinsic: Any = extending.intrinsic  # whose results only compiled code calls

LANES = 16
ROWS, CHAINS = 16, 1  # that `add_rows` adds up, and in how many sums
INT16, INT32 = ir.IntType(16), ir.IntType(32)
FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
CONTRACT = ("reassoc", "contract")  # as in `dispatch.SETTINGS`


class Vector(types.Type):
    """Numba's name for an LLVM vector."""

    def __init__(self, element: ir.Type, lanes: int) -> None:
        self.llvm = ir.VectorType(element, lanes)
        super().__init__(name=f"Vector({self.llvm})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


WORDS = Vector(INT16, 2 * LANES)
WHOLE = Vector(INT32, LANES)
NUMBERS = {dtype: Vector(element, LANES) for dtype, element in FLOATS.items()}


def _entry(context, builder, array_type, *place):
    """A pointer to an entry of an array, as one to another type: (array, at, type)."""
    array, at, element = place
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), element.as_pointer())


def _spread(builder, value, lanes):
    """A vector of one number, again and again."""
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(empty, value, INT32(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


@intrinsic
def words(typing, codes, at):
    """64 bytes from `at` on as 32 words."""

    def generate(context, builder, signature, args):
        return builder.load(_entry(context, builder, signature.args[0], *args, WORDS.llvm), align=1)

    return WORDS(codes, types.intp), generate


@intrinsic
def signed_bytes(typing, codes, at):
    """32 bytes from `at` on, each a number -128 … 127, as 32 words."""

    def generate(context, builder, signature, args):
        narrow = ir.VectorType(ir.IntType(8), 2 * LANES)
        return builder.sext(
            builder.load(_entry(context, builder, signature.args[0], *args, narrow), align=1), WORDS.llvm
        )

    return WORDS(codes, types.intp), generate


@intrinsic
def nibbles(typing, words, n):
    """The n-th four bits of each word, from the lowest; n a literal 0 … 3."""

    def generate(context, builder, signature, args):
        shift = _spread(builder, builder.shl(builder.trunc(args[1], INT16), INT16(2)), 2 * LANES)
        return builder.and_(builder.lshr(args[0], shift), ir.Constant(WORDS.llvm, [15] * (2 * LANES)))

    return WORDS(WORDS, types.intp), generate


@intrinsic
def whole(typing, number):
    """Sixteen times an int32."""
    return WHOLE(types.int32), lambda context, builder, signature, args: _spread(builder, args[0], LANES)


@intrinsic
def add_pairs(typing, total, words, x, at):
    """total[o] + words[2o] · x[at] + words[2o + 1] · x[at + 1], x an array of int16."""

    def generate(context, builder, signature, args):
        total, words, x, at = args
        pair = builder.load(_entry(context, builder, signature.args[2], x, at, INT32), align=2)
        both = builder.bitcast(_spread(builder, pair, LANES), WORDS.llvm)
        wide = ir.VectorType(INT32, 2 * LANES)
        products = builder.mul(builder.sext(words, wide), builder.sext(both, wide))
        even, odd = (
            builder.shuffle_vector(products, products, ir.Constant(WHOLE.llvm, list(range(first, 2 * LANES, 2))))
            for first in (0, 1)
        )
        return builder.add(total, builder.add(even, odd))

    return WHOLE(WHOLE, WORDS, x, types.intp), generate


@intrinsic
def bits(typing, words, first, count):
    """Bits first … first + count - 1 of each neighbouring two words taken as one number of 32 bits, with their sign.

    So the even words are bits 0 … 15, the odd ones 16 … 31.
    """

    def generate(context, builder, signature, args):
        whole, first, count = builder.bitcast(args[0], WHOLE.llvm), *(builder.trunc(arg, INT32) for arg in args[1:])
        above = builder.sub(INT32(32), builder.add(first, count))
        to_the_top = builder.shl(whole, _spread(builder, above, LANES))
        return builder.ashr(to_the_top, _spread(builder, builder.sub(INT32(32), count), LANES))

    return WHOLE(WORDS, types.intp, types.intp), generate


@intrinsic
def as_numbers(typing, whole, like):
    """The nearest floats of whole numbers, of the dtype of the array `like`."""

    def generate(context, builder, signature, args):
        return builder.sitofp(args[0], signature.return_type.llvm)

    return NUMBERS[like.dtype](WHOLE, like), generate


@intrinsic
def spread(typing, number):
    """Sixteen times a float."""
    return NUMBERS[number](number), lambda context, builder, signature, args: _spread(builder, args[0], LANES)


@intrinsic
def load(typing, x, at):
    """x[at : at + 16], floats."""

    def generate(context, builder, signature, args):
        return builder.load(_entry(context, builder, signature.args[0], *args, signature.return_type.llvm), align=4)

    return NUMBERS[x.dtype](x, types.intp), generate


@intrinsic
def store(typing, x, at, numbers):
    """x[at : at + 16] = numbers."""

    def generate(context, builder, signature, args):
        builder.store(args[2], _entry(context, builder, signature.args[0], *args[:2], numbers.llvm), align=4)
        return context.get_dummy_value()

    return types.void(x, types.intp, numbers), generate


@intrinsic
def add_product(typing, total, a, b):
    """total + a · b, floats."""

    def generate(context, builder, signature, args):
        return builder.fadd(args[0], builder.fmul(args[1], args[2], flags=CONTRACT), flags=CONTRACT)

    return total(total, total, total), generate


@intrinsic
def spread_each(typing, x, i):
    """ROWS vectors: sixteen times x[i], sixteen times x[i + 1], …, floats."""

    def generate(context, builder, signature, args):
        kind = signature.return_type.dtype.llvm.element
        entries = (_entry(context, builder, signature.args[0], args[0], i, kind) for i in _steps(builder, args[1]))
        return cgutils.pack_array(builder, [_spread(builder, builder.load(entry), LANES) for entry in entries])

    return types.UniTuple(NUMBERS[x.dtype], ROWS)(x, types.intp), generate


@intrinsic
def add_rows(typing, total, weight, at, step, x, ahead):
    """total + Σ_r x_r · weight[at + r · step : … + 16], floats, for the vectors x_r of `spread_each`.

    What would stand in the same places, if the array lay at the address `ahead`, is asked for.
    """

    def generate(context, builder, signature, args):
        total, weight, at, step, x, ahead = args
        kind, size = signature.return_type.llvm, ir.Constant(at.type, signature.args[1].dtype.bitwidth // 8)
        sums: list[Any] = [total]  # several, so that an addition need not wait for the one before
        for r, place in enumerate(_steps(builder, at, step)):
            row = builder.load(_entry(context, builder, signature.args[1], weight, place, kind), align=4)
            product = builder.fmul(row, builder.extract_value(x, r), flags=CONTRACT)
            if 0 < r < CHAINS:
                sums.append(product)
            else:
                sums[r % CHAINS] = builder.fadd(sums[r % CHAINS], product, flags=CONTRACT)
            prefetch(builder, builder.add(ahead, builder.mul(size, place)))
        while len(sums) > 1:
            sums = [builder.fadd(a, b, flags=CONTRACT) for a, b in zip(sums[::2], sums[1::2])]
        return sums[0]

    return total(total, weight, types.intp, types.intp, x, types.int64), generate


def _steps(builder, at, step=None):
    """at, at + step, …: ROWS of them."""
    for _ in range(ROWS):
        yield at
        at = builder.add(at, ir.Constant(at.type, 1) if step is None else step)
