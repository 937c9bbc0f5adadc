"""The safetensors container: named arrays in one file, read lazily through a memory map and written as a
stream.

A file is an 8-byte little-endian length N, N bytes of JSON (`{"name": {"dtype", "shape", "data_offsets"},
...}`), then the arrays' bytes, back to back. Nothing in it can execute code. Everything the header claims is
checked before a byte is allocated. What this module does not do: know what the tensors mean
(`families/published/weights.py`) or several files (`sharded.py`).

Read here rather than by the `safetensors` library (against which the tests hold it) for three reasons: its
NumPy side writes only arrays that all stand in memory, converted, at the same time; it keeps every page it
has read mapped, which counts towards a process's memory; and its errors are meant for programmers rather than
for someone with a broken download.

Source: github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from .atomic import atomic_write
from .strict_json import strict_json

HEADER_LIMIT = 100_000_000  # bytes; the limit of the reference implementation
METADATA = "__metadata__"

# Stored names of the number formats. "<" everywhere: the container is little-endian on every machine.
DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
}
_STORED_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """Where one tensor stands: its number format, its shape and its bytes [start, stop) counted from the
    file's start.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


class SafetensorsFile(Mapping[str, np.ndarray]):
    """A safetensors file, opened and checked; `file[name]` is a read-only view into the memory map.

    entries: name -> Entry; metadata: the header's free strings. Views keep the file open: copy what you keep.
    Raises ValueError when the file is not what its header claims, FileNotFoundError when it is not there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "two.safetensors")
    ...     write_safetensors(path, {"a": np.arange(3, dtype=np.int32), "b": np.ones((2, 2), np.float32)})
    ...     file = SafetensorsFile(path)
    ...     print(list(file), file.entries["b"].shape, file["a"].tolist())
    ...     del file
    ['a', 'b'] (2, 2) [0, 1, 2]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.entries, self.metadata = _read_header(file, size, self.path)
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)

    def __getitem__(self, name: str) -> np.ndarray:
        dtype, shape, start, stop = self.entries[name]
        if self._map.size() < stop:  # the system ends a process that reads behind the end of a file
            raise ValueError(f"{self.path} was cut while it was being read: fetch or write the file again")
        array = np.frombuffer(self._map, dtype, count=math.prod(shape), offset=start).reshape(shape)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def release(self) -> None:
        """Give the pages read so far back to the system. Views stay valid and are read again."""
        if hasattr(mmap, "MADV_DONTNEED"):  # Windows unmaps with the last view instead
            self._map.madvise(mmap.MADV_DONTNEED)


class TensorSource(NamedTuple):
    """A tensor to be written, made only when its turn comes, so that a converted copy of a whole model never
    exists.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def source_of(name: str, value: np.ndarray | TensorSource) -> TensorSource:
    """`value` as a TensorSource with a stored number format; TypeError naming the tensor when the container
    has none.
    """
    if not isinstance(value, (np.ndarray, np.generic, TensorSource)):
        raise TypeError(f"tensor {name!r} is a {type(value).__name__}; only NumPy arrays can be written")
    dtype = np.dtype(value.dtype).newbyteorder("<")
    if dtype not in _STORED_NAMES:
        raise TypeError(f"tensor {name!r} is {value.dtype}, which safetensors cannot store; it stores {_known()}")
    if isinstance(value, TensorSource):
        return value._replace(dtype=dtype)
    array = np.asarray(value)
    return TensorSource(dtype, array.shape, lambda: array)


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray | TensorSource],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors` to `path`, atomically: on any failure the file that stood there is intact.

    Tensors are made, converted to contiguous little-endian and written one after another, the widest number
    format first (which keeps each aligned), then by name: equal tensors give equal bytes. metadata: strings
    for the header; the transformers library wants {"format": "pt"}.

    Raises TypeError for what the format cannot hold, ValueError when a TensorSource makes something else than
    announced.
    """
    with atomic_write(path, "wb") as file:
        for piece in _pieces(tensors, metadata):
            file.write(piece)


def _pieces(
    tensors: Mapping[str, np.ndarray | TensorSource], metadata: Mapping[str, str] | None
) -> Iterator[bytes | np.ndarray]:
    header: dict[str, Any] = {}
    if metadata is not None:
        for key, text in metadata.items():
            if not isinstance(key, str) or not isinstance(text, str):
                raise TypeError(f"safetensors metadata holds strings only, got {key!r}: {text!r}")
        header[METADATA] = dict(metadata)
    sources = {}
    for name, value in tensors.items():
        if not isinstance(name, str) or name == METADATA:
            raise TypeError(f"{name!r} cannot be a tensor's name: a string other than {METADATA!r} was expected")
        sources[name] = source_of(name, value)
    ordered = sorted(sources.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    offset = 0
    for name, source in ordered:
        end = offset + source.nbytes
        header[name] = {
            "dtype": _STORED_NAMES[source.dtype],
            "shape": source.shape,
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    encoded += b" " * (-len(encoded) % 8)  # the data then start at a multiple of 8
    yield len(encoded).to_bytes(8, "little") + encoded
    for name, source in ordered:
        array = source.make()
        if array.shape != tuple(source.shape):
            raise ValueError(f"tensor {name!r} was announced with shape {source.shape} and came with {array.shape}")
        # Through uint8: bfloat16 arrays do not offer the buffer protocol.
        yield np.ascontiguousarray(array, source.dtype).reshape(-1).view(np.uint8)


def _read_header(file: Any, size: int, path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    def refuse(problem: str) -> ValueError:
        return ValueError(f"{path} is not a usable safetensors file: {problem}. Fetch or write the file again")

    start = file.read(8)
    if len(start) < 8:
        raise refuse(f"it has {size} bytes, too few even for the length of a header")
    if start == b"version ":
        raise refuse("it is a Git LFS pointer, a note about where the weights are; run `git lfs pull`")
    length = int.from_bytes(start, "little")
    if length > HEADER_LIMIT:
        raise refuse(f"its first 8 bytes announce a header of {length} bytes, the limit is {HEADER_LIMIT}")
    if length > size - 8:
        raise refuse(f"it announces a header of {length} bytes but only {size - 8} follow; it is cut off")
    try:
        header = strict_json(file.read(length))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise refuse(f"its header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise refuse(f"its header is a JSON {type(header).__name__}, expected an object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise refuse(f"{METADATA} must map strings to strings")
    data = size - 8 - length
    entries = {}
    for name, fields in header.items():
        try:
            entries[name] = _entry(fields, 8 + length, data)
        except ValueError as error:
            raise refuse(f"tensor {name!r} {error}") from None
    _check_tiling(entries, 8 + length, size, refuse)
    return entries, metadata


def _entry(fields: Any, origin: int, available: int) -> Entry:
    if not isinstance(fields, dict) or not {"dtype", "shape", "data_offsets"} <= fields.keys():
        raise ValueError("is described without dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"has dtype {dtype!r}; known are {_known()}")
    if not isinstance(shape, list) or not all(_is_count(n) for n in shape) or len(shape) > 32:
        raise ValueError(f"has shape {str(shape)[:200]}; a list of at most 32 non-negative integers was expected")
    kind = DTYPES[dtype]
    # Python's integers do not overflow; NumPy's would. A zero among giants must not hide them either.
    if math.prod(max(n, 1) for n in shape) * kind.itemsize >= 1 << 63:
        raise ValueError(f"has the impossible shape {str(shape)[:200]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(n) for n in offsets):
        raise ValueError(f"has data_offsets {str(offsets)[:200]}; two non-negative integers were expected")
    begin, end = offsets
    if begin > end or end > available:
        raise ValueError(
            f"claims bytes {begin} to {end} of {available} bytes of data; the file is cut off or corrupted"
        )
    needed = math.prod(shape) * kind.itemsize
    if end - begin != needed:
        raise ValueError(f"of shape {shape} in {dtype} needs {needed} bytes, but data_offsets give {end - begin}")
    return Entry(kind, tuple(shape), origin + begin, origin + end)


def _check_tiling(entries: dict[str, Entry], origin: int, size: int, refuse: Callable[[str], ValueError]) -> None:
    # Overlaps would let one tensor change another's meaning, gaps could smuggle anything: the format forbids
    # both.
    reached, last = origin, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start < reached:
            raise refuse(f"tensor {name!r} overlaps {last!r}")
        if entry.start > reached:
            raise refuse(f"there are {entry.start - reached} unexplained bytes before tensor {name!r}")
        reached, last = entry.stop, name
    if reached != size:
        raise refuse(f"there are {size - reached} unexplained bytes after the last tensor")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _known() -> str:
    return ", ".join(f"{name} ({dtype.name})" for name, dtype in DTYPES.items())
