"""Models from GGUF files: llama.cpp's metadata as a published config, its tensors as published tensors.

The names and the order of rows are translated here; everything else is the family's own: the config reader, the weight
table, the decoder. Weights are expanded into an ordinary model, or stay packed (`packed.py`). Only the architecture
"llama" is read.

A llama GGUF stores the rows of query and key with rotary pairs as neighbours (2i, 2i+1); here, as in the Hugging Face
layout, they are halves (i, i + width/2). The rows are put in order, also where they stay packed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..files.gguf import GgufFile
from ..quantization import BLOCKS, FLOATS, dequantize
from ..tokenizers.formats.gguf import model_ids

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.{i}.attn_norm": "model.layers.{i}.input_layernorm",
    "blk.{i}.attn_q": "model.layers.{i}.self_attn.q_proj",
    "blk.{i}.attn_k": "model.layers.{i}.self_attn.k_proj",
    "blk.{i}.attn_v": "model.layers.{i}.self_attn.v_proj",
    "blk.{i}.attn_output": "model.layers.{i}.self_attn.o_proj",
    "blk.{i}.ffn_norm": "model.layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_gate": "model.layers.{i}.mlp.gate_proj",
    "blk.{i}.ffn_up": "model.layers.{i}.mlp.up_proj",
    "blk.{i}.ffn_down": "model.layers.{i}.mlp.down_proj",
}


_FACTORS = "rope_freqs.weight"
_READ = frozenset(
    "block_count context_length embedding_length feed_forward_length expert_count rope.dimension_count rope.freq_base "
    "rope.scaling.type rope.scaling.factor rope.scale_linear attention.head_count attention.head_count_kv "
    "attention.key_length attention.value_length attention.layer_norm_rms_epsilon".split()
)
_HARMLESS = frozenset("vocab_size tensor_data_layout expert_used_count rope.scaling.original_context_length".split())


def published_name(name: str) -> str:
    """A tensor's name in the Hugging Face layout; an unknown one stays as it is.

    >>> published_name("blk.7.attn_q.weight")
    'model.layers.7.self_attn.q_proj.weight'
    """
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if match:
        number, part, kind = match.groups()
        theirs = _NAMES.get(part if number is None else "blk.{i}." + part)
        if theirs is not None:
            return f"{theirs.format(i=number)}.{kind}"
    return name


def config_from_metadata(file: GgufFile) -> dict[str, Any]:
    """The file's metadata as the config.json of a LLaMA. ValueError names what is missing or not supported."""
    metadata = file.metadata
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture != "llama":
        raise ValueError(f"the architecture {architecture!r:.60} is not supported: of GGUF files only 'llama' is read")

    def get(key: str, kind: type, default: Any = None) -> Any:
        value = metadata.get("llama." + key, default)
        if isinstance(value, np.ndarray):  # one number a layer
            distinct = np.unique(value)
            if len(distinct) != 1:
                raise ValueError(f"llama.{key} differs from layer to layer ({distinct.tolist()}): not supported")
            value = distinct[0].item()
        if value is None:
            raise ValueError(f"the metadata has no llama.{key}")
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
            raise ValueError(f"llama.{key} must be a number, not {value!r:.60}")
        return value

    if get("expert_count", int, 0):
        raise ValueError("llama.expert_count: a mixture of experts in a GGUF file is not supported")
    for key, value in metadata.items():
        option = key.removeprefix("llama.")
        neutral = (option == "attention.causal" and value is True) or (np.ndim(value) == 0 and not value)
        if key.startswith("llama.") and option not in _READ | _HARMLESS and not neutral:
            raise ValueError(
                f"{key} = {value!r:.60} is not known here, and a model that ignored it might be silently wrong"
            )
    kind = metadata.get("llama.rope.scaling.type")
    if not (kind is None or isinstance(kind, str)) or kind not in (None, "none", "linear"):
        raise ValueError(f"llama.rope.scaling.type {kind!r:.60} is not supported; supported: none, linear")
    heads, hidden = get("attention.head_count", int), get("embedding_length", int)
    if heads < 1 or hidden < 1:
        raise ValueError(f"impossible sizes: {heads} heads, width {hidden}")
    head_dim = get("attention.key_length", int, hidden // heads)
    for key in ("rope.dimension_count", "attention.value_length"):
        if get(key, int, head_dim) != head_dim:
            raise ValueError(f"llama.{key} {get(key, int)} is not the width {head_dim} of a head: not supported")
    table = file.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise ValueError("there is no matrix token_embd.weight: the embedding is missing")
    config = {
        "model_type": "llama",
        "vocab_size": table.shape[0],
        "hidden_size": hidden,
        "intermediate_size": get("feed_forward_length", int),
        "num_hidden_layers": get("block_count", int),
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv", int, heads),
        "max_position_embeddings": get("context_length", int),
        "rms_norm_eps": float(f"{get('attention.layer_norm_rms_epsilon', float):.6g}"),  # 1e-5, stored as float32
        "rope_theta": float(get("rope.freq_base", float, 10000.0)),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in file.tensors,
    }
    if head_dim * heads != hidden:
        config["head_dim"] = head_dim
    # Without a type, as in the files of 2023, a factor is a linear one.
    factor = get("rope.scaling.factor", float, get("rope.scale_linear", float, 0.0))
    if kind == "none":
        factor = 0.0
    elif factor or kind == "linear":
        if not factor:
            raise ValueError("the metadata has no llama.rope.scaling.factor")
        config["rope_scaling"] = {"type": "linear", "factor": float(factor)}
    if _FACTORS in file.tensors:
        divisors = _factors(file, head_dim // 2) * (factor or 1.0)
        listed = dict.fromkeys(("short_factor", "long_factor"), divisors.tolist())
        config["rope_scaling"] = {"type": "longrope", **listed, "attention_factor": 1.0, "factor": 1.0}
        config["rope_scaling"]["original_max_position_embeddings"] = config["max_position_embeddings"]
    return config | model_ids(metadata, table.shape[0])


def _factors(file: GgufFile, pairs: int) -> np.ndarray:
    """The divisors of `rope_freqs.weight` (LLaMA 3.1), one a rotary pair."""
    tensor = file.tensors[_FACTORS]
    if tensor.type.name not in FLOATS or tensor.shape != (pairs,):
        raise ValueError(
            f"{_FACTORS} must be {pairs} numbers, one a rotary pair, not {tensor.type.name} {tensor.shape}"
        )
    found = dequantize(file[_FACTORS], tensor.type.name).astype(np.float64)
    if not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"{_FACTORS} holds divisors that are not positive numbers")
    return found


class _Entry(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]


class GgufStore:
    """A GGUF file as a store of published tensors: their names, their order of rows, numbers instead of blocks."""

    def __init__(self, file: GgufFile, config: Mapping[str, Any]) -> None:
        self.file = file
        self._theirs = {published_name(name): name for name in file.tensors if name != _FACTORS}
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        self._heads = {name: heads[part] for name in self._theirs for part in heads if f".self_attn.{part}." in name}

    def __iter__(self) -> Iterator[str]:
        return iter(self._theirs)

    def kind(self, name: str) -> str:
        """The GGUF type of a tensor."""
        return self.file.tensors[self._theirs[name]].type.name

    def entry(self, name: str) -> _Entry:
        """Number format and shape: blocks count as float32."""
        tensor = self.file.tensors[self._theirs[name]]
        kind = tensor.type.name
        if kind not in FLOATS and kind not in BLOCKS:
            return _Entry(np.dtype(kind.replace("I", "int").lower()), tensor.shape)
        return _Entry(FLOATS.get(kind, np.dtype(np.float32)), tensor.shape)

    def rows(self, name: str) -> np.ndarray:
        """The tensor's bytes, rows of query and key in the order of halves."""
        data = self.file[self._theirs[name]]
        heads = self._heads.get(name)
        if heads is None:
            return data
        rows = data if data.ndim == 2 else data.reshape(self.file.tensors[self._theirs[name]].shape[0], -1)  # a bias
        if len(rows) % (2 * heads):
            raise ValueError(f"{self._theirs[name]} has {len(rows)} rows, which are not {heads} heads of rotary pairs")
        order = np.arange(len(rows)).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)
        return rows[order].reshape(data.shape)

    def __getitem__(self, name: str) -> np.ndarray:
        return dequantize(self.rows(name), self.kind(name))

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        """Copy a view of a tensor into an array, converting."""
        np.copyto(into, view, casting="unsafe")

    def release(self, name: str) -> None:
        """The tensor has been read."""
        self.file.release()
