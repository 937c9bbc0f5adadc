"""What one accelerator does for a layer: matrix products by their sizes, bytes that go through its memory, messages.

A product's time follows from its sizes by two constants: of the peak it gets a share S / (1 + H (1/m + 1/n + 1/k)), so
that small matrices are slow and large ones approach S; and it cannot be faster than its matrices are read and written.
Everything that is no product (norms, activations, residuals, a softmax that is written out) costs what it moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..layers import AttentionSpec, FeedForwardSpec, MixtureSpec
from ..models.spec import ModelSpec
from .checking import positive
from .energy import Accelerator

# Numbers that attention without a fused kernel moves for every pair of tokens and head, beside what its two products
# write and read themselves: the softmax reads and writes, dropout reads and writes.
SCORE_PASSES = 4
NUMBER = 2  # bytes of what is computed with


@dataclass(frozen=True)
class Efficiency:
    """The constants, for all runs the same. matrix_share is S, size is H, memory_share of the memory's bandwidth.

    How S and H were found: `published_runs.fit`. memory_share is what copies reach on such accelerators.
    """

    matrix_share: Any = 0.67
    size: Any = 20.0
    memory_share: Any = 0.80

    def __post_init__(self) -> None:
        positive("size", self.size, zero=True)
        for name in ("matrix_share", "memory_share"):
            if np.max(positive(name, getattr(self, name))) > 1:
                raise ValueError(f"{name} is a share, more than 0 and at most 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Work:
    """Products (how many, m, k, n): (m, k) times (k, n); and bytes that are moved beside them."""

    products: tuple[tuple[float, float, float, float], ...] = ()
    moved: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.moved + other.moved)

    @property
    def flops(self) -> float:
        """Of the products."""
        return sum(2 * count * m * k * n for count, m, k, n in self.products)

    def backward(self) -> Work:
        """For each product the gradients of both its factors; other things move twice as much."""
        turned = [((count, m, n, k), (count, k, m, n)) for count, m, k, n in self.products]
        return Work(tuple(product for pair in turned for product in pair), 2 * self.moved)

    def seconds(self, chip: Accelerator, how: Efficiency, precision: str = "bfloat16") -> Any:
        """On an accelerator: one thing after the other."""
        peak, bandwidth = chip.peak(precision) * how.matrix_share, chip.bandwidth * how.memory_share
        total = self.moved / bandwidth
        for count, m, k, n in self.products:
            computed = 2 * m * k * n / peak * (1 + how.size * (1 / m + 1 / k + 1 / n))
            total = total + count * np.maximum(computed, NUMBER * (m * k + k * n + m * n) / bandwidth)
        return total


@dataclass(frozen=True)
class LayerWork:
    """Of one layer and micro-batch. sums: how often its output has to be summed up over the tensor-parallel ranks.

    kept: bytes of activations for the backward pass, without scores; scores: those of attention's scores where they are
    written out; entry: of what enters the layer.
    """

    matrices: Work
    attention: Work
    attention_backward: Work
    elementwise: Work
    sums: int
    kept: float
    scores: float
    entry: float

    @property
    def forward(self) -> Work:
        """All of it."""
        return self.matrices + self.attention + self.elementwise

    def backward(self, recompute: str) -> Work:
        """All of it, and what is computed again: nothing ("none"), attention ("selective") or the layer ("full")."""
        again = {"none": Work(), "selective": self.attention, "full": self.forward}[recompute]
        return self.matrices.backward() + self.attention_backward + self.elementwise.backward() + again

    def remembered(self, recompute: str) -> float:
        """Bytes until the backward pass comes."""
        return {"none": self.kept + self.scores, "selective": self.kept, "full": self.entry}[recompute]


@dataclass
class _Counter:
    rows: int
    length: int
    tensor: int
    flash: bool
    products: list[tuple[float, float, float, float]] = field(default_factory=list)
    elements: float = 0.0  # numbers a token
    kept: float = 0.0

    @property
    def tokens(self) -> int:
        """Of the micro-batch."""
        return self.rows * self.length

    def divided(self, name: str, count: int) -> float:
        """The share of one rank; ValueError where nothing whole is left."""
        if count % self.tensor:
            raise ValueError(f"{count:,} {name} cannot be divided among {self.tensor} tensor-parallel ranks")
        return count / self.tensor

    def attention(self, part: AttentionSpec) -> None:
        """Count its projections, what turns queries and keys, and what is kept of them."""
        heads = self.divided("heads", part.heads)
        if part.key_value_heads % self.tensor and self.tensor % part.key_value_heads:
            raise ValueError(f"{part.key_value_heads} key-value heads fit no {self.tensor} tensor-parallel ranks")
        keys = max(part.key_value_heads / self.tensor, 1)  # fewer heads than ranks: each rank has a copy
        inside = (heads + 2 * keys) * part.head_dim
        self.products += [
            (1, self.tokens, part.hidden_size, inside),
            (1, self.tokens, heads * part.head_dim, part.hidden_size),
        ]
        self.elements += 2 * (heads + keys) * part.head_dim * (part.rotary is not None)
        self.kept += 2 * (heads + keys) * part.head_dim

    def scores(self, part: AttentionSpec) -> tuple[Work, Work, float]:
        """What happens between its projections, forward and backward, and the bytes of scores that are kept."""
        heads, width = part.heads / self.tensor, part.head_dim
        # what meets what: a fused kernel leaves out what is masked, otherwise everything is computed
        pairs = self.length * self.length
        if self.flash:
            pairs = part.attention_flops(self.length) // (2 * part._products * part.heads * width)
        count = self.rows * heads * pairs / self.length**2
        products = ((count, self.length, width, self.length), (count, self.length, self.length, width))
        if self.flash:  # five products instead of four: the scores are made again
            again = (count, self.length, width, self.length)
            work = Work(products, NUMBER * 4 * self.tokens * heads * width)
            return work, work.backward() + Work((again,)), 0.0
        entries = self.rows * heads * pairs
        work = Work(products, SCORE_PASSES * NUMBER * entries)
        return work, work.backward(), (2 * NUMBER + 1) * entries  # probabilities, those left by dropout, its mask

    def feed_forward(self, part: FeedForwardSpec, copies: float = 1, share: float = 1) -> None:
        """Count it, or so many experts that each see a share of the tokens."""
        inner = self.divided("feed-forward units", part.intermediate_size)
        tokens, width = self.tokens * share, part.hidden_size
        self.products += [(copies, tokens, width, (1 + part.gated) * inner), (copies, tokens, inner, width)]
        self.elements += copies * share * (2 + part.gated) * inner
        self.kept += copies * share * (2 + part.gated) * inner

    def anything(self, part: Any, name: str) -> None:
        """Count any other part by its matrices, undivided."""
        if self.tensor > 1:
            raise ValueError(f"only attention and feed-forward parts are divided here, not a {name}: take 1 as tensor")
        shapes = [weight.shape[-2:] for weight in part.build(None).parameters() if len(weight.shape) > 1]
        self.products += [(1, self.tokens, float(shape[0]), float(shape[1])) for shape in shapes]
        self.kept += sum(map(sum, shapes))


def layer_work(
    layer: Any,
    hidden: int,
    *,
    rows: int,
    length: int,
    tensor: int = 1,
    flash: bool = True,
    split_sequence: bool = False,
) -> LayerWork:
    """One layer of a spec for `rows` texts of `length` tokens, on one of `tensor` ranks.

    split_sequence: norms and residuals too are divided, by tokens (sequence parallelism).
    Raises ValueError for heads, units or mixers that cannot be divided so.
    """
    count = _Counter(rows, length, tensor, flash)
    attention, attention_backward, scores = Work(), Work(), 0.0
    for name, part in layer.functions.items():
        if isinstance(part, AttentionSpec):
            count.attention(part)
            found = count.scores(part)
            attention, attention_backward = attention + found[0], attention_backward + found[1]
            scores += found[2]
        elif isinstance(part, MixtureSpec):
            count.products.append((1, count.tokens, hidden, part.experts))
            count.feed_forward(part.expert, part.experts, part.chosen / part.experts)
        elif isinstance(part, FeedForwardSpec):
            count.feed_forward(part)
        else:
            count.anything(part, getattr(type(part), "__name__", name))
    divided = tensor if split_sequence else 1
    whole = hidden * (2 * len(layer.norms) + 3 * len(layer.branches)) / divided
    kept = count.kept + hidden * (len(layer.norms) + len(layer.functions)) / divided
    return LayerWork(
        matrices=Work(tuple(count.products)),
        attention=attention,
        attention_backward=attention_backward,
        elementwise=Work(moved=NUMBER * count.tokens * (count.elements + whole)),
        sums=len(layer.branches),
        kept=NUMBER * count.tokens * kept,
        scores=scores,
        entry=NUMBER * count.tokens * hidden / divided,
    )


def head_work(spec: ModelSpec, *, tokens: int, tensor: int = 1) -> Work:
    """Logits and their cross-entropy, in four bytes."""
    vocabulary = spec.vocab_size / tensor  # padded to what divides
    return Work(((1, tokens, spec.embedding_size or spec.hidden_size, vocabulary),), 12 * tokens * vocabulary)


def model_flops(spec: ModelSpec, length: int) -> dict[str, float]:
    """FLOPs a token of the model: of its layers, of attention in them, and of its head, forward.

    Attention is counted as if nothing were masked, as in the papers that report a utilisation.

    >>> from ..checkpoints import spec
    >>> gpt = {"model_type": "gpt2", "n_embd": 12288, "n_layer": 96, "n_head": 96, "vocab_size": 51200}
    >>> found, size = model_flops(spec(gpt | {"n_positions": 2048}), 2048), 96 * 12288**2
    >>> 4 * found["layers"] + 3 * found["head"] == 96 * size * (1 + 2048 / (6 * 12288) + 51200 / (16 * 96 * 12288))
    True
    """
    head = 2.0 * (spec.embedding_size or spec.hidden_size) * spec.vocab_size
    pairs = [(_everything(part, length), part.attention_flops(length) / length) for part in _attentions(spec)]
    attention = sum(full for full, _ in pairs)
    layers = spec.flops(length) / length - head - sum(masked for _, masked in pairs) + attention
    return {"layers": layers, "attention": attention, "head": head}


def _everything(part: AttentionSpec, length: int) -> float:
    seen = min(length, part.window or length)
    return 2.0 * part._products * part.heads * part.head_dim * seen


def _attentions(spec: ModelSpec) -> Iterable[AttentionSpec]:
    return (part for layer in spec.layers for part in layer.functions.values() if isinstance(part, AttentionSpec))
