"""One layer of a decoder: branches in residual form. Every block of 2023 is a setting of three lines.

    h = norm(x) if norm_before else x
    y = alpha · (h if residual_is_normed else x) + f(h)
    x = norm(y) if norm_after else y

A branch with several functions is a parallel block: each f reads the same x, through a shared norm or through its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .basic import NormSpec
from .context import Context
from .described import Whole, ask
from .module import Module


class FunctionSpec(Protocol):
    """What may stand in a branch: anything that builds a module called as f(x, memory, context)."""

    def build(self, rng: np.random.Generator | None) -> Any:
        """A module with `new_memory()`, called with (x (B, T, hidden), memory, context)."""


@dataclass(frozen=True)
class BranchSpec(Whole):
    """One residual step.

    functions: name -> spec, usually one; the names become the parameters' names ("mixer", "feed_forward").
    norms_before: one shared by all functions, or one each, or none.
    alpha: weight of the residual (DeepNorm); dropout acts on what the functions add.
    """

    functions: Mapping[str, FunctionSpec]
    norms_before: tuple[NormSpec, ...] = ()
    norm_after: NormSpec | None = None
    alpha: float = 1.0
    residual_is_normed: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.functions:
            raise ValueError("a branch needs at least one function")
        if len(self.norms_before) not in (0, 1, len(self.functions)):
            raise ValueError(
                f"{len(self.norms_before)} norms for {len(self.functions)} functions: "
                "give none, one shared, or one each"
            )
        if self.residual_is_normed and len(self.norms_before) != 1:
            raise ValueError("residual_is_normed needs exactly one norm before the branch")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}")

    @property
    def parts(self) -> Iterable[Any]:
        """Its functions."""
        return self.functions.values()

    @property
    def norms(self) -> tuple[NormSpec, ...]:
        """All of its norms."""
        return (*self.norms_before, *([self.norm_after] if self.norm_after else []))

    def placement(self) -> str:
        """Where norms stand, and what is done with the residual.

        >>> BranchSpec({"mixer": None}, (NormSpec(8),), alpha=2.0).placement()
        'pre, residual × 2'
        """
        places = ["pre"] * bool(self.norms_before) + ["post"] * (self.norm_after is not None)
        residual = f" × {self.alpha:.3g}" * (self.alpha != 1)
        if self.residual_is_normed:
            name = "pre, normed residual" + residual
        else:
            name = (" and ".join(places) or "no norms") + (residual and f", residual{residual}")
        count = len(self.norms_before)
        return name + f", parallel ({count} norm{'s' * (count > 1)})" * (len(self.functions) > 1)

    def words(self) -> str:
        """Its functions, each with how it knows positions, and its sizes."""
        return " + ".join(_function_in_words(part) for part in self.parts)


@dataclass(frozen=True)
class LayerSpec(Whole):
    """The branches of one layer, in order."""

    branches: tuple[BranchSpec, ...]

    @property
    def parts(self) -> Iterable[Any]:
        """Its branches."""
        return self.branches

    @property
    def functions(self) -> dict[str, FunctionSpec]:
        """All of its functions by name."""
        return {name: part for branch in self.branches for name, part in branch.functions.items()}

    @property
    def norms(self) -> tuple[NormSpec, ...]:
        """All of its norms."""
        return tuple(norm for branch in self.branches for norm in branch.norms)

    def placement(self) -> str:
        """Where norms stand, which is told of the first branch."""
        return self.branches[0].placement()

    def words(self) -> str:
        """Norms, where they stand, and what each branch does.

        >>> from .feed_forward import FeedForwardSpec
        >>> LayerSpec((BranchSpec({"feed_forward": FeedForwardSpec(8, 32)}, (NormSpec(8, "rms"),)),)).words()
        'RMSNorm pre; GELU (tanh) (feed-forward width 32)'
        """
        norms = " and ".join(dict.fromkeys(norm.words() for norm in self.norms))
        return "; ".join([f"{norms} {self.placement()}".strip(), *(branch.words() for branch in self.branches)])

    @classmethod
    def sequential(cls, mixer: FunctionSpec, feed_forward: FunctionSpec, norm: NormSpec, **settings: Any) -> LayerSpec:
        """The usual pre-norm block: x += mixer(norm(x)); x += feed_forward(norm(x))."""
        return cls(
            (
                BranchSpec({"mixer": mixer}, norms_before=(norm,), **settings),
                BranchSpec({"feed_forward": feed_forward}, norms_before=(norm,), **settings),
            )
        )

    @classmethod
    def parallel(cls, mixer: FunctionSpec, feed_forward: FunctionSpec, *norms: NormSpec, **settings: Any) -> LayerSpec:
        """x += mixer(norm(x)) + feed_forward(norm(x)), with one norm for both (Falcon 7B) or one each (GPT-NeoX)."""
        return cls((BranchSpec({"mixer": mixer, "feed_forward": feed_forward}, norms_before=norms, **settings),))

    def build(self, rng: np.random.Generator | None) -> Block:
        """The layer itself."""
        return Block(self, rng)


def is_feed_forward(name: str) -> bool:
    """Whether a function is a feed-forward part, by its name in the layer; all others are mixers."""
    return name.startswith("feed_forward")


def _function_in_words(part: Any) -> str:
    sizes = [f"{heading} {size}" for heading, size in ask(part, "sizes").items() if size != "none"]
    words = [ask(part, "words"), ask(part, "positions")]
    return ", ".join(filter(None, words)) + (f" ({', '.join(sizes)})" if sizes else "")


class Block(Module):
    """Applies its `LayerSpec`: x (B, T, hidden) -> (B, T, hidden).

    Parameters are named after the functions: `mixer.…`, `mixer_norm.…` before it, `mixer_norm_after.…` behind it.
    """

    def __init__(self, spec: LayerSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        for branch in spec.branches:
            names = list(branch.functions)
            for name, norm in zip(names, branch.norms_before):
                self._add(f"{name}_norm", norm.build(rng))
            for name, function in branch.functions.items():
                self._add(name, function.build(rng))
            if branch.norm_after is not None:
                self._add(f"{names[0]}_norm_after", branch.norm_after.build(rng))

    def _add(self, name: str, module: Any) -> None:
        if hasattr(self, name):
            raise ValueError(f"a layer has two parts named {name!r}: functions need names of their own")
        setattr(self, name, module)

    def new_memory(self) -> dict[str, Any]:
        """One empty memory a function."""
        return {name: getattr(self, name).new_memory() for branch in self.spec.branches for name in branch.functions}

    def __call__(self, x: Tensor, memory: dict[str, Any] | None, context: Context) -> Tensor:
        for branch in self.spec.branches:
            names = list(branch.functions)
            normed = [getattr(self, f"{name}_norm")(x) for name, _ in zip(names, branch.norms_before)]
            inputs = normed if len(normed) == len(names) else (normed or [x]) * len(names)
            y = normed[0] if branch.residual_is_normed else x
            if branch.alpha != 1.0:
                y = y * branch.alpha
            for name, h in zip(names, inputs):
                update = getattr(self, name)(h, None if memory is None else memory[name], context)
                if context.rng is not None and branch.dropout:
                    update = F.dropout(update, rate=branch.dropout, rng=context.rng)
                y = y + update
            x = getattr(self, f"{names[0]}_norm_after")(y) if branch.norm_after is not None else y
        return x
