"""One layer of a decoder: branches in residual form. Every block of 2023 is a setting of three lines.

    h = norm(x) if norm_before else x
    y = alpha · (h if residual_is_normed else x) + norm_branch(f(h))
    x = norm(y) if norm_after else y

norm_branch is mostly absent. A branch with several functions is a parallel block: each f reads the same x, through a
shared norm or through its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..kernels.token_matrices import vector
from .basic import NormSpec
from .context import Context
from .described import Whole, ask
from .module import Module
from .one_token import End, Sketch


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

    What a spec may say of itself besides (`words()`, `flops(length)`, `memory_bytes(length)` and others) stands in
    `layers.Described`, with what is answered for one that is silent: the name of its class, its parameters counted.
    """

    def build(self, rng: np.random.Generator | None) -> Any:
        """A module with `new_memory()`, called with (x (B, T, hidden), memory, context)."""


@dataclass(frozen=True)
class BranchSpec(Whole):
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

    @property
    def parts(self) -> Iterable[Any]:
        """Its functions."""
        return self.functions.values()

    @property
    def norms(self) -> tuple[NormSpec, ...]:
        """All of its norms."""
        return tuple(norm for norm in (*self.norms_before, self.norm_branch, self.norm_after) if norm is not None)

    def placement(self) -> str:
        """Where norms stand, and what is done with the residual.

        >>> BranchSpec({"mixer": None}, (NormSpec(8),), alpha=2.0).placement()
        'pre, residual × 2'
        """
        places = ["pre"] * bool(self.norms_before) + ["on the branch"] * (self.norm_branch is not None)
        places += ["post"] * (self.norm_after is not None)
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


def is_feed_forward(name: str) -> bool:
    """Whether a function is a feed-forward part, by its name in the layer; all others are mixers."""
    return name.startswith("feed_forward")


def _function_in_words(part: Any) -> str:
    sizes = [f"{heading} {size}" for heading, size in ask(part, "sizes").items() if size != "none"]
    words = [ask(part, "words"), ask(part, "positions")]
    return ", ".join(filter(None, words)) + (f" ({', '.join(sizes)})" if sizes else "")


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

    def one_token(self, sketch: Sketch, x: np.ndarray) -> np.ndarray:
        """The same for one token: norms before a function belong to its first products, the sum to its last."""
        layer, _ = sketch.place
        for branch in self.spec.branches:
            names = list(branch.functions)
            residual = x
            if branch.residual_is_normed:
                x = residual = sketch.normed(x, getattr(self, f"{names[0]}_norm"))
                norms: list[Any] = [None] * len(names)
            else:
                norms = [sketch.norm(getattr(self, f"{name}_norm")) for name, _ in zip(names, branch.norms_before)]
                norms = norms if len(norms) == len(names) else (norms or [None]) * len(names)
            alpha = branch.alpha
            for name, norm in zip(names, norms):
                sketch.place = layer, name
                out = vector(x.size)
                if branch.norm_branch is None:
                    sketch.ask(getattr(self, name), "one_token", x, norm, End(out, residual, alpha))
                else:
                    sketch.ask(getattr(self, name), "one_token", x, norm, End(out))
                    out = sketch.normed(out, getattr(self, f"{name}_norm_branch"), residual, alpha)
                residual, alpha = out, 1.0
            x = residual
            if branch.norm_after is not None:
                x = sketch.normed(x, getattr(self, f"{names[0]}_norm_after"))
        return x
