"""Compiled functions by their address: what threads of a team can be told to call with each share of some work.

A function of this kind takes the address of some int64 words, which say where arrays lie and how large they are, and
the number of a share. It may be called by several threads at once, and must not raise.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types

intrinsic: Any = extending.intrinsic  # whose results only compiled code calls

SIGNATURE = types.void(types.int64, types.int64)


@intrinsic
def call(typing, function, words, share):
    """function(words, share), the function given by its address."""

    def code(context, builder, signature, args):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), (word, word))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code
