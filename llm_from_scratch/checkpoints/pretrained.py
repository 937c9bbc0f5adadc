"""Making models: from a checkpoint directory or a GGUF file, or fresh from a family's published config keys.

Reads config.json and safetensors, or GGUF, nothing else: no pickles, no code from a checkpoint. Weights go from the
file's memory map straight into the parameters; a fresh model is never initialised only to be overwritten.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..families import WeightTable, find_family, find_release
from ..families.published.config import TOKEN_KEYS, token_ids
from ..files.gguf import GgufFile
from ..files.sharded import open_checkpoint
from ..files.strict_json import read_json_object
from ..models.spec import ModelSpec
from ..quantization import BLOCKS
from .gguf import GgufStore, describe, published_formats
from .lineage import Lineage, fingerprint, from_metadata
from .model import Decoder
from .own_layout import read_description, table_of
from .packed import load_packed
from .quantized import load as load_quantized


def from_pretrained(
    path: str | os.PathLike[str], dtype: Any = None, *, packed: bool | None = None, dequantize: bool = False
) -> Decoder:
    """The model in a directory with config.json and safetensors (one file, or shards with an index), or a .gguf file;
    also in one of our own layout (spec.json), or a checkpoint of a training run.

    dtype: np.float32 or np.float64, of the parameters in memory; default float32 (float64 where all tensors
    are stored so): stored float16 and bfloat16 become float32, and `save_pretrained` writes them as they were stored
    unless told otherwise.
    packed: of a GGUF file, keep quantised matrices packed in memory (see `checkpoints.packed`). So they are by default,
    unless the dtype is float64: packed they take a fifth of the memory, and a token is read faster. Packed matrices do
    not train, though adapters beside them do; packed=False makes float32 numbers of them, for full fine-tuning, merging
    or an export in the published layout.
    dequantize: make plain numbers of quantised matrices, also of those that a quantised model was saved with in a
    directory; else they are the quantised layers that they were.

    Raises FileNotFoundError when config or weights are missing, ValueError or TypeError when the config is unknown,
    impossible or not supported, or when the weights do not fit it: all before memory is allocated.
    """
    wanted = None if dtype is None else _model_dtype(dtype)
    directory = Path(path)
    if directory.suffix.lower() == ".gguf":
        if packed and dequantize:
            raise ValueError("packed=True keeps quantised matrices, dequantize=True makes numbers of them: pass one")
        return _from_gguf(directory, wanted, False if dequantize else packed)
    if packed:
        raise ValueError(f"packed weights come from a .gguf file, and {directory} is none")
    model, table, quantization = without_weights(directory)
    store = open_checkpoint(directory, allow_absent=True)
    try:
        steps = from_metadata(store.metadata)
        if quantization:
            model.stored_formats = load_quantized(model, store, quantization, wanted, dequantize=dequantize)
        else:
            with _room_for(model, wanted or np.dtype(np.float32)):
                model.stored_formats = table.load(model, store, wanted)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    model.lineage = Lineage(steps, directory.resolve().name or None)
    if "weights" not in steps[-1]:
        model.lineage = model.lineage.with_weights(fingerprint(model))
    return model


def without_weights(directory: Path) -> tuple[Decoder, WeightTable, dict[str, Any]]:
    """The model that a directory describes, as placeholders, how its weights are called there, and which of them are
    quantised."""
    if (own := read_description(directory)) is not None:
        try:
            model = Decoder(own.spec, None, own.config)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{own.path}: {error}") from None
        model.generation_config = own.generation_config
        return model, table_of(name for name, _ in model.named_parameters()), own.quantization
    config = _read_config(directory)
    family = find_family(config.get("model_type"))
    try:
        complete = family.complete({**config, **family.as_saved})
        model = Decoder(family.spec(complete), None, complete)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{directory / 'config.json'}: {error}") from None
    model.generation_config = _read_generation_config(directory)
    return model, family.weights(config), {}


def _from_gguf(path: Path, dtype: np.dtype | None, packed: bool | None) -> Decoder:
    file = GgufFile(path)
    if packed is None:
        packed = dtype != np.float64 and any(tensor.type.name in BLOCKS for tensor in file.tensors.values())
    if packed and dtype == np.float64:
        raise TypeError("packed weights compute in float32: leave dtype or packed away")
    try:
        architecture, family, config = describe(file)
        model = Decoder(family.spec(config), None, family.complete(config))
        table = architecture.table(model.spec)
        if packed:
            with _room_for(model, packed=sum(tensor.stop - tensor.start for tensor in file.tensors.values())):
                load_packed(model, file, architecture)
            model.lineage = Lineage(name=path.stem)
        else:
            shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
            with _room_for(model, dtype or np.dtype(np.float32)):
                formats = table.load(model, GgufStore(file, architecture), dtype)
            model.stored_formats = published_formats(formats, table, family.weights(config), shapes)
            model.lineage = Lineage(name=path.stem).with_weights(fingerprint(model))
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None
    return model


def build(model_type: str, *, seed: int = 0, dtype: Any = np.float32, **config: Any) -> Decoder:
    """A fresh model of a family, initialised as published.

    model_type: a family ("gpt2", "llama") or a released size ("gpt2-medium", "llama-7b"). config: published config
    keys; what is not given has the published default. seed: equal seeds give equal weights. dtype: float32 or float64.

    >>> model = build("gpt2", n_layer=2, n_head=2, n_embd=8, n_positions=16, vocab_size=65)
    >>> model(np.array([[3, 1, 4]])).shape
    (1, 3, 65)
    >>> build("llama", hidden_size=12, num_attention_heads=5)
    Traceback (most recent call last):
    ValueError: llama config: hidden_size 12 is not a multiple of num_attention_heads 5
    """
    wanted = _model_dtype(dtype)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer >= 0, not {seed!r}")
    family, base = find_release(model_type)
    unknown = [key for key in config if key in ("torch_dtype", "architectures", "model_type")]
    if unknown:
        raise ValueError(
            f"{unknown[0]} is not for build to choose; it takes the model's own config keys, seed and dtype"
        )
    complete = {key: _plain(value) for key, value in family.complete({**base, **config}).items()}
    complete["torch_dtype"] = str(wanted)
    spec = family.spec(complete)
    with _room_for(Decoder(spec), wanted):
        model = Decoder(spec, np.random.default_rng(seed), complete)
    begun = Lineage(({"relation": "initialised as", "family": family.name, "seed": int(seed)},))
    model.lineage = begun.with_weights(fingerprint(model))
    return model if wanted == np.float32 else model.astype(wanted)


def spec(source: str | os.PathLike[str] | Mapping[str, Any]) -> ModelSpec:
    """The design of a released model by name, of a config dictionary, or of a checkpoint directory. Allocates nothing.

    >>> llama = spec("llama-2-70b")
    >>> len(llama.layers), Decoder(llama).parameter_count
    (80, 68976648192)
    """
    if isinstance(source, Mapping):
        return find_family(source.get("model_type")).spec(source)
    if isinstance(source, os.PathLike) or Path(source).is_dir():
        if (own := read_description(Path(source))) is not None:
            return own.spec
        config = _read_config(Path(source))
        return find_family(config.get("model_type")).spec(config)
    family, config = find_release(source)
    return family.spec(config)


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not directory.exists():
        raise FileNotFoundError(f"there is no checkpoint at {directory}: no such directory")
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file; a directory with config.json and model.safetensors was expected")
    if not path.exists():
        raise FileNotFoundError(f"{directory} has no config.json, which says what the weights are")
    return read_json_object(path)


def _read_generation_config(directory: Path) -> dict[str, Any]:
    """generation_config.json, where there is one; what it says of the ends of a text must be ids."""
    path = directory / "generation_config.json"
    if not path.exists():
        return {}
    settings = read_json_object(path)
    try:
        for key in TOKEN_KEYS:
            token_ids(key, settings.get(key))
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None
    return settings


def _model_dtype(dtype: Any) -> np.dtype:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in (np.dtype(np.float32), np.dtype(np.float64)):  # None == np.dtype(np.float64)
        raise TypeError(f"models compute in float32 or float64, not {dtype!r}")
    return found


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


@contextlib.contextmanager
def _room_for(model: Decoder, dtype: np.dtype | None = None, *, packed: int = 0) -> Iterator[None]:
    """MemoryError that says what a model takes, if this machine cannot hold it or does not give the memory.

    Asked beforehand, because an operating system may promise it all the same. packed: bytes, where there is no dtype.
    """
    needed, form = (model.parameter_count * dtype.itemsize, str(dtype)) if dtype else (packed, "packed weights")
    size = f"this model has {model.parameter_count:,} parameters, which take {needed / 1e9:,.1f} GB as {form}"
    try:
        room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        room = 2**46
    if needed > room:
        raise MemoryError(f"{size}; this machine has {room / 1e9:,.1f} GB")
    try:
        yield
    except MemoryError:
        raise MemoryError(f"{size}; this process was not given that much") from None
