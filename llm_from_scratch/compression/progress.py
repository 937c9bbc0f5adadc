"""The layers of a sweep that are done, on disk: killed at any point, it goes on after the last of them, to the byte.

Each layer is a file of its own, written whole or not at all: all its weights, scales that AWQ folded into norms
included, as they are saved with a model. `sweep.json` says what they belong to: settings, model and text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..checkpoints.lineage import fingerprint
from ..checkpoints.quantized import described, read_weight
from ..files.atomic import write_json
from ..files.safetensors import write_safetensors
from ..files.sharded import open_checkpoint
from ..files.strict_json import read_json_object, strict_json
from ..layers import StoredWeight
from .layerwise import Quantized

SETTINGS = "sweep.json"


class Finished:
    """The finished layers in a directory. ValueError where those there belong to another sweep."""

    def __init__(self, directory: Path, model: Any, settings: Mapping[str, Any], rows: np.ndarray | None) -> None:
        self.directory = directory
        text = "none" if rows is None else hashlib.sha256(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()
        now = {**settings, "weights": fingerprint(model), "calibration": text}
        path = directory / SETTINGS
        if path.exists():
            then = read_json_object(path)
            other = [f"{key}: {then.get(key)!r}, now {now.get(key)!r}" for key in now if then.get(key) != now[key]]
            if other:
                raise ValueError(
                    f"{directory} holds layers of another sweep ({'; '.join(other)}): delete it or choose another"
                )
        else:
            directory.mkdir(parents=True, exist_ok=True)
            write_json(path, now)

    def save(self, model: Any, number: int, done: list[Quantized]) -> None:
        """Keep a layer, with what became of its matrices."""
        weights = _of_layer(model, number)
        tensors: dict[str, np.ndarray] = {}
        for name, weight in weights.items():
            parts = weight.arrays() if isinstance(weight, StoredWeight) else None
            tensors.update({name: weight} if parts is None else {f"{name}.{part}": x for part, x in parts.items()})
        said = {"quantization": described(weights), "matrices": [asdict(matrix) for matrix in done]}
        write_safetensors(self._path(number), tensors, {"layer": json.dumps(said)})

    def load(self, model: Any, number: int) -> list[Quantized] | None:
        """Put a finished layer in its place; None where it is not finished."""
        if not (path := self._path(number)).exists():
            return None
        store = open_checkpoint(path)
        said = strict_json(store.metadata["layer"].encode())
        parameters = dict(model.named_parameters())
        for name in set(_of_layer(model, number)) - set(said["quantization"]):
            parameters[name].data = np.array(store[name], np.float32)
        new = {name.rpartition(".")[0]: read_weight(store, name, kept) for name, kept in said["quantization"].items()}
        places = {id(module): path for path, module in model.named_modules() if path in new}
        model.replace(lambda path, _: path in new, lambda module: new[places[id(module)]].layer(module.bias))
        return [Quantized(**matrix) for matrix in said["matrices"]]

    def remove(self) -> None:
        """Forget everything."""
        for path in (*self.directory.glob("layer-*.safetensors"), self.directory / SETTINGS):
            path.unlink(missing_ok=True)
        self.directory.rmdir()

    def _path(self, number: int) -> Path:
        return self.directory / f"layer-{number:04d}.safetensors"


def _of_layer(model: Any, number: int) -> dict[str, Any]:
    """The weights of a layer by their names in the model."""
    found = {name: weight for name, weight in model.named_weights() if name.startswith(f"layers.{number}.")}
    return {name: weight.data if isinstance(weight, Tensor) else weight for name, weight in found.items()}
