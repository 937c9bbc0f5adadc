"""A model part by part: what it puts out, how many parameters it holds, what it computes. `Decoder.summary` makes one.

The rules of counting are those of `counting.py`, so that a summary adds up to what `costs` says of the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .choices import function_in_words, functions, is_feed_forward, norm_in_words
from .counting import attention_flops, counted

_BEFORE = ("embedding", "embedding_projection", "positions", "embedding_norm")
_AFTER = ("norm", "head_projection", "head")


@dataclass(frozen=True)
class Part:
    """One part of a model.

    name: the path of its parameters ("layers.3.mixer"). what: in a few words. shape: of what it puts out.
    flops: of one forward over all the ids; nbytes: of its parameters as they are held.
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

    def __str__(self) -> str:
        rows = [("part", "", "puts out", "parameters", "FLOPs", "bytes")]
        rows += [_row(part) for part in self.parts if part.name in _BEFORE]
        for title, parts in self._folded():
            rows.append((title, "", "", *_sums(parts)))
            rows += [_row(part, indent="  ") for part in parts]
        rows += [_row(part) for part in self.parts if part.name in _AFTER]
        rows.append(("in all", "", "", *_sums(self.parts)))
        widths = [max(len(row[k]) for row in rows) for k in range(6)]
        lines = []
        for row in rows:
            cells = [cell.ljust(w) if k < 3 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths))]
            lines.append("  ".join(cells).rstrip())
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__

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
            title = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {_in_words(numbers)}, each"
            found.append((title, layers[0][1]))
        return found


def _in_words(numbers: Sequence[int]) -> str:
    """Rising numbers, neighbours joined.

    >>> _in_words([0, 1, 2, 5]), _in_words([1, 3, 5, 7]), _in_words([4, 6])
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
    tokens = batch * length
    held: dict[str, list[Any]] = {}
    for item in counted(model):
        path = item.name.split(".")
        name = ".".join(path[:3]) if path[0] == "layers" else path[0]
        sums = held.setdefault(name, [0, 0, 0])
        for k, number in enumerate((item.size, 2 * item.multiplied * tokens, item.nbytes)):
            sums[k] += number
    parts = []
    for name, what, width, spec in _listed(model):
        size, flops, nbytes = held.pop(name, (0, 0, 0))
        flops = round(flops) + tokens * attention_flops(spec, length)
        parts.append(Part(name, what, (batch, length, width), size, flops, nbytes))
    if held:
        raise ValueError(f"these parts of the model hold parameters but have no place in it: {', '.join(held)}")
    return Summary(tuple(parts))


def _listed(model: Any) -> list[tuple[str, str, int, Any]]:
    """(name, what, width put out, spec if it is a function) of every part."""
    spec = model.spec
    narrow, wide = model.embedding_width, spec.hidden_size
    widths = {"embedding": narrow, "head_projection": narrow, "head": spec.vocab_size}
    words = {"head": "tied to the embedding" if spec.tied else ""}
    words |= {name: norm_in_words(getattr(spec, name)) for name in ("norm", "embedding_norm") if getattr(spec, name)}

    def outside(names: Sequence[str]) -> list[tuple[str, str, int, Any]]:
        present = [name for name in names if getattr(model, name) is not None or name == "head"]
        return [(name, words.get(name, ""), widths.get(name, wide), None) for name in present]

    inside: list[tuple[str, str, int, Any]] = []
    for number, (layer, block) in enumerate(zip(spec.layers, model.layers)):
        known = dict(functions(layer))
        for name in [name for name in vars(block) if name != "spec"]:
            part = known.get(name)
            word = norm_in_words(getattr(block, name).spec) if part is None else function_in_words(name, part)
            shown = None if part is None or is_feed_forward(name) else part
            inside.append((f"layers.{number}.{name}", word, wide, shown))
    return [*outside(_BEFORE), *inside, *outside(_AFTER)]


def _row(part: Part, indent: str = "") -> tuple[str, str, str, str, str, str]:
    name = part.name.split(".")[-1].replace("_", " ")
    return (indent + name, part.what, str(part.shape), *_sums([part]))


def _sums(parts: Sequence[Part]) -> tuple[str, str, str]:
    sums = (sum(getattr(part, key) for part in parts) for key in ("parameters", "flops", "nbytes"))
    a, b, c = (f"{number:,}" for number in sums)
    return a, b, c
