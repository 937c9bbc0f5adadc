"""Writing a model to disk, all or nothing: config.json and safetensors in its family's published layout.

A model that no family describes is written in our own layout, see `own_layout`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..autograd import Tensor
from ..families import Family, WeightTable, find_family
from ..files.safetensors import TensorSource
from ..files.sharded import write_checkpoint
from . import own_layout, quantized
from .lineage import Lineage, current_lineage, fingerprint, to_metadata

FLOATS = {str(dtype): dtype for dtype in map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64))}


def save_pretrained(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    dtype: Any = None,
    dequantize: bool = False,
    max_shard_size: int | str = "5GB",
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write config.json and model.safetensors, its lineage in the header, as the transformers library reads them;
    generation_config.json, too, if the model came with one. Without a published family: spec.json in place of these.
    Quantised matrices are written as they are, see `quantized`, and come back to the byte.

    dtype: number format of the weights ("float16", "bfloat16", np.float32, …); default: each tensor as it was stored
    where the model came from, else as it is in memory. dequantize: write the numbers that quantised matrices stand for,
    in the published layout; so does any dtype. max_shard_size: bytes, or text such as "2GB"; above it there are
    several files and an index. texts: further small files {name: text} to be saved with them.

    Other files in the directory stay. On a full disk, or any other error, so does the checkpoint that was there.
    Raises ValueError when the model is neither what its config nor what its spec says, when the spec cannot be written,
    or a number is too large for the format; OSError when the disk refuses.
    """
    wanted = None if dtype is None else _float(dtype)
    description, table, arrays = _layout(model)
    bindings = table.bind({name: array.shape for name, array in arrays.items()})
    formats = dict.fromkeys([b.theirs for b in bindings], wanted) if wanted else model.stored_formats
    said = {} if wanted or dequantize else quantized.described(arrays)
    stored: dict[str, np.dtype] = {}  # what is rounded in the file; in that of a quantised model nothing is
    sources: Mapping[str, TensorSource | np.ndarray]
    if said:
        sources = quantized.sources(arrays, bindings, formats)
        description = {"format": own_layout.FORMAT, **description, "quantization": said}
        files = {own_layout.SPEC: description, "config.json": quantized.notice(model)}
    else:
        sources = published = table.sources(arrays, formats)
        stored = {ours: published[binding.theirs].dtype for binding in bindings for ours in binding.ours}
        files = {own_layout.SPEC: description} if "spec" in description else _published(description, published)
    replaced = (own_layout.SPEC,) if own_layout.SPEC not in files else ("config.json", "generation_config.json")
    write_checkpoint(
        directory,
        sources,
        texts={**{name: own_layout.to_text(content) for name, content in files.items()}, **(texts or {})},
        replaced=replaced,
        max_shard_size=max_shard_size,
        metadata=to_metadata(_lineage(model, stored)),
    )


def _published(description: Mapping[str, Any], sources: Mapping[str, TensorSource]) -> dict[str, Any]:
    """The JSON files of the published layout."""
    dtype = str(next(iter(sources.values())).dtype)
    files = {"config.json": {**description["config"], "torch_dtype": dtype}}
    return files | ({"generation_config.json": said} if (said := description.get("generation_config")) else {})


def describe(model: Any) -> dict[str, Any]:
    """What is needed to build the model again, as JSON can hold it: "config" or "spec", and "generation_config".

    ValueError when the config no longer describes the model, or a spec without a family cannot be written.
    """
    if "model_type" in model.config:
        description = {"config": {**model.config, **_family_of(model).as_saved}}
    else:
        description = own_layout.describe(model.spec) | ({"config": model.config} if model.config else {})
    return description | ({"generation_config": model.generation_config} if model.generation_config else {})


def check_saving(model: Any) -> None:
    """ValueError if `save_pretrained` would refuse the model as it is; nothing is written."""
    _, table, arrays = _layout(model)
    table.bind({name: array.shape for name, array in arrays.items()})


class PublishedLayout(NamedTuple):
    """A model that its family describes: the complete config, and its weights by our names."""

    config: dict[str, Any]
    arrays: dict[str, Any]


def published_layout(model: Any) -> PublishedLayout:
    """What another published format is made of. ValueError where no family, or not its config, describes the model."""
    family = _family_of(model)
    _, _, arrays = _layout(model)
    return PublishedLayout(family.complete(model.config), arrays)


def _layout(model: Any) -> tuple[dict[str, Any], WeightTable, dict[str, Any]]:
    """What is said of a model, how its weights are called, and the weights under the names that its spec gives them."""
    description = describe(model)
    own = model.weights()
    shapes = {name: parameter.shape for name, parameter in own_layout.placeholder(model.spec).named_parameters()}
    arrays = {name: own[name] if name in own else _at(model, name) for name in shapes}
    missing = [name for name, found in arrays.items() if getattr(found, "shape", None) != shapes[name]]
    surplus = [name for name in own if name not in shapes]
    if missing or surplus:
        wrong = ", ".join([*surplus[:3], *(f"no {name}" for name in missing[:3])])
        raise ValueError(
            f"the model holds other modules than its spec builds ({wrong}): put back what was replaced, or save what "
            "trains alone, with files.safetensors.write_safetensors(path, {name: array})"
        )
    family = _family_of(model) if "spec" not in description else None
    table = own_layout.table_of(shapes) if family is None else family.weights(model.config)
    return description, table, arrays


def _at(value: Any, path: str) -> Any:
    """What stands at a path; a module used twice has its parameters' names at its first place only."""
    for part in path.split("."):
        if isinstance(value, (list, tuple)):
            value = {str(number): item for number, item in enumerate(value)}
        value = (value if isinstance(value, dict) else getattr(value, "__dict__", {})).get(part)
    return value.data if isinstance(value, Tensor) else value


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
            "take model.state_dict(), which has our names"
        )
    family = find_family(model.config["model_type"])
    if family.spec(model.config) != model.spec:
        raise ValueError(
            f"model.config no longer describes this {family.name} model: put back what was changed, or take "
            "'model_type' out of model.config to save it in our own layout (spec.json)"
        )
    return family


def _float(dtype: Any) -> np.dtype:
    try:
        found = FLOATS.get(str(np.dtype(dtype)))
    except TypeError:
        found = None
    if found is None:
        raise ValueError(f"weights are stored as one of {', '.join(FLOATS)}, not {dtype!r}")
    return found
