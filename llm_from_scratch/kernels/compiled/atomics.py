"""What threads that share memory need and numba lacks: numbers that several change at once, and addresses as arrays.

`add`, `load` and `store` act on the 64-bit integer at an address and order memory: what a thread wrote before it adds
or stores is seen by whoever loads the result. `floats`, `whole` and `bytes_at` lead from an address to what lies there.
"""

from __future__ import annotations

import platform
import sys
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ..dispatch import compiled

intrinsic: Any = extending.intrinsic  # whose results only compiled code calls

_WORD = ir.IntType(64)


def _at(builder, address):
    return builder.inttoptr(address, _WORD.as_pointer())


@intrinsic
def add(typing, address, amount):
    """Add to the integer at an address; what it was before. No two threads get the same."""

    def code(context, builder, signature, args):
        return builder.atomic_rmw("add", _at(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@intrinsic
def exchange(typing, address, value):
    """Put another integer at an address; what it was before."""

    def code(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _at(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@intrinsic
def load(typing, address):
    """The integer at an address, as it is now."""

    def code(context, builder, signature, args):
        return builder.load_atomic(_at(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), code


@intrinsic
def store(typing, address, value):
    """Put an integer at an address."""

    def code(context, builder, signature, args):
        builder.store_atomic(args[1], _at(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def breathe(typing):
    """Tell the core that this thread is waiting in a loop, so that it leaves its twin thread the execution units."""

    def code(context, builder, signature, args):
        if platform.machine().lower() in ("x86_64", "amd64", "i686"):
            kind = ir.FunctionType(ir.VoidType(), ())
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), ())
        return context.get_dummy_value()

    return types.void(), code


def prefetch(builder: Any, address: Any) -> None:
    """Ask for the 64 bytes at an address, which will be read soon; any address is allowed.

    They come into the second cache: on the way to the first, fewer requests can be open at a time.
    """
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, (builder.inttoptr(address, byte), number(0), number(2), number(1)))


GIVES_WAY = sys.platform != "win32"
_sched_yield = types.ExternalFunction("sched_yield", types.int32())
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.CPointer(types.int64)))
_STEADY = getattr(time, "CLOCK_MONOTONIC", 0)


def _pointer(kind):
    @intrinsic
    def pointer(typing, address):
        def code(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), code

    return pointer


floats, doubles, whole, bytes_at = (_pointer(kind) for kind in (types.float32, types.float64, types.int64, types.uint8))


@compiled
def nanoseconds():
    """A clock that never goes back; 0 where this system has none to ask."""
    if not GIVES_WAY:
        return np.int64(0)
    now = np.empty(2, np.int64)
    _clock_gettime(_STEADY, now.ctypes)  # type: ignore[call-overload]
    return now[0] * 1_000_000_000 + now[1]
