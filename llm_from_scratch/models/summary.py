"""A model part by part: what it puts out, how many parameters it holds, what it computes. `Decoder.summary` makes one.

Parameters and bytes are those the modules hold, FLOPs those that the spec says, so that they add up to `spec.flops`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor
from ..layers import Module
from ..layers.described import ask
from .spec import numbers_in_words

_BEFORE = ("embedding", "embedding_projection", "positions", "embedding_norm")
_AFTER = ("norm", "head_projection", "head")


@dataclass(frozen=True)
class Part:
    """One part of a model.

    name: the path of its parameters ("layers.3.mixer"). what: in a few words. shape: of what it puts out.
    flops: of one forward over all the ids, as the spec counts them (`layers/described.py`: matrix products and
    attention); nbytes: of its parameters as they are held.
    """

    name: str
    what: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    nbytes: int


@dataclass(frozen=True)
class Summary:
    """The parts, in the order in which ids pass them. Printed, equal layers are shown once, wherever they stand."""

    parts: tuple[Part, ...]

    @property
    def parameters(self) -> int:
        """Of all parts."""
        return sum(part.parameters for part in self.parts)

    @property
    def flops(self) -> int:
        """Of all parts, forward."""
        return sum(part.flops for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Of all parameters."""
        return sum(part.nbytes for part in self.parts)

    def table(self, columns: Sequence[int] = range(6)) -> str:
        """All of it, or some of the columns."""
        rows = [("part", "", "puts out", "parameters", "FLOPs", "bytes")]
        rows += [_row(part) for part in self.parts if part.name in _BEFORE]
        for title, parts in self._folded():
            rows.append((title, "", "", *_sums(parts)))
            rows += [_row(part, indent="  ") for part in parts]
        rows += [_row(part) for part in self.parts if part.name not in _BEFORE and not part.name.startswith("layers.")]
        rows.append(("in all", "", "", *_sums(self.parts)))
        widths = [max(len(row[k]) for row in rows) for k in range(6)]
        lines = []
        for row in rows:
            cells = [row[k].ljust(widths[k]) if k < 3 else row[k].rjust(widths[k]) for k in columns]
            lines.append("  ".join(cells).rstrip())
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __str__ = __repr__ = table

    def _folded(self) -> list[tuple[str, list[Part]]]:
        """(title, parts of one layer): layers that differ in nothing but their number are shown once."""
        inside = [part for part in self.parts if part.name.startswith("layers.")]
        alike: dict[tuple[Any, ...], list[tuple[int, list[Part]]]] = {}
        for number, group in itertools.groupby(inside, key=lambda part: int(part.name.split(".")[1])):
            parts = list(group)
            alike.setdefault(tuple(_row(part) for part in parts), []).append((number, parts))
        found = []
        for layers in alike.values():
            numbers = [number for number, _ in layers]
            title = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {numbers_in_words(numbers)}, each"
            found.append((title, layers[0][1]))
        return found


def summary(model: Any, batch: int, length: int) -> Summary:
    """The summary of a decoder for ids of the shape (batch, length).

    >>> from llm_from_scratch.checkpoints import build
    >>> build("gpt2", n_layer=2, n_head=1, n_embd=4, vocab_size=5, n_positions=8).summary([[3, 1, 4]])
    part                                        puts out   parameters  FLOPs  bytes
    ───────────────────────────────────────────────────────────────────────────────
    embedding                                   (1, 3, 4)          20      0     80
    positions                                   (1, 3, 4)          32      0    128
    layers 0 to 1, each                                           244  1,248    976
      mixer norm         LayerNorm              (1, 3, 4)           8      0     32
      mixer              multi-head             (1, 3, 4)          80    480    320
      feed forward norm  LayerNorm              (1, 3, 4)           8      0     32
      feed forward       GELU (tanh)            (1, 3, 4)         148    768    592
    norm                 LayerNorm              (1, 3, 4)           8      0     32
    head                 tied to the embedding  (1, 3, 5)           0    120      0
    ───────────────────────────────────────────────────────────────────────────────
    in all                                                        548  2,616  2,192
    """
    held: dict[str, list[int]] = {}
    for path, size, nbytes in _held(model):
        names = path.split(".")
        sums = held.setdefault(".".join(names[:3]) if names[0] == "layers" else names[0], [0, 0])
        sums[0], sums[1] = sums[0] + size, sums[1] + nbytes
    parts = []
    for name, what, width, flops in _listed(model, length):
        size, nbytes = held.pop(name, (0, 0))
        parts.append(Part(name, what, (batch, length, width), size, batch * flops, nbytes))
    parts += [Part(name, "", (), size, 0, nbytes) for name, (size, nbytes) in held.items()]  # of a model of one's own
    return Summary(tuple(parts))


def overview(model: Any) -> str:
    """What a model holds, as `repr` shows it: the summary without what only a run has.

    >>> from llm_from_scratch.checkpoints import build
    >>> build("llama", num_hidden_layers=1, num_attention_heads=2, hidden_size=4, intermediate_size=6, vocab_size=5)
    part                             parameters  bytes
    ──────────────────────────────────────────────────
    embedding                                20     80
    layer 0                                 144    576
      mixer norm         RMSNorm              4     16
      mixer              multi-head          64    256
      feed forward norm  RMSNorm              4     16
      feed forward       SwiGLU              72    288
    norm                 RMSNorm              4     16
    head                                     20     80
    ──────────────────────────────────────────────────
    in all                                  188    752
    """
    return summary(model, 1, 1).table((0, 1, 3, 5))


def _held(model: Any) -> Iterator[tuple[str, int, int]]:
    """(name, numbers, bytes) of every weight, packed ones too."""
    for name, weight in model.named_weights():
        size = math.prod(weight.shape)
        yield name, size, size * weight.dtype.itemsize if isinstance(weight, Tensor) else weight.nbytes


def _listed(model: Any, length: int) -> list[tuple[str, str, int, int]]:
    """(name, what, width put out, FLOPs for a row) of every part."""
    spec = model.spec
    narrow, wide = model.embedding_width, spec.hidden_size
    widths = {"embedding": narrow, "head_projection": narrow, "head": spec.vocab_size}
    entries = {"embedding_projection": narrow * wide, "head_projection": wide * narrow, "head": narrow * widths["head"]}
    words = {"head": "tied to the embedding" if spec.tied else ""}
    words |= {name: norm.words() for name in ("norm", "embedding_norm") if (norm := getattr(spec, name)) is not None}

    def outside(names: Sequence[str]) -> list[tuple[str, str, int, int]]:
        present = [name for name in names if getattr(model, name) is not None]
        return [(n, words.get(n, ""), widths.get(n, wide), 2 * length * entries.get(n, 0)) for n in present]

    inside: list[tuple[str, str, int, int]] = []
    for number, (layer, block) in enumerate(zip(spec.layers, model.layers)):
        functions = layer.functions
        for name, module in vars(block).items():
            if isinstance(module, Module):
                part = getattr(module, "spec", functions.get(name, module))
                flops = ask(part, "flops", length) if name in functions else 0
                inside.append((f"layers.{number}.{name}", ask(part, "words"), wide, flops))
    return [*outside(_BEFORE), *inside, *outside(_AFTER)]


def _row(part: Part, indent: str = "") -> tuple[str, str, str, str, str, str]:
    name = part.name.split(".")[-1].replace("_", " ")
    return (indent + name, part.what, str(part.shape), *_sums([part]))


def _sums(parts: Sequence[Part]) -> tuple[str, str, str]:
    sums = (sum(getattr(part, key) for part in parts) for key in ("parameters", "flops", "nbytes"))
    a, b, c = (f"{number:,}" for number in sums)
    return a, b, c
