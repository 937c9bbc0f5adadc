"""The GGUF container: metadata and quantised tensors in one file, read lazily through a memory map.

A file is "GGUF", a version, two counts, key-value pairs, one record a tensor (name, dimensions, type, offset), then the
tensors' bytes, each on a border of `general.alignment`. Nothing in it can execute code. Every count, length and offset
is held against the size of the file before anything is allocated. What the block types mean is
`quantization/blocks.py`; what the tensors are is `families/gguf`; files are written in `gguf_writing.py`.

Source: the format's description in github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, unless `general.alignment` says otherwise
MOST_DIMENSIONS = 4
_DEEPEST = 4  # arrays in arrays


class BlockType(NamedTuple):
    """How numbers are stored: `values` of them in `bytes` bytes."""

    name: str
    number: int
    values: int
    bytes: int


TYPES: dict[str, BlockType] = {
    name: BlockType(name, number, values, size)
    for name, number, values, size in (
        ("F32", 0, 1, 4), ("F16", 1, 1, 2), ("BF16", 30, 1, 2), ("F64", 28, 1, 8),
        ("Q4_0", 2, 32, 18), ("Q4_1", 3, 32, 20), ("Q5_0", 6, 32, 22), ("Q5_1", 7, 32, 24), ("Q8_0", 8, 32, 34),
        ("Q4_K", 12, 256, 144), ("Q5_K", 13, 256, 176), ("Q6_K", 14, 256, 210),
        ("I8", 24, 1, 1), ("I16", 25, 1, 2), ("I32", 26, 1, 4), ("I64", 27, 1, 8),
    )
}  # fmt: skip
"""The types that can be read, by name."""
_BY_NUMBER = {kind.number: kind for kind in TYPES.values()}
# Types that exist but are not read here, for the error message.
_OTHERS = {9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
           20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M",
           34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}  # fmt: skip

# Metadata: type number -> format of one value. 8 is a string, 9 an array.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BOOL, STRING, ARRAY = 7, 8, 9


class GgufTensor(NamedTuple):
    """Where one tensor stands: its type, its shape in NumPy's order (rows of blocks last), bytes [start, stop)."""

    type: BlockType
    shape: tuple[int, ...]
    start: int
    stop: int


class GgufFile(Mapping[str, np.ndarray]):
    """A GGUF file, opened and checked; `file[name]` is a tensor's bytes, read-only, a row of them a row of numbers.

    metadata: key -> number, bool, str, list of str, or array of numbers. tensors: name -> GgufTensor. Views keep the
    memory map open: copy what you keep. Raises ValueError when the file is not what its header claims,
    FileNotFoundError when it is not there.

    >>> import tempfile
    >>> from .gguf_writing import write_gguf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "tiny.gguf")
    ...     write_gguf(path, {"general.architecture": "llama"}, {"w": ("F32", np.ones((2, 3), np.float32))})
    ...     file = GgufFile(path)
    ...     print(file.metadata, file.tensors["w"].type.name, file["w"].shape)
    {'general.architecture': 'llama'} F32 (2, 12)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"there is no file {self.path}")
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a directory, a .gguf file was expected")
        self.size = self.path.stat().st_size
        if self.size < 24:
            raise ValueError(f"{self.path} has {self.size} bytes, a GGUF file begins with 24: it is cut off or no GGUF")
        with open(self.path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            reader = _Reader(self._map)
            self.version, tensors, pairs = reader.header()
            self.metadata = reader.metadata(pairs)
            self.tensors = reader.tensors(tensors, alignment_of(self.metadata))
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        data = np.frombuffer(self._map, np.uint8, tensor.stop - tensor.start, tensor.start)
        return data.reshape(*tensor.shape[:-1], -1) if data.size else data.reshape(*tensor.shape[:-1], 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def release(self) -> None:
        """Let the operating system take back the pages read so far: they count towards the memory of this process."""
        if hasattr(self._map, "madvise"):  # not on Windows
            self._map.madvise(mmap.MADV_DONTNEED)


class _Reader:
    """Walks through the header; every step first asks whether the file is long enough."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._size, self._at = data, len(data), 0

    def _take(self, count: int, what: str) -> int:
        if count < 0 or count > self._size - self._at:
            raise ValueError(
                f"{what} needs {count:,} bytes at offset {self._at:,}, the file ends at {self._size:,}: "
                "it is cut off or damaged"
            )
        at, self._at = self._at, self._at + count
        return at

    def _number(self, form: str, what: str) -> Any:
        form = "<" + form
        return struct.unpack_from(form, self._data, self._take(struct.calcsize(form), what))[0]

    def _count(self, form: str, least: int, what: str) -> int:
        """A count of things that take at least `least` bytes each: as many must fit into what is left."""
        count = int(self._number(form, what))
        if count * least > self._size - self._at:
            raise ValueError(f"{what} is {count:,}, more than the remaining {self._size - self._at:,} bytes can hold")
        return count

    def _string(self, what: str) -> str:
        length = self._count("Q", 1, f"the length of {what}")
        start = self._take(length, what)
        try:
            return self._data[start : start + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{what} is not UTF-8: byte {error.object[error.start]:#04x}") from None

    def header(self) -> tuple[int, int, int]:
        """Version, number of tensors, number of key-value pairs."""
        start = self._take(4, "the magic number")
        if self._data[start : start + 4] != MAGIC:
            raise ValueError(f"it begins with {bytes(self._data[:4])!r}, not with {MAGIC!r}: this is no GGUF file")
        version = self._number("I", "the version")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            reason = " (a big-endian file)" if swapped else ""
            raise ValueError(f"GGUF version {version}{reason} is not supported: expected 2 or 3, little-endian")
        tensors = self._count("Q", 24, "the number of tensors")
        return version, tensors, self._count("Q", 13, "the number of key-value pairs")

    def metadata(self, pairs: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number in range(pairs):
            key = self._string(f"metadata key {number}")
            if not key:
                raise ValueError(f"metadata key {number} is empty: the file is damaged")
            if key in found:
                raise ValueError(f"the metadata key {key!r} stands twice")
            found[key] = self._value(self._number("I", f"the type of {key!r}"), repr(key), 0)
        return found

    def _value(self, kind: int, what: str, depth: int) -> Any:
        if kind in SCALARS:
            return self._number(SCALARS[kind], what)
        if kind == STRING:
            return self._string(what)
        if kind != ARRAY:
            raise ValueError(f"{what} has the unknown metadata type {kind}")
        if depth == _DEEPEST:
            raise ValueError(f"{what} nests arrays more than {_DEEPEST} deep")
        inner = self._number("I", f"the type of {what}'s entries")
        form = SCALARS.get(inner)
        least = struct.calcsize("<" + form) if form else {STRING: 8, ARRAY: 12}.get(inner)
        if least is None:
            raise ValueError(f"{what} is an array of the unknown metadata type {inner}")
        count = self._count("Q", least, f"the length of {what}")
        if form is None:
            return [self._value(inner, f"{what}[{i}]", depth + 1) for i in range(count)]
        start = self._take(count * least, what)
        return np.frombuffer(self._data[start : start + count * least], "<" + ("u1" if inner == BOOL else form))

    def tensors(self, count: int, alignment: int) -> dict[str, GgufTensor]:
        records = [self._record(number) for number in range(count)]
        base = -(-self._at // alignment) * alignment
        found: dict[str, GgufTensor] = {}
        for name, kind, shape, offset in records:
            if name in found:
                raise ValueError(f"the tensor {name!r} stands twice")
            if offset % alignment:
                raise ValueError(f"tensor {name!r} starts at offset {offset}, not on a border of {alignment} bytes")
            start = base + offset
            stop = start + math.prod(shape) // kind.values * kind.bytes
            if stop > self._size:
                raise ValueError(
                    f"tensor {name!r}, {kind.name} {shape}, ends at byte {stop:,}, the file at {self._size:,}: "
                    "it is cut off or damaged"
                )
            found[name] = GgufTensor(kind, shape, start, stop)
        in_order = sorted(found.items(), key=lambda item: item[1].start)
        for (one, first), (two, second) in zip(in_order, in_order[1:]):
            if second.start < first.stop:
                raise ValueError(f"tensors {one!r} and {two!r} overlap: the file is damaged")
        return found

    def _record(self, number: int) -> tuple[str, BlockType, tuple[int, ...], int]:
        name = self._string(f"the name of tensor {number}")
        dimensions = self._number("I", f"the dimensions of {name!r}")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise ValueError(f"tensor {name!r} has {dimensions} dimensions, expected 1 to {MOST_DIMENSIONS}")
        shape = tuple(self._number("Q", f"the shape of {name!r}") for _ in range(dimensions))[::-1]
        kind_number = self._number("I", f"the type of {name!r}")
        kind = _BY_NUMBER.get(kind_number)
        if kind is None:
            known = _OTHERS.get(kind_number)
            label = f"the type {known}, which is not supported" if known else f"the unknown type {kind_number}"
            raise ValueError(f"tensor {name!r} has {label}; supported: {', '.join(TYPES)}")
        if 0 in shape:
            raise ValueError(f"tensor {name!r} has the shape {shape}: there is nothing in it")
        if math.prod(shape) > 512 * self._size:  # no type has fewer than 2 bits a number
            raise ValueError(f"tensor {name!r} claims the shape {shape}, the file has only {self._size:,} bytes")
        if shape[-1] % kind.values:
            raise ValueError(f"tensor {name!r}: rows of {shape[-1]} are not whole {kind.name} blocks of {kind.values}")
        return name, kind, shape, self._number("Q", f"the offset of {name!r}")


def alignment_of(metadata: Mapping[str, Any]) -> int:
    """What each tensor's offset is a multiple of, in bytes; 32 unless the file says it. ValueError if it cannot be."""
    value = metadata.get("general.alignment", ALIGNMENT)
    if isinstance(value, bool) or not isinstance(value, int) or not 8 <= value <= 1 << 20 or value & (value - 1):
        raise ValueError(
            f"general.alignment must be a power of 2 and a multiple of 8, at most 1,048,576, not {value!r:.60}"
        )
    return value
