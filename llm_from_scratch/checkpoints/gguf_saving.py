"""Models to GGUF files, which the llama.cpp library runs: metadata, tokenizer, chat template, weights in blocks.

What such a file cannot say of a model is refused by name before anything is written (`families/gguf/facts.py`). Which
tensors are stored in another format than asked for is told by what is returned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..families import find_family
from ..families.gguf import Architecture, Header, architecture_of
from ..families.gguf.facts import FACTORS
from ..files.gguf import TYPES
from ..files.gguf_writing import GgufSource, write_gguf
from ..files.safetensors import TensorSource
from ..quantization import WRITTEN, quantize
from ..tokenizers import Tokenizer
from ..tokenizers.formats.gguf_writing import tokenizer_metadata
from .gguf import description_of
from .saving import published_layout

# llama.cpp's numbers for what most of a file's matrices are.
_FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9,
               "Q4_K": 14, "Q5_K": 16, "Q6_K": 18}  # fmt: skip
# Where a row is no whole number of blocks: the next best format, as llama.cpp's own converter and quantiser have it.
_NEXT = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# Small matrices that the library reads in float32, or that decide too much to be rounded.
_EXACT = ("position_embd.", "ffn_gate_inp.", "ssm_conv1d.", "ssm_a")
_HEADS = ("token_embd.weight", "output.weight")


def save_gguf(
    model: Any,
    path: str | os.PathLike[str],
    *,
    kind: str = "F32",
    head: str | None = None,
    tokenizer: Tokenizer | None = None,
    begin: bool | None = None,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """Write a model, and its tokenizer and chat template, as one GGUF file; {tensor: the type it was stored as}.

    kind: of the matrices: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K. Norms, biases, routers,
    positions and the small parts of a state space are float32 in any case. head: of the embedding and the head; by
    default Q8_0 where `kind` has fewer bits. A matrix whose rows are no whole blocks takes the next format of
    32 numbers a block, or F16. tokenizer: without one a file can be read here, not run as a chat elsewhere. begin:
    whether its begin token stands in front of every text; by default where the tokenizer's own file says so. name: what
    the file calls the model. progress: called with each tensor's name before it is written.

    Memory: one tensor beside the model. Raises ValueError before anything is written for a family, an option or a
    tokenizer that GGUF cannot hold, and for a tokenizer that does not fit the model; for weights that are not finite
    when they are met, and then there is no file either.
    """
    for word in (kind, *[head] * (head is not None)):
        if word not in WRITTEN:
            raise ValueError(f"{word!r} is not a format of GGUF that is written here; known: {', '.join(WRITTEN)}")
    if Path(path).suffix.lower() != ".gguf":
        raise ValueError(f"{path} must end in .gguf: it is by its name that such a file is known")
    if not (tokenizer is None or isinstance(tokenizer, Tokenizer)):
        raise TypeError(f"tokenizer must be a Tokenizer, not {type(tokenizer).__name__}")
    if head is None:
        head = "Q8_0" if TYPES[kind].bytes * 32 < TYPES[kind].values * 34 else kind
    layout = published_layout(model)
    architecture = architecture_of(find_family(layout.config["model_type"]).name)
    try:
        sources = _sources(model, architecture, layout.arrays)
        metadata = architecture.metadata(model.spec, layout.config)
        shapes = {key: source.shape for key, source in sources.items()}
        read = description_of(Header(metadata, shapes, lambda key: sources[key].make(), lambda *_: model.spec.tied))
        architecture.check(model.spec, read.family.spec(read.config))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"a GGUF file of the architecture {architecture.name!r} cannot hold this model: {error}"
        ) from None
    metadata |= {
        "general.name": name or getattr(model.lineage, "name", None) or Path(path).stem,
        "general.file_type": _FILE_TYPES[kind],
        "general.quantization_version": 2,
        f"{architecture.name}.vocab_size": model.spec.vocab_size,
    }
    if tokenizer is not None:
        if begin and tokenizer.bos_id is None:
            raise ValueError("no text can begin with the begin token (begin=True): this tokenizer has none")
        metadata |= tokenizer_metadata(tokenizer, model.spec.vocab_size, model.end_tokens)
        metadata |= {} if begin is None else {"tokenizer.ggml.add_bos_token": begin}
    types = {key: _type(key, source.shape, kind, head) for key, source in sources.items()}
    tensors = {
        key: GgufSource(types[key], source.shape, _maker(key, source, types[key], progress))
        for key, source in sources.items()
    }
    write_gguf(path, metadata, tensors)
    return types


def _sources(model: Any, architecture: Architecture, arrays: Mapping[str, Any]) -> dict[str, TensorSource]:
    """The tensors of a file, as numbers, made one by one."""
    if architecture.head_needed and model.spec.tied:
        arrays = {**arrays, "head.weight": np.asarray(arrays["embedding.weight"]).T}
    sources = architecture.table(model.spec).sources(arrays)
    for name, source in sources.items():
        if change := architecture.values.get(name.rpartition(".")[2]):
            sources[name] = source._replace(make=_changed(source.make, change[1]))
    factors = getattr(getattr(model.spec.mixers[0], "rotary", None), "factors", None)
    if factors is not None:
        numbers = np.array(factors, np.float32)
        sources[FACTORS] = TensorSource(numbers.dtype, numbers.shape, lambda: numbers)
    return sources


def _changed(make: Callable[[], np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], np.ndarray]:
    return lambda: change(make())


def _type(name: str, shape: tuple[int, ...], kind: str, head: str) -> str:
    """The type that a tensor is stored as."""
    short = name.split(".", 2)[-1] if name.startswith("blk.") else name
    if len(shape) == 1 or short.startswith(_EXACT):
        return "F32"
    kind = head if name in _HEADS else kind
    while shape[-1] % TYPES[kind].values:
        kind = _NEXT.get(kind, "F16")
    return kind


def _maker(
    name: str,
    source: TensorSource,
    kind: str,
    progress: Callable[[str], None] | None,
) -> Callable[[], np.ndarray]:
    def make() -> np.ndarray:
        if progress is not None:
            progress(name)
        try:
            return quantize(source.make().astype(np.float32, copy=False), kind)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    return make


def kept(types: Mapping[str, str], kind: str) -> dict[str, str]:
    """Of what `save_gguf` returned: the matrices that were stored in another format than the one asked for.

    >>> kept({"blk.0.attn_q.weight": "Q4_0", "blk.0.ffn_down.weight": "F16"}, "Q4_0")
    {'blk.0.ffn_down.weight': 'F16'}
    """
    return {name: found for name, found in types.items() if found != kind}
