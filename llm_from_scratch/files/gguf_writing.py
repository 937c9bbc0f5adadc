"""Writing the GGUF container: header first, then one tensor after the other, each made when its turn comes.

The bytes are those that the `gguf` package writes for the same metadata and tensors. What the format holds stands in
`gguf.py`.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .atomic import atomic_write
from .gguf import ARRAY, BOOL, MAGIC, MOST_DIMENSIONS, SCALARS, STRING, TYPES, alignment_of

_LONGEST_NAME = 63  # bytes: what readers of the format have room for


class GgufSource(NamedTuple):
    """A tensor to be written: its type, its shape (of numbers, not of bytes), and what makes its bytes, uint8."""

    type: str
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        kind = TYPES[self.type]
        return math.prod(self.shape) // kind.values * kind.bytes


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    tensors: Mapping[str, GgufSource | tuple[str, np.ndarray]],
) -> None:
    """Write a GGUF file of version 3, whole or not at all.

    metadata: str, bool, int, float, lists of str, arrays of numbers (an int becomes uint32 where it fits, a float
    float32). tensors: name -> `GgufSource`, or (type, array): numbers of that very type, or the bytes of whole blocks,
    uint8, as `quantization.quantize` returns them. Memory: one tensor at a time.

    Raises ValueError or TypeError for what the format cannot hold before anything is written; what a source raises
    leaves no file, either.
    """
    alignment = alignment_of(metadata)
    if "" in metadata:
        raise ValueError("a metadata key must not be empty")
    header = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        header += [_packed_string(key), _packed_value(key, value)]
    sources: dict[str, GgufSource] = {}
    offset = 0
    for name, given in tensors.items():
        sources[name] = source = given if isinstance(given, GgufSource) else _source(name, *given)
        _check(name, source)
        dimensions = len(source.shape)
        header.append(_packed_string(name) + struct.pack(f"<I{dimensions}Q", dimensions, *source.shape[::-1]))
        header.append(struct.pack("<IQ", TYPES[source.type].number, offset))
        offset += _padded(source.nbytes, alignment)
    start = b"".join(header)
    with atomic_write(path, "wb") as file:
        file.write(start + bytes(_padded(len(start), alignment) - len(start)))
        for name, source in sources.items():
            body = np.ascontiguousarray(source.make())
            if body.nbytes != source.nbytes:
                raise ValueError(f"tensor {name!r} was made as {body.nbytes:,} bytes, {source.nbytes:,} were promised")
            file.write(body.data)
            file.write(bytes(_padded(body.nbytes, alignment) - body.nbytes))


def _source(name: str, type_name: str, array: np.ndarray) -> GgufSource:
    """A tensor that is in memory."""
    kind = TYPES.get(type_name)
    body = np.ascontiguousarray(array)
    if kind is None:
        raise ValueError(f"tensor {name!r}: {type_name!r} is not a type that can be written; known: {list(TYPES)}")
    if kind.values == 1 and body.dtype.itemsize != kind.bytes:
        raise TypeError(f"tensor {name!r}: {body.dtype} is not {type_name}")
    if kind.values > 1 and (body.dtype != np.uint8 or body.ndim == 0 or body.shape[-1] % kind.bytes):
        raise TypeError(f"tensor {name!r}: {type_name} needs whole blocks of {kind.bytes} bytes as uint8")
    last = () if body.ndim == 0 else (body.shape[-1] // (kind.bytes if kind.values > 1 else 1) * kind.values,)
    return GgufSource(type_name, (*body.shape[:-1], *last), lambda: body)


def _check(name: str, source: GgufSource) -> None:
    if source.type not in TYPES:
        raise ValueError(f"tensor {name!r}: {source.type!r} is not a type that can be written; known: {list(TYPES)}")
    if not 1 <= len(source.shape) <= MOST_DIMENSIONS or 0 in source.shape:
        raise ValueError(f"tensor {name!r} has the shape {source.shape}: GGUF holds 1 to 4 dimensions, none of them 0")
    if source.shape[-1] % TYPES[source.type].values:
        kind = TYPES[source.type]
        raise ValueError(
            f"tensor {name!r}: rows of {source.shape[-1]} are not whole {kind.name} blocks of {kind.values}"
        )
    if len(name.encode("utf-8")) > _LONGEST_NAME:
        raise ValueError(f"the tensor's name {name!r:.80} is longer than the {_LONGEST_NAME} bytes of the format")


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _packed_string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _packed_value(key: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        number = 4 if 0 <= value < 2**32 else 11
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"metadata {key!r}: {value} takes more than 64 bits")
        return struct.pack("<I" + SCALARS[number], number, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _packed_string(value)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_packed_string, value))
    array = np.asarray(value)
    for number, form in SCALARS.items():
        if number != BOOL and array.ndim == 1 and array.dtype == np.dtype("<" + form):
            return struct.pack("<IIQ", ARRAY, number, array.size) + array.tobytes()
    raise TypeError(f"metadata {key!r}: cannot store {type(value).__name__} {value!r:.60}")
