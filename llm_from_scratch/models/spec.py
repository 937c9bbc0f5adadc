"""The design space: a `ModelSpec` is an embedding, a list of layers, a final norm and a head.

Every open model of 2023 is one point in it. A spec describes, it allocates nothing, and `Decoder(spec).parameter_count`
of a 70B model is instant, because without a generator parameters are placeholders. The parts stand beside the layers
they build (`AttentionSpec`, `FeedForwardSpec`, `NormSpec`, `LayerSpec`), and any dataclass with `.build(rng)` may take
the place of a mixer or a feed-forward part.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..layers import BranchSpec, LayerSpec, Normal, NormSpec
from ..layers.block import FunctionSpec, is_feed_forward
from ..layers.described import Whole, ask
from ..layers.module import Initializer


@dataclass(frozen=True)
class PositionTable:
    """Learned absolute positions: `count` of them, after `offset` rows that no token uses (OPT has 2)."""

    count: int
    offset: int = 0
    init: Initializer = Normal(0.02)


@dataclass(frozen=True, repr=False)
class ModelSpec(Whole):
    """One language model. Specs are not changed but copied: see `replace`, `scaled`, `with_norm`, `with_mixer`, `map`.

    context_length: the longest sequence it was made for; only a position table enforces it.
    tied: the head is the embedding, transposed. head_bias: added to the logits (GPT-J, Phi).
    embedding_scale: the looked-up rows are multiplied by it, the head is not (Gemma: √hidden_size). embedding_norm:
    directly after the embedding (BLOOM). embedding_size: narrower (or wider) rows of the embedding and of the head,
    with a matrix between them and the layers (OPT-350M).
    embedding_gradient_scale: the gradient through the looked-up rows is multiplied by it; what a tied head sends to the
    same matrix is not (GLM-130B, against spikes of the loss).
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[LayerSpec, ...]
    norm: NormSpec | None
    context_length: int
    tied: bool = True
    head_bias: bool = False
    positions: PositionTable | None = None
    embedding_norm: NormSpec | None = None
    embedding_size: int | None = None
    embedding_scale: float = 1.0
    embedding_dropout: float = 0.0
    embedding_gradient_scale: float = 1.0
    embedding_init: Initializer = Normal(0.02)
    head_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "context_length", "embedding_size"):
            value = getattr(self, name)
            if value is None and name == "embedding_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        if not 0.0 <= self.embedding_gradient_scale <= 1.0:
            raise ValueError(f"embedding_gradient_scale must lie in 0..1, not {self.embedding_gradient_scale}")
        if not 0.0 < self.embedding_scale < math.inf:
            raise ValueError(f"embedding_scale must be a positive number, not {self.embedding_scale}")
        if not self.layers:
            raise ValueError("a model needs at least one layer")
        for i, layer in enumerate(self.layers):
            for name, part in layer.functions.items():
                self._check_width(f"layer {i}: {name} ({ask(part, 'words')})", getattr(part, "hidden_size", None))
            for norm in layer.norms:
                self._check_width(f"layer {i}: a norm", getattr(norm, "size", None))
        for outside in (self.norm, self.embedding_norm):
            self._check_width("a norm", getattr(outside, "size", None))

    def _check_width(self, what: str, width: Any) -> None:
        if width is not None and width != self.hidden_size:
            raise ValueError(f"{what} is for a hidden size of {width}, the model's is {self.hidden_size}")

    @property
    def parts(self) -> Iterable[Any]:
        """Its layers."""
        return self.layers

    @property
    def mixers(self) -> tuple[Any, ...]:
        """The mixer of every layer, in order: what is not a feed-forward part."""
        return tuple(part for name, part in self._functions() if not is_feed_forward(name))

    @property
    def feed_forwards(self) -> tuple[Any, ...]:
        """The feed-forward part of every layer that has one."""
        return tuple(part for name, part in self._functions() if is_feed_forward(name))

    def _functions(self) -> Iterator[tuple[str, FunctionSpec]]:
        return (item for layer in self.layers for item in layer.functions.items())

    def flops(self, length: int) -> int:
        """Forward, of all `length` tokens of a sequence: the layers, the head, and projections of the embedding."""
        width = self.embedding_size or self.hidden_size
        outside = width * self.vocab_size + 2 * width * self.hidden_size * (self.embedding_size is not None)
        return super().flops(length) + 2 * length * outside

    def words(self) -> str:
        """The design as a paragraph; equal layers are told once."""
        alike: dict[str, list[int]] = {}
        for i, layer in enumerate(self.layers):
            alike.setdefault(layer.words(), []).append(i)
        sizes = [f"{len(self.layers)} layers of width {self.hidden_size}", f"vocabulary {self.vocab_size}"]
        sizes += [f"context {self.context_length}"] + ["learned positions"] * (self.positions is not None)
        sizes += [f"embedding of width {self.embedding_size}"] * (self.embedding_size is not None)
        sizes += [f"embedding × {self.embedding_scale:.6g}"] * (self.embedding_scale != 1.0)
        sizes += [] if self.embedding_norm is None else [f"{self.embedding_norm.words()} on the embedding"]
        last = "no norm" if self.norm is None else self.norm.words()
        head = ("a tied head" if self.tied else "a head of its own") + " with a bias" * self.head_bias
        layers = [f"Layer{'s' * (len(n) > 1)} {numbers_in_words(n)}: {words}" for words, n in alike.items()]
        return ". ".join([", ".join(sizes), *layers, f"At the end: {last}, {head}."])

    def __repr__(self) -> str:
        return f"ModelSpec: {self.words()}"

    def replace(self, **changes: Any) -> ModelSpec:
        """A copy with some fields changed.

        >>> from llm_from_scratch.checkpoints import spec
        >>> spec("gpt2").replace(context_length=32, tied=False)
        ModelSpec: 12 layers of width 768, vocabulary 50257, context 32, learned positions. Layers 0 to 11: LayerNorm
        pre; multi-head (heads 12, key-value heads 12, width of a head 64); GELU (tanh) (feed-forward width 3072). At
        the end: LayerNorm, a head of its own.
        """
        return dataclasses.replace(self, **changes)

    def map(self, change: Callable[[Any], Any]) -> ModelSpec:
        """A copy in which `change` was applied to every part, inner ones first, and to the model itself last.

        Parts are dataclasses: layers, branches, mixers, norms, rotary settings, initialisers. `change` is called with
        each and returns it as it is, or another in its place.

        >>> from llm_from_scratch.checkpoints import spec
        >>> from llm_from_scratch.layers import Rotary
        >>> slow = spec("llama-2-7b").map(lambda part: Rotary(128, 1e6) if isinstance(part, Rotary) else part)
        >>> {mixer.positions() for mixer in slow.mixers}
        {'rotary, base 1,000,000'}
        """
        return _mapped(self, change)

    def with_norm(self, kind: str | None = None, **settings: Any) -> ModelSpec:
        """A copy with other norms everywhere, those of queries and keys included; each keeps its size.

        kind: "layer" or "rms"; settings: further fields of `NormSpec`. What is not named stays as it was.

        >>> from llm_from_scratch.checkpoints import spec
        >>> spec("gpt2").with_norm("rms", eps=1e-6).norm
        NormSpec(size=768, kind='rms', eps=1e-06, weight=True, bias=True, eps_outside=False, plus_one=False)
        """
        known = {field.name for field in dataclasses.fields(NormSpec)} - {"size"}
        if unknown := settings.keys() - known:
            raise TypeError(f"norms have no setting {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        if kind is not None:
            settings = {"kind": kind, **settings}
        if kind == "layer":  # where eps stands is a question to RMSNorm only
            settings = {"eps_outside": False, **settings}
        return self.map(lambda part: dataclasses.replace(part, **settings) if isinstance(part, NormSpec) else part)

    def with_mixer(self, make: Any, layers: Iterable[int] | None = None) -> ModelSpec:
        """A copy with another mixer in every layer, or in those that are named (-1 is the last).

        make: the spec of a mixer, or a function of a layer's number and its old mixer that returns one. Feed-forward
        parts, norms and what runs in parallel stay.

        >>> import dataclasses
        >>> from llm_from_scratch.checkpoints import spec
        >>> near = spec("gpt2").with_mixer(lambda i, old: dataclasses.replace(old, window=64), layers=range(0, 12, 2))
        >>> [mixer.window for mixer in near.mixers]
        [64, None, 64, None, 64, None, 64, None, 64, None, 64, None]
        """
        given = _is_spec(make)
        if not given and (isinstance(make, type) or not callable(make)):
            raise TypeError(f"give the spec of a mixer, or a function of a layer's number and its mixer; not {make!r}")
        count = len(self.layers)
        wanted = set(range(count) if layers is None else layers)
        if outside := sorted(i for i in wanted if not -count <= i < count):
            raise ValueError(f"there is no layer {outside[0]}: this model has layers 0 to {count - 1}")

        def other(i: int, old: Any) -> Any:
            new = make if given else make(i, old)
            if not _is_spec(new):
                raise TypeError(f"layer {i}: a mixer's spec has .build(rng); what was made is {new!r}")
            return new

        def changed(i: int, branch: BranchSpec) -> BranchSpec:
            items = branch.functions.items()
            new = {name: old if is_feed_forward(name) else other(i, old) for name, old in items}
            return dataclasses.replace(branch, functions=new)

        found = list(self.layers)
        for i in sorted({i % count for i in wanted}):
            branches = tuple(changed(i, branch) for branch in found[i].branches)
            found[i] = dataclasses.replace(found[i], branches=branches)
        return self.replace(layers=tuple(found))

    def scaled(self, *, layers: int | None = None, vocab_size: int | None = None) -> ModelSpec:
        """A copy with another depth (the layers repeated in order, or cut) or vocabulary."""
        depth = len(self.layers) if layers is None else layers
        if depth < 1:
            raise ValueError(f"a model needs at least one layer, not {depth}")
        repeated = tuple(self.layers[i % len(self.layers)] for i in range(depth))
        return self.replace(layers=repeated, vocab_size=vocab_size or self.vocab_size)


def _is_spec(part: Any) -> bool:
    return hasattr(part, "build") and not isinstance(part, type)


def _mapped(part: Any, change: Callable[[Any], Any]) -> Any:
    """`part` with `change` applied to the dataclasses in it and to itself; what nothing changed in is not copied."""
    if isinstance(part, Mapping):
        new: Any = {name: _mapped(child, change) for name, child in part.items()}
        return part if all(new[name] is child for name, child in part.items()) else new
    if isinstance(part, (tuple, list)):
        new = [_mapped(child, change) for child in part]
        return part if all(a is b for a, b in zip(new, part)) else type(part)(new)
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    old = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    new = {name: _mapped(child, change) for name, child in old.items()}
    changed = {name: child for name, child in new.items() if child is not old[name]}
    return change(dataclasses.replace(part, **changed) if changed else part)


def numbers_in_words(numbers: Sequence[int]) -> str:
    """Rising numbers, neighbours joined.

    >>> numbers_in_words([0, 1, 2, 5]), numbers_in_words([1, 3, 5, 7]), numbers_in_words([4, 6])
    ('0 to 2, 5', '1, 3, … 7', '4, 6')
    """
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if len(numbers) > 2 and step > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1, step)):
        return f"{numbers[0]}, {numbers[1]}, … {numbers[-1]}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
