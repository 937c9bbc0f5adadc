"""A decoder whose matrices stay packed in their blocks: a fifth of the memory, and faster for a token at a time.

It cannot be trained or saved. Where all layers are LLaMA's without any option, a single token takes two compiled calls
a layer; everything else goes the usual way, through `packed_linear`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..families.published.weights import WeightTable
from ..files.gguf import GgufFile
from ..kernels import packed as kernels
from ..layers import AttentionSpec, LayerSpec, Linear, ModelMemory, NormSpec, Rotary
from ..layers.attention import Attention
from ..layers.feed_forward import FeedForward
from ..models.checks import check_ids
from ..quantization import BLOCKS, PackedEmbedding, PackedLinear, PackedWeight, packed_linear
from .gguf import GgufStore
from .model import Decoder


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
        and rotary == Rotary(spec.head_dim, rotary.base, factor=rotary.factor, factors=rotary.factors)
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
