"""The smallest product of two matrices, held in registers: what large products are made of, for any processor.

A product is fast when every number that is loaded is used many times before it is forgotten. Registers forget nothing:
the sums of a tile of ROWS x (BYTES / size of a number) stay there for the whole depth, while one row of b and one
number of a at a time go by. No plain loop makes LLVM do that, so the tile is written in its terms; vectors are of any
width there, and the back end cuts them to what the processor has. On x86 a tile fills the registers: 12 x 2 of 64 bytes
(AVX-512), or 6 x 2 of 32 bytes, in both cases with room for two of b and one of a.

Every entry is the sum over the depth in its order, one fused multiplication and addition after another. It is therefore
the same number, bit for bit, whatever other rows and columns a product has.

Source: Goto & van de Geijn 2008, doi:10.1145/1356052.1356053; Van Zee & van de Geijn 2015, doi:10.1145/2764454.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import extending, types
from numba.core import config

from ..dispatch import compiled

intrinsic: Any = extending.intrinsic  # whose results only compiled code calls


def _has_avx512() -> bool:
    """Whether numba compiles for AVX-512: the host's features, or those set by hand."""
    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return "+avx512f" in chosen
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))


ROWS, BYTES = (12, 128) if _has_avx512() else (6, 64)
MOST_ROWS, MOST_BYTES = 12, 128  # padding to these is enough for any processor
SQUARE = 32  # bytes of a row: registers of 64 are not turned faster
INT = ir.IntType(64)
FUSED = ("contract",)  # not "reassoc": the order of the sum is a promise


def _tile(rows: int, bytes: int):
    """The product of a tile of `rows` and so many bytes as a function for compiled code."""

    @intrinsic
    def multiply_tile(typing, a, a_at, a_row, a_step, b, b_at, b_step, depth, c, c_at, c_row, add):
        """c[r, n] = Σ_p a[r, p] b[p, n], added to c[r, n] if `add`; depth >= 1. Nothing here checks an index.

        a[r, p] is entry a_at + r · a_row + p · a_step of a, b[p, n] entry b_at + p · b_step + n of b, and c[r, n] entry
        c_at + r · c_row + n of c.
        """
        index = types.intp
        signature = types.void(a, index, index, index, b, index, index, index, c, index, index, types.boolean)

        def generate(context, builder, signature, args):
            a, a_at, a_row, a_step, b, b_at, b_step, depth, c, c_at, c_row, add = args
            number = context.get_value_type(signature.args[0].dtype)
            size = 4 if isinstance(number, ir.FloatType) else 8
            lanes = bytes // size
            vector = ir.VectorType(number, lanes)
            nothing = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

            def entry(which, array, at):
                return builder.gep(context.make_array(signature.args[which])(context, builder, array).data, [at])

            def row(start, step, n):
                return builder.gep(start, [builder.mul(step, INT(n))])

            def vector_at(pointer):
                return builder.bitcast(pointer, vector.as_pointer())

            numbers, row_of_b = entry(0, a, a_at), entry(4, b, b_at)
            left = [row(numbers, a_row, n) for n in range(rows)]
            sums = [vector_at(row(entry(8, c, c_at), c_row, n)) for n in range(rows)]
            before = builder.block
            there, loop, end = (builder.append_basic_block(name) for name in ("there", "loop", "end"))
            builder.cbranch(add, there, loop)
            builder.position_at_end(there)
            old = [builder.load(pointer, align=size) for pointer in sums]
            builder.branch(loop)

            builder.position_at_end(loop)
            p, total = builder.phi(INT), [builder.phi(vector) for _ in range(rows)]
            right = builder.load(vector_at(builder.gep(row_of_b, [builder.mul(p, b_step)])), align=size)
            following = builder.add(p, INT(1))
            p.add_incoming(INT(0), before)
            p.add_incoming(INT(0), there)
            p.add_incoming(following, loop)
            for n in range(rows):
                one = builder.load(builder.gep(left[n], [builder.mul(p, a_step)]))
                one = builder.shuffle_vector(builder.insert_element(nothing, one, INT(0)), nothing, everywhere)
                new = builder.fadd(builder.fmul(one, right, flags=FUSED), total[n], flags=FUSED)
                total[n].add_incoming(ir.Constant(vector, [0.0] * lanes), before)
                total[n].add_incoming(old[n], there)
                total[n].add_incoming(new, loop)
                total[n] = new
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)

            builder.position_at_end(end)
            for value, pointer in zip(total, sums):
                builder.store(value, pointer, align=size)
            return context.get_dummy_value()

        return signature, generate

    return multiply_tile


multiply_tile = _tile(ROWS, BYTES)
multiply_few_rows = _tile(4, BYTES)  # what is left over when tiles are full
multiply_narrow_row, multiply_row = _tile(1, BYTES), _tile(1, 4 * BYTES)  # of a product that has one row only


@intrinsic
def copy_lanes(typing, x, at, out, to):
    """out[to : to + lanes] = x[at : at + lanes], as many as a tile is wide."""
    signature = types.void(x, types.intp, out, types.intp)

    def generate(context, builder, signature, args):
        number = context.get_value_type(signature.args[0].dtype)
        size = 4 if isinstance(number, ir.FloatType) else 8
        whole = ir.VectorType(number, BYTES // size).as_pointer()
        source, target = (
            builder.bitcast(builder.gep(context.make_array(kind)(context, builder, array).data, [at]), whole)
            for kind, array, at in ((signature.args[0], *args[:2]), (signature.args[2], *args[2:]))
        )
        builder.store(builder.load(source, align=size), target, align=size)
        return context.get_dummy_value()

    return signature, generate


def _turn(builder, rows):
    """As many rows as a register holds numbers, as columns.

    Each round exchanges, between rows whose numbers differ in one bit, the halves whose places differ in that bit.
    """
    rows, lanes, bit = list(rows), len(rows), 1

    def chosen(a, b, places):
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), lanes), places))

    while bit < lanes:
        for n in range(lanes):
            if not n & bit:
                pair = rows[n], rows[n + bit]
                rows[n] = chosen(*pair, [lanes + m - bit if m & bit else m for m in range(lanes)])
                rows[n + bit] = chosen(*pair, [lanes + m if m & bit else m + bit for m in range(lanes)])
        bit *= 2
    return rows


def _parts(context, builder, signature, args, bytes):
    """A function that finds an entry of array argument number n, as a pointer to so many bytes of its numbers."""
    number = context.get_value_type(signature.args[0].dtype)
    size = 4 if isinstance(number, ir.FloatType) else 8
    vector = ir.VectorType(number, bytes // size)

    def pointer(n, at):
        data = context.make_array(signature.args[n])(context, builder, args[n]).data
        return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())

    return pointer, vector, size


@intrinsic
def transpose_square(typing, x, at, step, out, to, out_step):
    """out[to + n · out_step + m] = x[at + m · step + n] for m, n < SQUARE / size of a number."""
    signature = types.void(x, types.intp, types.intp, out, types.intp, types.intp)

    def generate(context, builder, signature, args):
        pointer, vector, size = _parts(context, builder, signature, args, SQUARE)
        _, at, step, _, to, out_step = args

        def row(n, at, step, m):
            return pointer(n, builder.add(at, builder.mul(step, INT(m))))

        rows = [builder.load(row(0, at, step, m), align=size) for m in range(vector.count)]
        for m, column in enumerate(_turn(builder, rows)):
            builder.store(column, row(3, to, out_step, m), align=size)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def multiply_turned(typing, x, x_at, m, m_at, m_step, depth, y, y_at):
    """y[y_at + n] = Σ_p x[x_at + p] m[m_at + n · m_step + p] for as many n as a tile is wide.

    p from left to right as everywhere, but m lies the other way round and is turned square by square; depth >= 1 is a
    multiple of SQUARE / size of a number.
    """
    signature = types.void(x, types.intp, m, types.intp, types.intp, types.intp, y, types.intp)

    def generate(context, builder, signature, args):
        pointer, vector, size = _parts(context, builder, signature, args, SQUARE)
        _, x_at, _, m_at, m_step, depth, _, y_at = args
        lanes = vector.count
        nothing = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        before, loop, end = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        p, sums = builder.phi(INT), [builder.phi(vector) for _ in range(BYTES // SQUARE)]
        following = builder.add(p, INT(lanes))
        p.add_incoming(INT(0), before)
        p.add_incoming(following, loop)
        numbers = builder.bitcast(pointer(0, builder.add(x_at, p)), vector.element.as_pointer())
        spread = []
        for n in range(lanes):
            one = builder.load(builder.gep(numbers, [INT(n)]))
            one = builder.insert_element(nothing, one, INT(0))
            spread.append(builder.shuffle_vector(one, nothing, everywhere))
        for group, total in enumerate(sums):
            total.add_incoming(ir.Constant(vector, [0.0] * lanes), before)
            first = builder.add(builder.add(m_at, p), builder.mul(m_step, INT(group * lanes)))
            places = [builder.add(first, builder.mul(m_step, INT(n))) for n in range(lanes)]
            new = total
            for one, row in zip(spread, _turn(builder, [builder.load(pointer(2, at), align=size) for at in places])):
                new = builder.fadd(builder.fmul(one, row, flags=FUSED), new, flags=FUSED)
            total.add_incoming(new, loop)
            sums[group] = new
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)
        builder.position_at_end(end)
        for group, total in enumerate(sums):
            builder.store(total, pointer(6, builder.add(y_at, INT(group * lanes))), align=size)
        return context.get_dummy_value()

    return signature, generate


@compiled
def up(n, multiple):
    """The next multiple, n itself if it is one."""
    return -(-n // multiple) * multiple


@compiled
def as_columns(x, at, step, count, width, lanes, out):
    """Rows x_j of `width` as panels of `lanes` columns, out[j // lanes, d, j % lanes]; zeros beyond the last row."""
    kind, square = out.dtype.type, SQUARE // out.itemsize
    deep = width // square * square
    for n in range(-(-count // lanes)):
        here = min(lanes, count - n * lanes)
        first = n * width * lanes
        panel = out[first : first + width * lanes]
        if here < lanes:
            panel[:] = kind(0.0)
        squares = here // square * square
        for i in range(0, squares, square):
            for d in range(0, deep, square):
                transpose_square(x, at + (n * lanes + i) * step + d, step, out, first + d * lanes + i, lanes)
        for i in range(here):
            start = deep if i < squares else 0
            row = x[at + (n * lanes + i) * step : at + (n * lanes + i) * step + width]
            for d in range(start, row.size):
                panel[d * lanes + i] = row[d]


@compiled
def as_rows(x, at, step, count, width, scale, rows, wide, out):
    """scale · x_j, one below the other, each padded with zeros to `wide`; and rows of zeros up to `rows`."""
    kind = out.dtype.type
    for j in range(rows):
        to = out[j * wide : (j + 1) * wide]
        if j < count:
            row = x[at + j * step : at + j * step + width]
            for d in range(width):
                to[d] = scale * row[d]
            to[width:] = kind(0.0)
        else:
            to[:] = kind(0.0)


@compiled
def hand_out(sums, wide, count, scale, x, at, step, width, add):
    """Rows of `sums` times scale to their places in x, added there if `add`."""
    for j in range(count):
        row, to = sums[j * wide : j * wide + width], x[at + j * step : at + j * step + width]
        if add:
            for d in range(row.size):
                to[d] += scale * row[d]
        else:
            for d in range(row.size):
                to[d] = scale * row[d]
