"""A LLaMA block with packed matrices, in which a single token takes two compiled calls instead of some thirty steps."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..autograd import Tensor, grad_enabled
from ..kernels import packed as kernels
from ..layers import AttentionSpec, Block, Context, LayerSpec, Norm, NormSpec, Rotary
from ..layers.attention import Attention
from ..layers.feed_forward import FeedForward
from .packed import PackedLinear


class PackedBlock(Block):
    """A `Block` that is fast for one token; for all else, and once a part of it was replaced, it is the block."""

    mixer: Any
    mixer_norm: Any
    feed_forward: Any
    feed_forward_norm: Any

    def __init__(self, block: Block) -> None:
        if not is_plain(block):
            raise ValueError("only a LLaMA block without options, its seven matrices packed and without biases, fits")
        vars(self).update(vars(block))

    def __call__(self, x: Tensor, memory: dict[str, Any] | None, context: Context) -> Tensor:
        single = x.shape[:2] == (1, 1) and memory is not None and not grad_enabled()
        if not (single and context.plain and context.record is None and is_plain_still(self)):
            return super().__call__(x, memory, context)
        assert memory is not None
        mixer, mlp = self.mixer, self.feed_forward
        cos, sin = _turn(mixer.spec.rotary, int(context.positions[0, 0]))
        q, k, v = kernels.attention_inputs(
            x.data[0, 0], self.mixer_norm.weight.data, cos, sin, self.mixer_norm.spec.eps,
            mixer.spec.heads, mixer.spec.key_value_heads, *_triples(mixer.query, mixer.key, mixer.value),
        )  # fmt: skip
        keys, values = memory["mixer"].extend(Tensor(k[None, :, None]), Tensor(v[None, :, None]))
        y = kernels.block_outputs(
            x.data[0, 0], q, keys.data[0], values.data[0], self.feed_forward_norm.weight.data,
            self.feed_forward_norm.spec.eps, mixer.spec.scale or 1 / math.sqrt(mixer.spec.head_dim),
            *_triples(mixer.output, mlp.gate, mlp.up, mlp.down),
        )  # fmt: skip
        return Tensor(y[None, None])


@functools.lru_cache(maxsize=8)
def _turn(rotary: Rotary, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of each pair's angle: made once for all layers."""
    angles = position * rotary.inverse_frequency()
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _triples(*layers: PackedLinear) -> list[np.ndarray]:
    return [part for layer in layers for part in (layer.weight.codes, layer.weight.scale, layer.weight.minimum)]


def is_plain_still(block: Any) -> bool:
    """Whether the parts are of the types that the two calls stand for: any of them may have been replaced since."""
    mixer, mlp = block.mixer, block.feed_forward
    if type(mixer) is not Attention or type(mlp) is not FeedForward:
        return False
    matrices = (mixer.query, mixer.key, mixer.value, mixer.output, mlp.gate, mlp.up, mlp.down)
    plain = all(type(matrix) is PackedLinear and matrix.bias is None for matrix in matrices)
    return plain and type(block.mixer_norm) is Norm and type(block.feed_forward_norm) is Norm


def is_plain(block: Any) -> bool:
    """A block of RMS norms, plain rotary attention and SwiGLU whose seven matrices are packed and without biases.

    Specs are compared with what the default settings would make, so that an option added later is not overlooked.
    """
    mixer, mlp = getattr(block, "mixer", None), getattr(block, "feed_forward", None)
    if type(mixer) is not Attention or type(mlp) is not FeedForward or not mlp.spec.gated:
        return False
    spec, norm, rotary = mixer.spec, block.mixer_norm.spec, mixer.spec.rotary
    inits: dict[str, Any] = {"init": spec.init, "output_init": spec.output_init}
    sizes = spec.hidden_size, spec.heads, spec.key_value_heads, spec.head_dim
    return (
        block.spec == LayerSpec.sequential(spec, mlp.spec, norm)
        and rotary is not None
        and rotary == Rotary(spec.head_dim, rotary.base, factor=rotary.factor, factors=rotary.factors)
        and spec == AttentionSpec(*sizes, rotary=rotary, scale=spec.scale, **inits)
        and norm == NormSpec(spec.hidden_size, "rms", norm.eps)
        and mlp.spec.activation == "silu"
        and is_plain_still(block)
    )
