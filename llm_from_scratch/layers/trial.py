"""A mixer under examination: run as a model would run it, beside the same computed another way. See `invariants.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from .context import Context
from .model_memory import ModelMemory
from .module import Module

ROWS = 2
TOLERANCE = 1e-9  # in float64, of the largest output
MOST_PARAMETERS = 20_000


class Trial:
    """One spec under examination: its module in float64, random rows, and a way to run it as a model would."""

    def __init__(self, spec: Any, width: int | None, causal: bool | None, tokens: int) -> None:
        self.spec, self.name = spec, type(spec).__name__
        width = getattr(spec, "hidden_size", None) if width is None else width
        if not isinstance(width, int) or width < 1:
            raise ValueError(
                f"{self.name} has no hidden_size: say how wide its vectors are, check_mixer(spec, width=…)"
            )
        if tokens < 4:
            raise ValueError(f"fewer than 4 tokens show nothing, got {tokens}")
        self.causal = getattr(spec, "causal", True) if causal is None else causal
        self.width, self.tokens = width, tokens
        with self.named("building it"):
            assert is_dataclass(spec), "the spec is no dataclass, and its fields are what is saved"
            self.module = self.build(np.float64)
            for number, parameter in enumerate(self.module.parameters()):  # zeros and ones would hide a lot
                size = 0.5 / parameter.shape[0] ** 0.5 if parameter.ndim > 1 else 0.1
                noise = np.random.default_rng(number).normal(scale=size, size=parameter.shape)
                parameter.data = parameter.data + noise
        if self.module.parameter_count > MOST_PARAMETERS:
            raise ValueError(
                f"{self.name} has {self.module.parameter_count} numbers, each of which would be moved twice: "
                f"check a smaller one, of {MOST_PARAMETERS} at most"
            )
        self.x = np.random.default_rng(1).normal(size=(ROWS, tokens, self.width))

    @cached_property
    def whole(self) -> np.ndarray:
        """What the module makes of the rows, each at once."""
        return self.run(self.x)

    def build(self, dtype: Any) -> Any:
        """The module as a seed makes it."""
        module = self.spec.build(np.random.default_rng(0))
        assert isinstance(module, Module), f"build() gave a {type(module).__name__}, which is no layers.Module"
        return module.astype(dtype)

    @contextmanager
    def named(self, check: str) -> Iterator[None]:
        """Whatever fails inside says what was tried; an error of the module's own is no answer either."""
        what = f"{self.name} fails {check.replace('_', ' ')}"
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None
        except Exception as error:
            raise AssertionError(f"{what}: it raised {type(error).__name__}: {error}") from error

    def memory(self, rows: int = ROWS, module: Any = None) -> ModelMemory:
        """An empty memory, as a model of this layer alone would have it."""
        return ModelMemory([{"mixer": (module or self.module).new_memory()}], rows)

    def context(self, rows: int, start: int, stop: int, **told: Any) -> Context:
        """What a model tells about tokens start … stop - 1 of rows; mask and segments describe all of them."""
        mask, segments = told.get("mask"), told.get("segments")
        count = np.arange(stop)[None] if mask is None else np.maximum(mask[:, :stop].cumsum(axis=1) - 1, 0)
        if segments is not None:  # positions begin again with each document
            count = count - np.array([[list(row).index(number) for number in row] for row in segments])
        bias = None
        if mask is not None and not mask[:, :stop].all():
            bias = np.where(mask[:, :stop], 0.0, -np.inf).astype(told.get("dtype", float))
        return Context(
            positions=count[:, start:],
            offset=start,
            key_bias=bias,
            segments=segments,
            prefix_length=None if told.get("prefix") is None else np.full(rows, told["prefix"]),
            record=told.get("record"),
        )

    def tensor(
        self, x: Any, start: int = 0, stop: int | None = None, memory: ModelMemory | None = None, **told: Any
    ) -> Tensor:
        """The module on tokens start … stop - 1 of the rows x (rows, tokens, width), which continue the memory."""
        stop = x.shape[1] if stop is None else stop
        ids: Any = np.broadcast_to(np.arange(start, stop), (len(x), stop - start))
        context = self.context(len(x), start, stop, **told)
        part = None
        if memory is not None:
            ids, context = memory.admit(ids, context)  # all tokens so far, where they have to be run again
            part = memory.layers[0]["mixer"]
            memory.length += ids.shape[1]
        x = x if isinstance(x, Tensor) else Tensor(x)
        seen = x if ids.shape[1] == x.shape[1] else x[:, ids[0, 0] : ids[0, -1] + 1]
        y = told.get("module", self.module)(seen, part, context)
        assert isinstance(y, Tensor), f"it returned a {type(y).__name__}, not a Tensor"
        assert y.shape == seen.shape, f"{seen.shape} went in, {y.shape} came out"
        return y if y.shape[1] == stop - start else y[:, start - stop :]

    def run(self, x: np.ndarray, start: int = 0, stop: int | None = None, **more: Any) -> np.ndarray:
        """The same without gradients, as an array."""
        with no_grad():
            return self.tensor(x, start, stop, **more).data

    def pieces(
        self, x: np.ndarray, cuts: tuple[int, ...], memory: ModelMemory, start: int = 0, **told: Any
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Tokens `start` … of x in steps cut at these places: (first, end, output) of each."""
        ends = [start, *cuts, x.shape[1]]
        for first, end in zip(ends, ends[1:]):
            yield first, end, self.run(x, first, end, memory=memory, **told)

    def continues(self, x: np.ndarray, cuts: tuple[int, ...], memory: ModelMemory, why: str, start: int = 0) -> None:
        """Each of those outputs is what a run without memory gives of all tokens up to there."""
        for first, end, got in self.pieces(x, cuts, memory, start):
            self.same(got, self.run(x, 0, end)[:, first:], why, first)

    def same(self, got: np.ndarray, expected: np.ndarray, why: str, first: int = 0) -> None:
        """Both are (rows, tokens, width), equal but for rounding; `first`: the number of the first token in them."""
        scale = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
        error = np.where(np.isfinite(got), np.abs(got - expected), np.inf)
        if error.max(initial=0.0) > TOLERANCE * scale:
            row, token, channel = (int(n) for n in np.unravel_index(int(error.argmax()), error.shape))
            raise AssertionError(
                f"{why}: row {row}, token {first + token}, channel {channel} is {got[row, token, channel]:.6g}, "
                f"should be {expected[row, token, channel]:.6g}"
            )
