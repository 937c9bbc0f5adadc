"""Writing a model to disk in its family's published layout: config.json and safetensors, all or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from ..families import Family, find_family
from ..files.safetensors import TensorSource
from ..files.sharded import write_checkpoint
from .lineage import Lineage, current_lineage, fingerprint, to_metadata

FLOATS = {str(dtype): dtype for dtype in map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64))}


def save_pretrained(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    dtype: Any = None,
    max_shard_size: int | str = "5GB",
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write config.json and model.safetensors, its lineage in the header, as the transformers library reads them;
    generation_config.json, too, if the model came with one.

    dtype: number format of the weights ("float16", "bfloat16", np.float32, …); default: each tensor as it was stored
    where the model came from, else as it is in memory. max_shard_size: bytes, or text such as "2GB"; above it there are
    several files and an index. texts: further small files {name: text} to be saved with them.

    Other files in the directory stay. On a full disk, or any other error, so does the checkpoint that was there.
    Raises ValueError when the model belongs to no published family, no longer fits its config, or holds numbers too
    large for the format; OSError when the disk refuses.
    """
    wanted = None if dtype is None else _float(dtype)
    family = _family_of(model)
    arrays = model.weights()
    table = family.weights(model.config)
    bindings = table.bind({name: array.shape for name, array in arrays.items()})
    formats = dict.fromkeys([b.theirs for b in bindings], wanted) if wanted else model.stored_formats
    sources = table.sources(arrays, formats)
    stored = {ours: sources[binding.theirs].dtype for binding in bindings for ours in binding.ours}
    metadata = to_metadata(_lineage(model, stored))
    config = {**model.config, **family.as_saved, "torch_dtype": str(next(iter(sources.values())).dtype)}
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    texts = {"config.json": text, **(texts or {})}
    if model.generation_config:
        kept = json.dumps(model.generation_config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        texts = {"generation_config.json": kept, **texts}
    write_checkpoint(directory, sources, texts=texts, max_shard_size=max_shard_size, metadata=metadata)


def _lineage(model: Any, stored: Mapping[str, np.dtype]) -> Lineage:
    """The lineage to be saved; its fingerprint is that of the weights as they will be read again."""
    lineage = current_lineage(model)
    if any(dtype.itemsize < model.dtype.itemsize for dtype in stored.values()):
        lineage = lineage.with_weights(fingerprint(model, stored))
    return lineage


def export_weights(model: Any) -> dict[str, np.ndarray]:
    """The parameters under their published names, in the published layout, as arrays of their own."""
    arrays = model.weights()
    return _made(_family_of(model).weights(model.config).sources(arrays))


def export_gradients(model: Any) -> dict[str, np.ndarray]:
    """The gradients under their parameters' published names, in the published layout.

    Where a parameter has none yet (or is frozen), zeros.
    """
    arrays = {}
    for name, parameter in model.named_parameters():
        arrays[name] = np.zeros(parameter.shape, parameter.dtype) if parameter.grad is None else parameter.grad
    return _made(_family_of(model).weights(model.config).sources(arrays))


def _made(sources: Mapping[str, TensorSource]) -> dict[str, np.ndarray]:
    return {name: source.make() for name, source in sources.items()}


def _family_of(model: Any) -> Family:
    if "model_type" not in model.config:
        raise ValueError(
            "this model was made from a spec alone and has no published layout: build it with build(family, …), or "
            "keep its arrays with files.safetensors.write_safetensors(path, model.state_dict())"
        )
    family = find_family(model.config["model_type"])
    if family.spec(model.config) != model.spec:
        raise ValueError(f"model.config no longer describes this {family.name} model: what was saved would not load")
    return family


def _float(dtype: Any) -> np.dtype:
    try:
        found = FLOATS.get(str(np.dtype(dtype)))
    except TypeError:
        found = None
    if found is None:
        raise ValueError(f"weights are stored as one of {', '.join(FLOATS)}, not {dtype!r}")
    return found
