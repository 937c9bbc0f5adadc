"""Hyena's first filters: a small network computes h[t] from the time t, so that length costs no parameters.

A network of sines reads a few waves of the time, and a window makes what it says fade, each channel at its own rate.
Such a filter has no state: generation keeps all inputs and adds them up anew for every token, until the filter is
distilled into modes (`layers.hyena.ModalFilter`).

Source: Poli et al. 2023, arXiv:2302.10866, section 3.3 and appendix; sizes and window as in the authors' released code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import functional as F
from ..autograd import Tensor, concatenate
from ..kernels.row_products import is_batch_invariant
from .basic import Linear
from .initialization import Constant
from .mamba import Uniform
from .module import Module, parameter

FASTEST, SLOWEST, LEFT = 0.3, 1.5, 0.01  # the window falls to LEFT after this share of the longest sequence


@dataclass(frozen=True)
class ImplicitFilterSpec:
    """Filters of up to `length` steps. waves: frequencies the network reads; width, depth: of its hidden layers.

    frequency: what the sines multiply their inputs by at first. shift: what the window never falls below.
    """

    length: int
    waves: int = 1
    width: int = 64
    depth: int = 3
    frequency: float = 10.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("length", "waves", "width", "depth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"implicit filter: {name} must be a positive integer, not {value!r}")

    def memory_bytes(self, channels: int, length: int) -> int:
        """Those of all inputs so far, in float32."""
        return 4 * channels * min(length, self.length)

    def build(self, channels: int, rng: np.random.Generator | None) -> ImplicitFilter:
        """The filters of a layer."""
        return ImplicitFilter(self, channels, rng)


class ImplicitFilter(Module):
    """The filters of a layer, applied: (B, T, C) -> (B, T, C). Its state is what came before, (B, tokens, C)."""

    def __init__(self, spec: ImplicitFilterSpec, channels: int, rng: np.random.Generator | None) -> None:
        self.spec = spec
        sizes = [1 + 2 * spec.waves] + [spec.width] * spec.depth
        self.layers = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layer = Linear(inputs, outputs, init=Uniform(inputs**-0.5), rng=rng)
            layer.bias = parameter(rng, (outputs,), Uniform(inputs**-0.5))
            self.layers.append(layer)
        self.frequency = parameter(rng, (spec.width,), Constant(spec.frequency))
        self.last = Linear(spec.width, channels, bias=False, init=Uniform(spec.width**-0.5), rng=rng)

    def values(self, length: int) -> Tensor:
        """The filters themselves, (length, C); ValueError beyond the length they were made for."""
        if length > self.spec.length:
            raise ValueError(f"these filters were made for {self.spec.length} steps, not for {length}")
        dtype, count, channels = self.frequency.dtype, self.spec.length, self.last.weight.shape[1]
        time, turns = np.linspace(0, 1, count)[:length, None], 2 * np.pi * np.arange(length)[:, None] / count
        angles = turns * np.linspace(1e-4, self.spec.waves - 1, self.spec.waves)
        h = Tensor(np.concatenate([time, np.cos(angles), -np.sin(angles)], axis=1).astype(dtype))
        for layer in self.layers:
            h = F.sine(layer(h) * self.frequency)
        rates = np.linspace(-math.log(LEFT) / SLOWEST, -math.log(LEFT) / FASTEST, channels)
        return self.last(h) * Tensor((np.exp(-time * rates) + self.spec.shift).astype(dtype))

    def __call__(
        self, x: Tensor, D: Tensor, state: np.ndarray | None, segments: np.ndarray | None, *, continued: bool
    ) -> tuple[Tensor, np.ndarray | None]:
        """The convolved x, and all inputs so far if it is to be continued."""
        every = x if state is None else concatenate(Tensor(state), x, axis=1)
        h = self.values(every.shape[1])
        if x.shape[1] == 1 and not is_batch_invariant():
            y = (every * h[::-1]).sum(axis=1, keepdims=True) + x * D
        else:
            y = F.long_convolution(every, h, D, segments=segments)[:, every.shape[1] - x.shape[1] :]
        if not continued:
            return y, None
        kept = every.data.copy()
        if segments is not None:  # what comes next continues the last document, and must not see those before it
            other = np.logical_or.accumulate((segments != segments[:, -1:])[:, ::-1], axis=1)[:, ::-1]
            kept[other] = 0
        return y, kept
