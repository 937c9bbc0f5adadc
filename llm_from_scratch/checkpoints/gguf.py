"""Models from GGUF files: their metadata as a published config, their tensors straight into our parameters.

Names, layouts and the order of rows are tables (`families/gguf`); everything else is the family's own: the config
reader, the decoder. Weights are expanded into an ordinary model, or stay packed (`packed.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..families import Family, WeightTable, find_family
from ..families.gguf import Architecture, Header, find_architecture
from ..files.gguf import GgufFile
from ..quantization import BLOCKS, FLOATS, dequantize
from ..tokenizers.formats.gguf import model_ids


class Description(NamedTuple):
    """What a file says of its model: which architecture, which family, and the config."""

    architecture: Architecture
    family: Family
    config: dict[str, Any]


def describe(file: GgufFile) -> Description:
    """The file's metadata as a config.json. ValueError names what is missing or not supported."""
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    return description_of(
        Header(file.metadata, shapes, functools.partial(_numbers, file), functools.partial(_same, file))
    )


def description_of(header: Header) -> Description:
    """The same of a file that need not be there yet."""
    architecture = find_architecture(header.metadata.get("general.architecture"))
    family = find_family(architecture.family_of(header))
    config = {"model_type": family.model_types[0], **architecture.config(header, family.size_keys)}
    return Description(architecture, family, config | model_ids(header.metadata, config["vocab_size"]))


def _same(file: GgufFile, one: str, other: str) -> bool:
    """Whether two matrices have the same bytes, row by row: most that differ do so in the first."""
    types = {file.tensors[name].type for name in (one, other)}
    return len(types) == 1 and all(map(np.array_equal, file[one], file[other]))


def _numbers(file: GgufFile, name: str) -> np.ndarray:
    kind = file.tensors[name].type.name
    if kind not in FLOATS and kind not in BLOCKS:
        raise ValueError(f"{name} must be {math.prod(file.tensors[name].shape):,} numbers, not whole ones ({kind})")
    return dequantize(file[name], kind)


class _Entry(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]


class GgufStore:
    """A GGUF file as a store of tensors: numbers instead of blocks, and ours instead of a function of ours."""

    def __init__(self, file: GgufFile, architecture: Architecture) -> None:
        self.file, self._values = file, architecture.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.file.tensors)

    def kind(self, name: str) -> str:
        """The GGUF type of a tensor."""
        return self.file.tensors[name].type.name

    def entry(self, name: str) -> _Entry:
        """Number format and shape: blocks count as float32."""
        kind, shape = self.kind(name), self.file.tensors[name].shape
        if kind not in FLOATS and kind not in BLOCKS:
            return _Entry(np.dtype(kind.replace("I", "int").lower()), shape)
        return _Entry(FLOATS.get(kind, np.dtype(np.float32)), shape)

    def __getitem__(self, name: str) -> np.ndarray:
        numbers = _numbers(self.file, name)
        change = self._values.get(name.rpartition(".")[2])
        return numbers if change is None else change[0](numbers)

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        """Copy a view of a tensor into an array, converting."""
        np.copyto(into, view, casting="unsafe")

    def release(self, name: str) -> None:
        """The tensor has been read."""
        self.file.release()


def published_formats(
    formats: Mapping[str, np.dtype], table: WeightTable, published: WeightTable, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.dtype]:
    """Number formats by the names of a GGUF file -> by published names, which `save_pretrained` keeps to."""
    ours = {name: formats[binding.theirs] for binding in table.bind(shapes) for name in binding.ours}
    return {binding.theirs: ours[binding.ours[0]] for binding in published.bind(shapes)}
