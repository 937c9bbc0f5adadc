"""One layer of a decoder: branches in residual form. Every block of 2023 is a setting of three lines.

    h = norm(x) if norm_before else x
    y = alpha · (h if residual_is_normed else x) + norm_branch(f(h))
    x = norm(y) if norm_after else y

norm_branch is mostly absent. A branch with several functions is a parallel block: each f reads the same x, through a
shared norm or through its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .basic import NormSpec
from .context import Context
from .module import Module


class FunctionSpec(Protocol):
    """What may stand in a branch: a mixer or a feed-forward part, ours or yours. `lfs.check_mixer(spec)` tries it all.

    A spec is a frozen dataclass of plain values. `build(rng)` makes a `Module`: its parameters come from
    `layers.parameter` and the other modules, drawn from `rng` and nothing else, in float32; without `rng` they are
    placeholders that take no memory, so nothing may be computed from them before a call.

    The module is called as f(x, memory, context), x (B, T, hidden) -> (B, T, hidden) of the same dtype, float32 or
    float64. It changes neither x nor context, keeps nothing from one call to the next but in `memory`, and

    * a token's output depends on no later token and on no other row;
    * `memory` is None, or what `new_memory()` gave and earlier calls filled. Then x continues the row, and any split of
      a row into calls gives the same outputs: the forward over a whole row is the step from an empty memory. Gradients
      reach the new tokens only. A memory has `nbytes`, `crop(length)` and `select(rows)`: see `layers.Memory`. A
      function that looks at each token alone remembers nothing: its `new_memory()` returns None;
    * `context` says what a pass knows besides (see `layers.Context`). S counts the remembered and the T new tokens:
      `positions` (B or 1, T), where each new token stands in its document; `key_bias` (B, S), None or -inf where a
      token is padding; `segments` (B, S), None or the documents' numbers in packed rows; `prefix_length` (B,), None or
      how many first tokens see each other in both directions; `rng`, None or what dropout draws from; `record`, None
      or where to leave what a reader may want to look at;
    * padding on the left changes nothing for the tokens behind it;
    * packed documents do not see each other, and a prefix is seen whole; or a ValueError says that this cannot be.
    """

    def build(self, rng: np.random.Generator | None) -> Any:
        """A module with `new_memory()`, called with (x (B, T, hidden), memory, context)."""


@dataclass(frozen=True)
class BranchSpec:
    """One residual step.

    functions: name -> spec, usually one; the names become the parameters' names ("mixer", "feed_forward").
    norms_before: one shared by all functions, or one each, or none.
    norm_branch: on what a function gives, before it is added (OLMo 2; Gemma 2 has it beside norms_before); each
    function has its own.
    alpha: weight of the residual (DeepNorm); dropout acts on what is added.
    """

    functions: Mapping[str, FunctionSpec]
    norms_before: tuple[NormSpec, ...] = ()
    norm_after: NormSpec | None = None
    alpha: float = 1.0
    residual_is_normed: bool = False
    dropout: float = 0.0
    norm_branch: NormSpec | None = None

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


@dataclass(frozen=True)
class LayerSpec:
    """The branches of one layer, in order."""

    branches: tuple[BranchSpec, ...]

    @classmethod
    def sequential(
        cls, mixer: FunctionSpec, feed_forward: FunctionSpec, *norms: NormSpec, **settings: Any
    ) -> LayerSpec:
        """The usual pre-norm block: x += mixer(norm(x)); x += feed_forward(norm(x)). Without a norm none is before."""
        return cls(
            (
                BranchSpec({"mixer": mixer}, norms_before=norms, **settings),
                BranchSpec({"feed_forward": feed_forward}, norms_before=norms, **settings),
            )
        )

    @classmethod
    def parallel(cls, mixer: FunctionSpec, feed_forward: FunctionSpec, *norms: NormSpec, **settings: Any) -> LayerSpec:
        """x += mixer(norm(x)) + feed_forward(norm(x)), with one norm for both (Falcon 7B) or one each (GPT-NeoX)."""
        return cls((BranchSpec({"mixer": mixer, "feed_forward": feed_forward}, norms_before=norms, **settings),))

    def build(self, rng: np.random.Generator | None) -> Block:
        """The layer itself."""
        return Block(self, rng)


class Block(Module):
    """Applies its `LayerSpec`: x (B, T, hidden) -> (B, T, hidden).

    Parameters are named after the functions: `mixer.…`, `mixer_norm.…` before it, `mixer_norm_branch.…` on what it
    gives, `mixer_norm_after.…` behind the sum.
    """

    def __init__(self, spec: LayerSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        for branch in spec.branches:
            names = list(branch.functions)
            for name, norm in zip(names, branch.norms_before):
                self._add(f"{name}_norm", norm.build(rng))
            for name, function in branch.functions.items():
                self._add(name, function.build(rng))
                if branch.norm_branch is not None:
                    self._add(f"{name}_norm_branch", branch.norm_branch.build(rng))
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
                if branch.norm_branch is not None:
                    update = getattr(self, f"{name}_norm_branch")(update)
                if context.rng is not None and branch.dropout:
                    update = F.dropout(update, rate=branch.dropout, rng=context.rng)
                y = y + update
            x = getattr(self, f"{names[0]}_norm_after")(y) if branch.norm_after is not None else y
        return x
