"""Heads switched off: what a model can no longer do without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..models.patching import watched
from .heads import head_count, with_heads


@contextmanager
def ablate_heads(
    model: Any, heads: Iterable[tuple[int, int]], *, means: Mapping[int, np.ndarray] | None = None
) -> Iterator[None]:
    """Inside the block, each (layer, head) puts out nothing; with `means` what it puts out on the average.

    Nothing can be more of a shock than the average is: a head that always says the same has been counted on by all
    that come after it. means: from `head_means`.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=2, n_embd=4, vocab_size=5, n_positions=8)
    >>> with ablate_heads(model, [(0, 0), (0, 1)]):
    ...     without = model([[3, 1]]).data
    >>> with model.patch("layers.0.mixer", lambda out: out * 0.0):      # its output has no bias yet
    ...     bool(np.array_equal(without, model([[3, 1]]).data))
    True

    Raises ValueError for a layer or head that there is not, and a layer whose mixer has no heads (it is named).
    """
    wanted: dict[str, list[int]] = {}
    for pair in heads:
        if np.shape(pair) != (2,):
            raise ValueError(f"a head is a pair (layer, head), not {pair!r}")
        layer, head = pair
        path, count = _mixer(model, layer)
        if not _is_place(head, count):
            raise ValueError(f"layer {layer} has heads 0..{count - 1}, not {head!r}")
        wanted.setdefault(path, []).append(int(head))
    changes = {path: _without(model, path, gone, means) for path, gone in wanted.items()}
    with ExitStack() as stack:
        for path, change in changes.items():
            stack.enter_context(model.patch(f"{path}.output", change, at="input"))
        yield


def head_means(model: Any, ids: Any) -> dict[int, np.ndarray]:
    """What each head puts out on the average over all tokens of ids (B, T): layer -> (heads, width of a head)."""
    mixers = with_heads(model)
    with no_grad(), watched(model, [f"{path}.output" for path in mixers]) as seen:
        length = model(ids).shape[1]
    read = {path: seen[f"{path}.output"][0].data[:, -length:] for path in mixers}  # behind a learned prompt
    return {_layer(path): x.mean(axis=(0, 1)).reshape(head_count(mixers[path]), -1) for path, x in read.items()}


def _without(model: Any, path: str, gone: list[int], means: Mapping[int, np.ndarray] | None) -> Any:
    """A change of what an output's matrix reads, (B, T, H·D)."""
    spec = with_heads(model)[path].spec
    keep = np.ones((spec.heads, spec.head_dim), model.dtype)
    keep[gone] = 0
    instead = np.zeros_like(keep)
    if means is not None:
        mean = means.get(_layer(path))
        if mean is None or mean.shape != instead.shape:
            raise ValueError(f"there are no means of the heads of {path}: take them from head_means(model, ids)")
        instead[gone] = mean[gone]
    kept, added = Tensor(keep.reshape(-1)), Tensor(instead.reshape(-1))
    return lambda read: read * kept + added


def _layer(path: str) -> int:
    return int(path.split(".")[1])


def _is_place(value: Any, count: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(0 <= value < count)


def _mixer(model: Any, layer: Any) -> tuple[str, int]:
    """The path of what has heads in a layer, and how many."""
    if not _is_place(layer, len(model.layers)):
        raise ValueError(f"the model has layers 0..{len(model.layers) - 1}, not {layer!r}")
    for path, mixer in with_heads(model).items():
        if _layer(path) == layer:
            return path, head_count(mixer)
    names = ", ".join(type(getattr(model.layers[layer], name)).__name__ for name in model.layers[layer].spec.functions)
    raise ValueError(f"layer {layer} has no heads: it has {names}")
