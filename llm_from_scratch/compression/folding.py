"""Where AWQ's scale goes: into the norm or the linear layer that makes what a matrix reads.

Multiplying a matrix's columns by s and its input by 1/s computes the same function. The 1/s costs nothing where the
input comes out of a norm with a learned scale, of a linear layer, or of one through nothing but products and averages
over tokens: a value on its way through attention, the branch beside a gate. Then that layer's own weights take it. A
GELU or an ungated SiLU in between, a limit on the values (MPT), or heads that share a value stand in the way, and the
matrix behind them keeps its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..layers import Attention, Block, FeedForward, Hyena, Linear, Mamba, Mixture, Module, Norm, RelativeAttention
from ..quantization.grid import check_weight


@dataclass(frozen=True)
class Place:
    """Layers of a block that read the same input, and the layer that makes it; all as paths within the block.

    before: the norm or linear layer that takes 1/s. readers: the linear layers that take s, a router included, though
    it is mostly left in float. inspected: the module whose output says how good a scale is; "" is the whole block.
    clipped: whether the readers' ranges may be searched too; not where queries and keys are among them.
    """

    before: str
    readers: tuple[str, ...]
    inspected: str
    clipped: tuple[str, ...]


def places(block: Block) -> list[Place]:
    """Every place of a block where a scale can be folded, in the order in which a token meets them.

    >>> from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, NormSpec
    >>> spec = LayerSpec.sequential(AttentionSpec(8, 2, 1, 4), FeedForwardSpec(8, 12, "silu", gated=True), NormSpec(8))
    >>> for place in places(spec.build(np.random.default_rng(0))):
    ...     print(place.before, "->", *place.readers, "inspecting", place.inspected)
    mixer_norm -> mixer.query mixer.key mixer.value inspecting mixer
    feed_forward_norm -> feed_forward.gate feed_forward.up inspecting feed_forward
    feed_forward.up -> feed_forward.down inspecting feed_forward.down
    """
    found = []
    for branch in block.spec.branches:
        names = list(branch.functions)
        shared = len(branch.norms_before) < len(names)  # one norm for all functions
        if branch.norms_before and not branch.residual_is_normed:
            for group in [names] if shared else [[name] for name in names]:
                norm = getattr(block, f"{group[0]}_norm")
                readers = [_readers(name, getattr(block, name)) for name in group]
                if norm.weight is not None and all(readers):
                    found.append(_place(f"{group[0]}_norm", sum(readers, []), "" if len(group) > 1 else group[0]))
        for name in names:
            found += _inner(name, getattr(block, name))
    return found


def _place(before: str, readers: list[str], inspected: str) -> Place:
    unclear = ("query", "key", "router")
    return Place(before, tuple(readers), inspected, tuple(r for r in readers if r.rpartition(".")[2] not in unclear))


def _readers(path: str, module: Any) -> list[str]:
    """The linear layers that read what a function is given; none where that is not known."""
    if isinstance(module, (Attention, RelativeAttention)):
        return [f"{path}.{name}" for name in ("query", "key", "value")]
    if isinstance(module, FeedForward):
        return [f"{path}.{name}" for name in ("gate", "up") if hasattr(module, name)]
    if isinstance(module, Mixture):
        experts = [_readers(f"{path}.experts.{i}", expert) for i, expert in enumerate(module.experts)]
        return sum(experts, [f"{path}.router"])
    if isinstance(module, Mamba):
        return [f"{path}.input", f"{path}.gate"]
    return [f"{path}.projection"] if isinstance(module, Hyena) else []


def _inner(path: str, module: Any) -> list[Place]:
    """The places inside a function."""
    if isinstance(module, (Attention, RelativeAttention)):
        alone = module.value.weight.shape[1] == module.output.weight.shape[0] and module.spec.clip is None
        return [_place(f"{path}.value", [f"{path}.output"], f"{path}.output")] if alone else []
    if isinstance(module, FeedForward):
        straight = module.spec.gated or module.spec.activation == "relu"  # relu(x / s) = relu(x) / s for s > 0
        return [_place(f"{path}.up", [f"{path}.down"], f"{path}.down")] if straight else []
    if isinstance(module, Mixture):
        return [place for i, expert in enumerate(module.experts) for place in _inner(f"{path}.experts.{i}", expert)]
    return []


def fold(block: Module, place: Place, scale: Any) -> None:
    """Multiply what the readers of a place see by 1/scale and their weights by scale (inputs,).

    The block computes what it did, but for rounding. Arrays are replaced, not changed. Raises ValueError for a scale of
    another size, or with a number that is not finite and above zero; TypeError for a layer that is not in float.

    >>> from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, NormSpec
    >>> rng = np.random.default_rng(0)
    >>> block = LayerSpec.sequential(AttentionSpec(8, 2, 1, 4), FeedForwardSpec(8, 12), NormSpec(8)).build(rng)
    >>> fold(block, places(block)[0], np.full(8, 2.0))
    >>> block.mixer_norm.weight.data
    array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    modules: dict[str, Any] = dict(block.named_modules())
    before, *readers = (modules[path] for path in (place.before, *place.readers))
    for path in (place.before, *place.readers):
        if not isinstance(modules[path], (Linear, Norm)) or not isinstance(modules[path].weight, Tensor):
            raise TypeError(f"{path} is a {type(modules[path]).__name__}: a scale is folded into layers in float")
    s = check_weight(np.atleast_2d(scale), "scale")[0].astype(before.dtype)
    if s.shape != readers[0].weight.shape[:1] or not (s > 0).all():
        raise ValueError(f"a scale above zero for each of {readers[0].weight.shape[0]} inputs, got {np.shape(scale)}")
    for reader in readers:
        reader.weight.data = reader.weight.data * s[:, None]
    one = 1 if isinstance(before, Norm) and before.spec.plus_one else 0  # what is learned is the distance from 1
    before.weight.data = (before.weight.data + one) / s - one  # of a linear layer (inputs, outputs): its columns
    if before.bias is not None:
        before.bias.data = before.bias.data / s
