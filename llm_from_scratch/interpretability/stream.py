"""The residual stream taken apart: what every part of a model has written to it, in the end.

A layer adds what its functions say; whatever else happens to the stream between the embedding and the head is linear,
once the norms on its way are held at the scale they had: such a norm subtracts a mean, which is linear, and multiplies
by numbers. So each part's share can be carried along alone, through DeepNorm's factors and post-norms too, and the
shares add up to the stream exactly.

Glossary: N parts, B rows of the batch, D the width; one token a row is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..layers import Module, Norm
from ..models.patching import watched
from .heads import head_count, with_heads

Parts = dict[str, np.ndarray]  # each (B, D)


def stream_parts(model: Any, ids: Any, *, position: int = -1, heads: bool = False) -> Parts:
    """What each part has added to what the head reads at one token: name -> (B, width of the head's rows).

    "embedding", "positions", then by layer "layers.0.mixer", "layers.0.feed_forward" …; heads: an attention is given
    as "layers.0.mixer.0", "layers.0.mixer.1", … and, where its output has one, "layers.0.mixer.bias". The shift of a
    LayerNorm on the stream has its own name ("norm", "embedding_norm", …). Where a matrix rounds what it reads (int8),
    heads alone do not give quite what they give together: the rest is "layers.0.mixer.rounding". position: which token,
    as an index.

    The sum over the parts is what the head reads (`model.states`) up to rounding: the norms are held at the scale that
    they had, so each share is what it is *in this text*, and not what would be left if the others were away.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=2, n_embd=4, vocab_size=5, n_positions=8)
    >>> list(stream_parts(model, [[3, 1]]))
    ['embedding', 'positions', 'layers.0.mixer', 'layers.0.feed_forward', 'norm']
    >>> list(stream_parts(model, [[3, 1]], heads=True))[2:5]
    ['layers.0.mixer.0', 'layers.0.mixer.1', 'layers.0.mixer.bias']

    Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", transformer-circuits.pub.
    """
    with no_grad(), watched(model, _paths(model)) as seen:
        states = model.states({"ids": ids})
        length = states.shape[1]
        if (
            isinstance(position, bool)
            or not isinstance(position, (int, np.integer))
            or not -length <= position < length
        ):
            raise ValueError(f"position must be an index of the {length} tokens, got {position!r}")
        # Counted from the end, where a learned prefix makes no difference.
        at = int(position) - length if position >= 0 else int(position)
        walk = _Walk({path: tuple(x.data[:, at] for x in pair if isinstance(x, Tensor)) for path, pair in seen.items()})
        return walk.through(model, heads)


def _paths(model: Any) -> list[str]:
    """What has to be seen: functions of layers, their outputs' matrices, norms, and what stands around the layers."""
    around = [
        name
        for name in ("embedding", "embedding_projection", "positions", "embedding_norm", "norm", "head_projection")
        if getattr(model, name) is not None
    ]
    inside = [
        f"layers.{i}.{name}"
        for i, layer in enumerate(model.layers)
        for name, part in vars(layer).items()
        if isinstance(part, Module)
    ]
    return [*around, *inside, *(f"{path}.output" for path in with_heads(model))]


def rounding(path: str, module: Any, whole: np.ndarray, parts: Parts) -> Parts:
    """What `module` put out beside its parts, where it rounds what it reads, else nothing."""
    if not any(getattr(weight, "rounds_inputs", False) for _, weight in module.named_weights()):
        return {}
    return {f"{path}.rounding": whole - sum(parts.values())}


class _Walk:
    """Carries the shares through a model; seen: (read, put out) of each part at the token, or (put out,)."""

    def __init__(self, seen: dict[str, tuple[np.ndarray, ...]]) -> None:
        self.seen = seen
        self.parts: Parts = {}

    def through(self, model: Any, heads: bool) -> Parts:
        x = self.seen["embedding"][-1]
        self.parts["embedding"] = (
            x if model.spec.embedding_scale == 1.0 else x * x.dtype.type(model.spec.embedding_scale)
        )
        if model.embedding_projection is not None:
            self._linear("embedding_projection", model.embedding_projection)
        if model.positions is not None:
            table = self.seen["positions"][-1]  # (1, D) where all rows stand at the same place
            self._add("positions", np.broadcast_to(table, self.parts["embedding"].shape))
        if model.embedding_norm is not None:
            self._norm("embedding_norm", model.embedding_norm)
        for i, layer in enumerate(model.layers):
            self._layer(f"layers.{i}", layer, heads)
        if model.norm is not None:
            self._norm("norm", model.norm)
        if model.head_projection is not None:
            self._linear("head_projection", model.head_projection)
        return self.parts

    def _layer(self, path: str, layer: Any, heads: bool) -> None:
        for branch in layer.spec.branches:
            first = next(iter(branch.functions))
            if branch.residual_is_normed:
                self._norm(f"{path}.{first}_norm", getattr(layer, f"{first}_norm"))
            if branch.alpha != 1.0:
                self.parts = {name: share * share.dtype.type(branch.alpha) for name, share in self.parts.items()}
            for name in branch.functions:
                whole = f"{path}.{name}"
                written = self._heads(whole, getattr(layer, name), heads)
                if branch.norm_branch is not None:
                    own = _Walk(self.seen)
                    own.parts = written
                    own._norm(f"{whole}_norm_branch", getattr(layer, f"{name}_norm_branch"))
                    written = own.parts
                for part, share in written.items():
                    self._add(part, share)
            if branch.norm_after is not None:
                self._norm(f"{path}.{first}_norm_after", getattr(layer, f"{first}_norm_after"))

    def _heads(self, path: str, function: Any, heads: bool) -> Parts:
        """What a function wrote: whole, or by heads, each of which the output's matrix reads a slice for."""
        count = head_count(function) if heads else 0
        if not count:
            return {path: self.seen[path][-1]}
        read = self.seen[f"{path}.output"][0]  # (B, H·D)
        apart = np.zeros((count + 1, *read.shape), read.dtype)  # the last reads nothing: what is left is the bias
        for head, piece in enumerate(np.split(np.arange(read.shape[-1]), count)):
            apart[head, :, piece] = read[:, piece].T
        written = function.output(Tensor(apart)).data
        parts = {f"{path}.{head}": written[head] - written[-1] for head in range(count)}
        if getattr(function.output, "bias", None) is not None:
            parts[f"{path}.bias"] = written[-1]
        return parts | rounding(path, function.output, self.seen[f"{path}.output"][-1], parts)

    def _norm(self, path: str, norm: Any) -> None:
        """Every share through a norm at the scale it had; what it adds by itself is a part of its own."""
        if not isinstance(norm, Norm):
            raise ValueError(f"{path} is a {type(norm).__name__}: only LayerNorm and RMSNorm can be held at a scale")
        x = self.seen[path][0]
        weight = np.ones(x.shape[-1], x.dtype) if norm.weight is None else norm.weight.data
        weight = weight + weight.dtype.type(1) if norm.spec.plus_one else weight

        def centred(share: np.ndarray) -> np.ndarray:
            return share - share.mean(axis=-1, keepdims=True) if norm.spec.kind == "layer" else share

        inner, eps = centred(x), x.dtype.type(norm.spec.eps)
        square = np.mean(inner * inner, axis=-1, keepdims=True)
        inverse = 1 / (np.sqrt(square) + eps) if norm.spec.eps_outside else 1 / np.sqrt(square + eps)
        self.parts = {name: centred(share) * inverse * weight for name, share in self.parts.items()}
        if norm.bias is not None:
            self._add(path, np.broadcast_to(norm.bias.data, x.shape))

    def _linear(self, path: str, matrix: Any) -> None:
        """Every share through a matrix without a bias."""
        self.parts = {name: matrix(Tensor(share)).data for name, share in self.parts.items()}
        self.parts |= rounding(path, matrix, self.seen[path][-1], self.parts)

    def _add(self, name: str, share: np.ndarray) -> None:
        self.parts[name] = self.parts[name] + share if name in self.parts else np.array(share)
