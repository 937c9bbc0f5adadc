"""Experts stored one on the other: how the transformers library holds a Mixtral in memory, and may write it.

Only read: what is saved has one tensor a matrix, as the released files do, which the library opens as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .published.weights import Store, WeightTable


class ExpertTable(WeightTable):
    """Also reads files in which the experts of a layer are stacked, which the transformers library holds in memory."""

    def load(self, model: Any, store: Store, dtype: np.dtype | None) -> dict[str, np.dtype]:
        """Fill the model's parameters from `store`; see `WeightTable.load`."""
        return super().load(model, Unstacked(store), dtype)


class Unstacked:
    """A store whose `mlp.experts.gate_up_proj` (E, 2 f, d) and `down_proj` (E, d, f) go by the names of their parts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parts: dict[str, tuple[str, Any]] = {}  # our name: (stored tensor, the part of it)
        for name in store:
            found = re.fullmatch(r"(.*layers\.\d+\.)mlp\.experts\.(gate_up_proj|down_proj)", name)
            if not found:
                self._add(name, (name, ...))
                continue
            shape = store.entry(name).shape
            if len(shape) != 3 or (found[2] == "gate_up_proj" and shape[1] % 2):
                raise ValueError(f"{name} has shape {tuple(shape)}: the matrices of all experts were expected, stacked")
            for n in range(shape[0]):
                expert, half = f"{found[1]}block_sparse_moe.experts.{n}.", shape[1] // 2
                parts = (
                    {"w2": (n,)} if found[2] == "down_proj" else {"w1": (n, slice(half)), "w3": (n, slice(half, None))}
                )
                for word, part in parts.items():
                    self._add(f"{expert}{word}.weight", (name, part))

    def _add(self, name: str, part: tuple[str, Any]) -> None:
        if name in self._parts:
            raise ValueError(f"the weights hold {name} twice, in {self._parts[name][0]} and in {part[0]}")
        self._parts[name] = part

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __getitem__(self, name: str) -> np.ndarray:
        stored, part = self._parts[name]
        return self._store[stored][part]

    def entry(self, name: str) -> Any:
        stored, part = self._parts[name]
        entry = self._store.entry(stored)
        shape = np.broadcast_to(np.int8(0), entry.shape)[part].shape
        return SimpleNamespace(dtype=entry.dtype, shape=shape)

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        self._store.copy(self._parts[name][0], view, into)

    def release(self, name: str) -> None:
        self._store.release(self._parts[name][0])
