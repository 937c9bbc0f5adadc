"""Models from GGUF files: llama.cpp's metadata as a published config, its tensors as published tensors.

The names and the order of rows are translated here; everything else is the family's own: the config reader, the weight
table, the decoder. Weights are expanded into an ordinary model, or stay packed (`packed=True`), which takes a fifth of
the memory and is faster for a token at a time, but cannot be trained or saved. Only the architecture "llama" is read.

A llama GGUF stores the rows of query and key with rotary pairs as neighbours (2i, 2i+1); here, as in the Hugging Face
layout, they are halves (i, i + width/2). The rows are put in order, also where they stay packed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..files.gguf import GgufFile
from ..kernels import packed as kernels
from ..layers import AttentionSpec, LayerSpec, Linear, ModelMemory, NormSpec, Rotary
from ..layers.attention import Attention
from ..layers.feed_forward import FeedForward
from ..quantization import BLOCKS, FLOATS, PackedEmbedding, PackedLinear, PackedWeight, dequantize, packed_linear
from .checks import check_ids
from .decoder import Decoder
from .weights import WeightTable

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
    if architecture != "llama":
        raise ValueError(f"the architecture {architecture!r} is not supported: of GGUF files only 'llama' is read")

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
            raise ValueError(f"llama.{key} must be a number, not {value!r}")
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
    if metadata.get("llama.rope.scaling.type", "none") not in ("none", "linear"):
        raise ValueError(f"llama.rope.scaling.type {metadata['llama.rope.scaling.type']!r} is not supported")
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
    factor = get("rope.scaling.factor", float, metadata.get("llama.rope.scale_linear", 0.0))
    kind = metadata.get("llama.rope.scaling.type", "linear" if factor else "none")
    if kind == "linear":
        if not factor:
            raise ValueError("the metadata has no llama.rope.scaling.factor")
        config["rope_scaling"] = {"type": "linear", "factor": float(factor)}
    for role in ("bos", "eos"):
        token = metadata.get(f"tokenizer.ggml.{role}_token_id")
        if type(token) is int and token < table.shape[0]:
            config[f"{role}_token_id"] = token
    return config


class _Entry(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]


class GgufStore:
    """A GGUF file as a store of published tensors: their names, their order of rows, numbers instead of blocks."""

    def __init__(self, file: GgufFile, config: Mapping[str, Any]) -> None:
        self.file = file
        self._theirs = {published_name(name): name for name in file.tensors}
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


class PackedDecoder(Decoder):
    """A decoder whose matrices stay packed: for running, not training. `from_pretrained(…, packed=True)` makes one."""

    packed_count = 0  # numbers held in packed matrices
    _plain: bool | None = None

    @property
    def parameter_count(self) -> int:
        """How many numbers the weights hold, packed ones included; a tied tensor counts once."""
        return super().parameter_count + self.packed_count

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed matrices."""
        found = {id(m.packed): m.packed.nbytes for _, m in self.named_modules() if hasattr(m, "packed")}
        return sum(found.values())

    def __call__(
        self,
        ids: Any,
        *,
        memory: ModelMemory | None = None,
        mask: Any = None,
        positions: Any = None,
        segments: Any = None,
        prefix_length: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Tensor:
        """Logits for the token after each position: ids (B, T) -> (B, T, V); see `Decoder`."""
        return self._logits(self._hidden(ids, memory, mask, positions, segments, prefix_length, rng))

    def step(
        self, ids: Any, memory: ModelMemory, mask: Any = None, *, positions: Any = None, prefix_length: Any = None
    ) -> np.ndarray:
        """Continue `memory` by ids (B, T); the logits after the last of them, (B, V), without gradients."""
        with no_grad():
            plain = mask is None and memory.mask is None and positions is None and prefix_length is None
            single = np.shape(ids) == (1, 1) and memory.batch_size == 1 and plain
            if single and self._record is None and self._plain_layers():
                return self._one_token(int(check_ids(ids, self.spec.vocab_size)[0, 0]), memory)
            return self._logits(self._hidden(ids, memory, mask, positions, None, prefix_length, None)[:, -1]).data

    def _plain_layers(self) -> bool:
        """Whether every layer is LLaMA's, without any option, and packed: then a token takes two calls a layer."""
        if self._plain is None:
            self._plain = all(_is_plain(layer) for layer in self.layers)
        return self._plain

    def _one_token(self, token: int, memory: ModelMemory) -> np.ndarray:
        x = self.embedding(np.array([token])).data[0]
        layers: list[Any] = self.layers  # of blocks that are plain: their parts have the usual names
        for layer, parts in zip(layers, memory.layers):
            mixer, mlp = layer.mixer, layer.feed_forward
            angles = memory.length * mixer.spec.rotary.inverse_frequency()
            cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
            q, k, v = kernels.attention_inputs(
                x, layer.mixer_norm.weight.data, cos, sin, layer.mixer_norm.spec.eps,
                mixer.spec.heads, mixer.spec.key_value_heads, *_triples(mixer.query, mixer.key, mixer.value),
            )  # fmt: skip
            keys, values = parts["mixer"].extend(Tensor(k[None, :, None]), Tensor(v[None, :, None]))
            x = kernels.block_outputs(
                x, q, keys.data[0], values.data[0], layer.feed_forward_norm.weight.data,
                layer.feed_forward_norm.spec.eps, mixer.spec.scale or 1 / math.sqrt(mixer.spec.head_dim),
                *_triples(mixer.output, mlp.gate, mlp.up, mlp.down),
            )  # fmt: skip
        memory.length += 1
        normed = Tensor(x[None]) if self.norm is None else self.norm(Tensor(x[None]))
        return self._logits(normed).data

    def _logits(self, x: Tensor) -> Tensor:
        if self.head is not None:
            return self.head(x)
        if isinstance(self.embedding, PackedEmbedding):
            return packed_linear(x, weight=self.embedding.packed)
        return F.linear(x, self.embedding.weight, transposed=True)

    def loss(self, batch: Mapping[str, Any], **settings: Any) -> Tensor:
        """Not available: packed weights are constants."""
        raise TypeError("packed weights cannot be trained: load the model without packed=True")

    def save_pretrained(self, directory: Any, **settings: Any) -> None:
        """Not available: the GGUF file is what there is to keep."""
        raise TypeError("packed weights are not saved: copy the GGUF file, or load the model without packed=True")

    def astype(self, dtype: Any) -> Any:
        """Only float32."""
        if np.dtype(dtype) != np.float32:
            raise TypeError(f"packed weights compute in float32, not {np.dtype(dtype)}")
        return self


def _triples(*layers: PackedLinear) -> list[np.ndarray]:
    return [part for layer in layers for part in (layer.packed.codes, layer.packed.scale, layer.packed.minimum)]


def _is_plain(layer: Any) -> bool:
    """A block of RMS norms, plain rotary attention and SwiGLU whose seven matrices are packed and without biases.

    Specs are compared with what the default settings would make, so that an option added later is not overlooked.
    """
    mixer, mlp = getattr(layer, "mixer", None), getattr(layer, "feed_forward", None)
    if type(mixer) is not Attention or type(mlp) is not FeedForward or not mlp.spec.gated:
        return False
    spec, norm, rotary = mixer.spec, layer.mixer_norm.spec, mixer.spec.rotary
    inits: dict[str, Any] = {"init": spec.init, "output_init": spec.output_init}
    matrices = (mixer.query, mixer.key, mixer.value, mixer.output, mlp.gate, mlp.up, mlp.down)
    return (
        layer.spec == LayerSpec.sequential(spec, mlp.spec, norm)
        and rotary is not None
        and rotary == Rotary(spec.head_dim, rotary.base, factor=rotary.factor)
        and spec == AttentionSpec(*_sizes(spec), rotary=rotary, scale=spec.scale, **inits)
        and norm == NormSpec(spec.hidden_size, "rms", norm.eps)
        and mlp.spec.activation == "silu"
        and all(isinstance(matrix, PackedLinear) and matrix.bias is None for matrix in matrices)
    )


def _sizes(spec: AttentionSpec) -> tuple[int, int, int, int]:
    return spec.hidden_size, spec.heads, spec.key_value_heads, spec.head_dim


class _PlainPart(GgufStore):
    """The same store where blocks are never read: what a table loads from it is all but the packed matrices."""

    def packs(self, name: str) -> bool:
        """Whether a tensor is a matrix of blocks."""
        return self.kind(name) in BLOCKS and len(self.entry(name).shape) == 2

    def __getitem__(self, name: str) -> np.ndarray:
        return np.broadcast_to(np.float32(0), self.entry(name).shape) if self.packs(name) else super().__getitem__(name)

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        """Leave the memory of packed matrices untouched: then the operating system never gives it."""
        if not self.packs(name):
            super().copy(name, view, into)


def load_packed(model: PackedDecoder, file: GgufFile, table: WeightTable) -> None:
    """Fill a fresh decoder: matrices of blocks stay packed, everything else becomes float32. Checked beforehand."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    store = _PlainPart(file, model.config)
    table.load(model, store, np.dtype(np.float32))
    modules = dict(model.named_modules())
    for binding in table.bind(shapes):
        if not store.packs(binding.theirs):
            continue
        path, _, name = binding.ours[0].rpartition(".")[0].rpartition(".")
        owner = getattr(modules[path], name)
        weight = PackedWeight.from_blocks(store.rows(binding.theirs), store.kind(binding.theirs))
        made = PackedLinear(weight, owner.bias) if isinstance(owner, Linear) else PackedEmbedding(weight)
        setattr(modules[path], name, made)
        model.packed_count += math.prod(binding.shape)
        store.release(binding.theirs)
