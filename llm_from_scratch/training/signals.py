"""What can be measured of a step of training, by layer: activations on their way, gradients, weights and their moves.

All are sums over everything that passes, added in an order of their own: the number of threads decides the last digits
of a step's gradients, but not how these are summed. Measuring changes nothing that is computed.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.calls import intercepted
from ..autograd.rerun import running_again
from ..kernels.optimizers import sum_of_squares
from .objectives import Objective, check_batch, counted, next_token, value_of

# The layers and what stands directly in them, what a feed-forward part has inside, and the last norm. Not the head: it
# is asked for the loss in ways of its own, which a look at its logits would change.
_WATCHED = re.compile(r"([a-z_]+\.)+\d+(\.[a-z_]+|\.feed_forward\.down)?|([a-z_]+\.)?norm")
_FIRST = re.compile(r"([a-z_]+\.)+0")
DEAD, STUCK = 1e-3, 1e-2
Figures = dict[str, dict[str, float | None]]


def statistics(
    model: Any,
    batch: Mapping[str, Any],
    *,
    objective: Objective = next_token,
    rng: np.random.Generator | None = None,
) -> dict[str, Figures]:
    """What a step on this batch looks like inside: {"activations": …, "parameters": …}, figures by path.

    activations: of what the layers (and what stands in them) put out, of what the first reads ("embedding") and of the
    inner state of feed-forward parts ("….hidden"): "rms"; "largest" in magnitude; "dead", the share of channels that
    stay below a thousandth of the rms on every token; "stuck", the share of the others that hardly change from token to
    token (by less than a hundredth of their mean); "not_finite", how many numbers are not.

    parameters: "gradient" and "weight", the lengths (Euclidean) of both. Neither weights nor `.grad` are changed; what
    is not a finite number is None.

    >>> import llm_from_scratch as lfs
    >>> model = lfs.build("llama", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16)
    >>> seen = statistics(model, {"ids": [[1, 2, 3]], "targets": [[2, 3, 4]]})
    >>> sorted(seen["activations"])[:3], seen["parameters"]["norm.weight"]["weight"]
    (['embedding', 'layers.0', 'layers.0.feed_forward'], 2.82843)
    """
    arrays = check_batch(batch)
    found: dict[Tensor, np.ndarray] = {}
    with watching(model) as watch, np.errstate(all="ignore"):
        value_of(objective, model, arrays, counted(objective, arrays), rng).backward(into=found)
    return {"activations": watch.figures(), "parameters": parameters(model, lambda p: found.get(p))}


@contextmanager
def watching(model: Any) -> Iterator[Watch]:
    """Look at what passes through the layers of a model inside the block."""
    watch = Watch()
    modules = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
    with intercepted({path: part for path, part in modules.items() if _WATCHED.fullmatch(path)}, watch):
        yield watch


class Watch:
    """Sums over the tensors that pass, by name, in the order in which names come up first."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[np.ndarray, ...]]] = {}
        self._lock = threading.Lock()  # shards of a batch pass in threads

    def __call__(self, path: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if running_again():  # everything is counted once
            return call(*args, **kwargs)
        if _FIRST.fullmatch(path) and args:
            self._look("embedding", args[0])
        if path.endswith(".down"):
            self._look(f"{path.removesuffix('.down')}.hidden", args[0])
            return call(*args, **kwargs)
        out = call(*args, **kwargs)
        self._look(path, out)
        return out

    def _look(self, name: str, value: Any) -> None:
        if not isinstance(value, Tensor) or value.dtype.kind != "f" or not value.ndim:
            return
        rows = value.data.reshape(-1, value.shape[-1])
        with np.errstate(all="ignore"):
            means, squares = rows.sum(axis=0, dtype=np.float64), (rows.astype(np.float64) ** 2).sum(axis=0)
            largest = np.abs(rows).max(axis=0, initial=0).astype(np.float64)
            parts = (np.array([len(rows), np.count_nonzero(~np.isfinite(rows))], float), means, squares, largest)
        with self._lock:
            self._seen.setdefault(name, []).append(parts)

    def sums(self) -> dict[str, list[list[list[float]]]]:
        """Everything seen, JSON-able."""
        return {name: [[array.tolist() for array in part] for part in parts] for name, parts in self._seen.items()}

    def add_up(self, sums: list[dict[str, list[list[list[float]]]]]) -> None:
        """Take what all ranks have seen for what was seen here."""
        self._seen = {}
        for seen in sums:
            for name, parts in seen.items():
                self._seen.setdefault(name, []).extend(tuple(map(np.array, part)) for part in parts)

    def figures(self) -> Figures:
        """The figures of everything seen, see `statistics`."""
        return {name: self._figures(parts) for name, parts in self._seen.items()}

    @staticmethod
    def _figures(parts: list[tuple[np.ndarray, ...]]) -> dict[str, float | None]:
        parts = sorted(parts, key=lambda part: [array.tobytes() for array in part])  # not as threads happened to come
        counts, totals, squares = (np.sum([part[i] for part in parts], axis=0) for i in range(3))
        tokens, not_finite = counts
        largest = np.max([part[3] for part in parts], axis=0)
        with np.errstate(all="ignore"):
            rms = math.sqrt(squares.sum() / max(1.0, tokens * squares.size))
            mean, square = totals / tokens, squares / tokens
            dead = largest < DEAD * rms
            stuck = ~dead & (np.sqrt(np.maximum(square - mean * mean, 0)) < STUCK * np.abs(mean))
        figures = {"rms": rms, "largest": largest.max(), "dead": dead.mean(), "stuck": stuck.mean()}
        return {**{name: shortened(value) for name, value in figures.items()}, "not_finite": int(not_finite)}


def parameters(model: Any, gradient_of: Callable[[Any], np.ndarray | None] = lambda p: p.grad) -> Figures:
    """The lengths of weights and gradients by name, of those that have a gradient."""
    found: Figures = {}
    for name, parameter in model.named_parameters():
        gradient = gradient_of(parameter)
        if gradient is not None:
            found[name] = {"gradient": length(gradient), "weight": length(parameter.data)}
    return found


def length(array: np.ndarray) -> float | None:
    """The Euclidean length, to six digits; None where it is not a finite number."""
    with np.errstate(all="ignore"):
        return shortened(math.sqrt(sum_of_squares(array.reshape(-1))))


def shortened(value: float) -> float | None:
    """Six digits of a number, which is what a line of a log holds; None of what is not finite.

    >>> shortened(0.123456789), shortened(math.inf)
    (0.123457, None)
    """
    return float(f"{value:.6g}") if math.isfinite(value) else None
